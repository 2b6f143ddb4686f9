"""The plot of a benchmark: networks as bars with their bound, pipelines as stacks of their stages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ivfusion_ros.evaluation.fusion.plots import COLOURS
from ivfusion_ros.files import whole_file

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes

Rows = Mapping[str, Mapping[str, Any]]


def write_plot(
    path: Path, networks: Rows, pipelines: Rows, profiles: Mapping[str, Rows] | None = None
) -> None:
    """Write a PNG of what `ivfusion bench` measured. Raises ImportError where matplotlib is missing.

    profiles: of each network the rows of its kinds of layers, None or empty for no such panel.
    """
    # No pyplot: it would look for a display and keep the figure.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    counts = [len(networks), len(pipelines), *([len(profiles)] if profiles else [])]
    height = 2.3 + 0.34 * sum(counts)
    figure = Figure(figsize=(9.0, height), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(len(counts), 1, height_ratios=[count + 1 for count in counts])
    _networks(panels[0], networks)
    _stacks(
        panels[1], {name: _medians(row) for name, row in pipelines.items()},
        "whole pipeline, medians of its stages, ms",
    )  # fmt: skip
    if profiles:
        times = {name: {kind: row["ms"] for kind, row in rows.items()} for name, rows in profiles.items()}
        _stacks(panels[2], times, "network by kind of layer, ms")
    with whole_file(path) as staged:
        figure.savefig(staged, format="png")


def _networks(axes: Axes, rows: Rows) -> None:
    medians = [row["median"] for row in rows.values()]
    late = [max(0.0, row["p95"] - row["median"]) for row in rows.values()]
    places = range(len(rows))
    axes.barh(places, medians, color=COLOURS[0], label="median")
    axes.errorbar(
        medians, places, xerr=[[0.0] * len(late), late], fmt="none", ecolor="black", capsize=2, label="p95"
    )
    bounds = [(place, row["least_ms"]) for place, row in enumerate(rows.values()) if "least_ms" in row]
    for place, bound in bounds:
        axes.plot([bound, bound], [place - 0.4, place + 0.4], color=COLOURS[1], linewidth=2)
    if bounds:
        axes.plot([], [], color=COLOURS[1], linewidth=2, label="shortest time at the machine's peak")
    _label(axes, rows, "network alone, ms")


def _medians(row: Mapping[str, Any]) -> dict[str, float]:
    return {stage: figures["median"] for stage, figures in row["stages"].items()}


def _stacks(axes: Axes, rows: Mapping[str, Mapping[str, float]], title: str) -> None:
    """A bar per row, of its parts in the order in which they are first met."""
    ends = [0.0] * len(rows)
    for index, part in enumerate(dict.fromkeys(part for row in rows.values() for part in row)):
        widths = [row.get(part, 0.0) for row in rows.values()]
        colour, hatch = COLOURS[index % len(COLOURS)], "//" if index >= len(COLOURS) else ""
        axes.barh(range(len(rows)), widths, left=ends, color=colour, hatch=hatch, label=part)
        ends = [end + width for end, width in zip(ends, widths, strict=True)]
    _label(axes, rows, title)


def _label(axes: Axes, rows: Mapping[str, object], title: str) -> None:
    axes.set_yticks(range(len(rows)), list(rows), fontsize=7)
    axes.invert_yaxis()
    axes.set_xlim(left=0)
    axes.set_xlabel(title, fontsize=8)
    axes.tick_params(axis="x", labelsize=7)
    # Above the panel, as any place inside may be under a bar.
    axes.legend(fontsize=7, ncols=8, frameon=False, loc="lower left", bbox_to_anchor=(0.0, 1.0))
