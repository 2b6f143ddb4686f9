"""Precision-recall curves: a row per subset, a column per class that is there, a line per method."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ivfusion_ros.evaluation.detection.precision import RECALLS
from ivfusion_ros.evaluation.fusion.plots import COLOURS
from ivfusion_ros.files import whole_file
from ivfusion_ros.types import CAMERAS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ivfusion_ros.evaluation.detection.results import Entry


def write_curves(path: Path, entries: Sequence[Entry]) -> None:
    """Write a PNG of the curves at an overlap of 0.5. Raises ImportError where matplotlib is missing."""
    # No pyplot: it would look for a display and keep the figure.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    subsets = list(dict.fromkeys(entry.subset for entry in entries))
    methods = list(dict.fromkeys(entry.method for entry in entries))
    every = range(len(entries[0].classes))
    shown = [place for place in every if any(entry.classes[place].objects for entry in entries)] or every
    figure = Figure(
        figsize=(1.5 + 3.4 * len(shown), 0.6 + 3.0 * len(subsets)), dpi=110, layout="constrained"
    )
    FigureCanvasAgg(figure)
    panels = figure.subplots(len(subsets), len(shown), squeeze=False, sharex=True, sharey=True)
    for entry in entries:
        row, colour = subsets.index(entry.subset), COLOURS[methods.index(entry.method) % len(COLOURS)]
        # The cameras' own images are dashed: what fusion is held against.
        dashes = "--" if entry.method in CAMERAS else "-"
        for column, place in enumerate(shown):
            axes, item = panels[row][column], entry.classes[place]
            if item.ap50 is not None:
                label = f"{entry.method} {item.ap50:.3f}"
                axes.plot(RECALLS, item.curve, dashes, color=colour, linewidth=1.5, label=label)
            axes.set_title(f"{item.class_name}, {entry.subset} ({item.objects})", fontsize=10, loc="left")
    for axes in panels.ravel():
        axes.set(xlim=(0, 1), ylim=(0, 1.02))
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        if axes.lines:
            axes.legend(title="AP50", fontsize=8, title_fontsize=8, loc="best", framealpha=0.8)
    figure.supxlabel("recall", fontsize=10)
    figure.supylabel("precision", fontsize=10)
    with whole_file(path) as staged:
        figure.savefig(staged, format="png")
