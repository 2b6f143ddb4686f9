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


def write_plot(path: Path, networks: Rows, pipelines: Rows) -> None:
    """Write a PNG of what `ivfusion bench` measured. Raises ImportError where matplotlib is missing."""
    # No pyplot: it would look for a display and keep the figure.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    counts = len(networks), len(pipelines)
    height = 2.3 + 0.34 * sum(counts)
    figure = Figure(figsize=(9.0, height), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    upper, lower = figure.subplots(2, 1, height_ratios=[count + 1 for count in counts])
    _networks(upper, networks)
    _pipelines(lower, pipelines)
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


def _pipelines(axes: Axes, rows: Rows) -> None:
    stages = list(dict.fromkeys(stage for row in rows.values() for stage in row["stages"]))
    ends = [0.0] * len(rows)
    for index, stage in enumerate(stages):
        widths = [row["stages"].get(stage, {"median": 0.0})["median"] for row in rows.values()]
        axes.barh(range(len(rows)), widths, left=ends, color=COLOURS[index % len(COLOURS)], label=stage)
        ends = [end + width for end, width in zip(ends, widths, strict=True)]
    _label(axes, rows, "whole pipeline, medians of its stages, ms")


def _label(axes: Axes, rows: Rows, title: str) -> None:
    axes.set_yticks(range(len(rows)), list(rows), fontsize=7)
    axes.invert_yaxis()
    axes.set_xlim(left=0)
    axes.set_xlabel(title, fontsize=8)
    axes.tick_params(axis="x", labelsize=7)
    # Above the panel, as any place inside may be under a bar.
    axes.legend(fontsize=7, ncols=8, frameon=False, loc="lower left", bbox_to_anchor=(0.0, 1.0))
