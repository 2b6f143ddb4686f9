"""The plot of an evaluation: a panel per metric, a row per network, dots for images, marks for means."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from ivfusion_ros.evaluation.fusion.names import FADED, FAINT
from ivfusion_ros.evaluation.fusion.scores import LOWER_IS_BETTER
from ivfusion_ros.evaluation.fusion.tables import arrow, metric_names
from ivfusion_ros.files import whole_file

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ivfusion_ros.evaluation.fusion.judge import Result

MAX_COLUMNS = 5
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f7f7f", "#b59f00")
"""One per network in turn, told apart by colour-blind people too."""
MARKERS = "DosP^vX<>*"
"""One per data set in turn."""


def write_plot(path: Path, results: Sequence[Result]) -> None:
    """Write a PNG. Raises ImportError where matplotlib is missing."""
    # No pyplot: it would look for a display and keep the figure.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    scored = [result for result in results if result.scores]
    # Shares of people are no figures of images: their means would not be those of the tables.
    metrics = [name for name in metric_names(scored) if name not in (FADED, FAINT)]
    methods = list(dict.fromkeys(result.method for result in scored))
    rows = math.ceil(len(metrics) / MAX_COLUMNS)
    columns = math.ceil(len(metrics) / rows)
    size = (2.0 + 2.9 * columns, 0.7 + rows * (0.8 + 0.4 * len(methods)))
    figure = Figure(figsize=size, dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for index, axes in enumerate(panels):
        if index < len(metrics):
            _panel(axes, metrics[index], scored, methods, named=index % columns == 0)
        else:
            axes.set_axis_off()
    _legend(figure, scored)
    with whole_file(path) as staged:
        figure.savefig(staged, format="png")


def _panel(
    axes: Axes, metric: str, scored: Sequence[Result], methods: Sequence[str], *, named: bool
) -> None:
    sets = list(dict.fromkeys(result.data for result in scored))
    averages: list[float] = []
    for row, method in enumerate(methods):
        own = {data: _values(scored, metric, method, data) for data in sets}
        everything = np.concatenate(list(own.values()))
        averages.append(float(everything.mean()) if everything.size else math.nan)
        colour = COLOURS[row % len(COLOURS)]
        # Spread over the row without chance: the golden ratio fills it evenly.
        spread = (np.arange(everything.size) * 0.618 % 1 - 0.5) * 0.6
        axes.scatter(everything, row + spread, s=9, color=colour, alpha=0.3, linewidths=0)
        for number, values in enumerate(own.values()):
            if values.size:
                mark = MARKERS[number % len(MARKERS)]
                axes.scatter(
                    values.mean(), row, s=55, marker=mark, color=colour, edgecolors="black", zorder=3
                )
    _figures(axes, metric, averages)
    axes.set_title(f"{metric} {arrow(metric)}", fontsize=11, fontweight="bold", loc="left")
    axes.set_yticks(range(len(methods)), methods if named else [""] * len(methods))
    axes.set_ylim(len(methods) - 0.4, -0.6)
    axes.grid(axis="x", alpha=0.25)
    axes.tick_params(axis="y", length=0)
    axes.tick_params(axis="x", labelsize=8)
    axes.spines[["top", "right", "left"]].set_visible(False)


def _figures(axes: Axes, metric: str, averages: Sequence[float]) -> None:
    """The means as numbers at the right, the best one bold."""
    known = [value for value in averages if not math.isnan(value)]
    best = (min if metric in LOWER_IS_BETTER else max)(known, default=math.nan)
    for row, value in enumerate(averages):
        weight = "bold" if value == best and len(known) > 1 else "normal"
        text = "" if math.isnan(value) else f"{value:.3f}" if abs(value) < 100 else f"{value:.0f}"
        axes.text(
            1.02,
            row,
            text,
            transform=axes.get_yaxis_transform(),
            va="center",
            fontsize=9,
            fontweight=weight,
        )


def _values(scored: Sequence[Result], metric: str, method: str, data: str) -> np.ndarray:
    values = [
        item.scores[metric]
        for item in scored
        if item.method == method and item.data == data and metric in item.scores
    ]
    # An infinite PSNR has no place on an axis.
    return np.array([value for value in values if math.isfinite(value)], np.float64)


def _legend(figure: Figure, scored: Sequence[Result]) -> None:
    from matplotlib.lines import Line2D

    entries = [
        (MARKERS[number % len(MARKERS)], "black", f"mean of {data}")
        for number, data in enumerate(dict.fromkeys(result.data for result in scored))
    ]
    handles = [
        Line2D(
            [], [], linestyle="", marker=mark, color="0.6", markeredgecolor=edge, markersize=7, label=label
        )
        for mark, edge, label in (*entries, (".", "0.6", "one image"))
    ]
    figure.legend(handles=handles, loc="outside upper left", ncols=6, frameon=False, fontsize=9)
