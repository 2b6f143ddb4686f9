"""What scores mean: how often a box of a score is right, and from which score few are wrong."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ivfusion_ros.evaluation.detection.levels import FALSE_ALARMS
from ivfusion_ros.evaluation.fusion.plots import COLOURS
from ivfusion_ros.files import whole_file
from ivfusion_ros.graphs.yolo import box_iou
from ivfusion_ros.types import Floats, Mask

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from ivfusion_ros.evaluation.detection.find import Found
    from ivfusion_ros.evaluation.detection.scenes import Truth


_OVERLAP = 0.5
_BINS = 10


@dataclass(frozen=True, eq=False)
class Calibration:
    """Scores (N,) of all boxes, right (N,) whether an object of their class is there, and what was missed.

    class_ids: (N,) of the boxes. images, objects: how many there are.
    """

    scores: Floats
    right: Mask
    class_ids: npt.NDArray[np.int64]
    images: int
    objects: int

    def threshold(self, rate: float = FALSE_ALARMS) -> float:
        """The lowest score, in thousandths, from which at most so many boxes per image are wrong."""
        wrong = np.sort(self.scores[~self.right])[::-1]
        allowed = int(rate * self.images)
        if len(wrong) <= allowed:
            return 0.001
        return min(1.0, float(np.floor(wrong[allowed] * 1000) + 1) / 1000)

    def found(self, threshold: float | Floats) -> float:
        """The share of objects that boxes from a score on find, 0 without objects.

        threshold: one for all boxes, or (N,), one for each.
        """
        hits = int(np.count_nonzero(self.right & (self.scores >= threshold)))
        return hits / self.objects if self.objects else 0.0

    def false_alarms(self, threshold: float | Floats) -> float:
        """Wrong boxes per image from a score on; threshold as found has it."""
        return int(np.count_nonzero(~self.right & (self.scores >= threshold))) / max(1, self.images)

    def bins(self) -> tuple[Floats, Floats, Floats]:
        """(mean score, share that is right, count), (B,) each, of boxes in tenths of the score."""
        places = np.minimum((self.scores * _BINS).astype(int), _BINS - 1)
        counts = np.bincount(places, minlength=_BINS).astype(np.float64)
        there = counts > 0
        score = np.bincount(places, self.scores, _BINS)[there] / counts[there]
        right = np.bincount(places, self.right, _BINS)[there] / counts[there]
        return score, right, counts[there]

    def error(self) -> float:
        """Mean difference between a score and the share that is right (ECE), of boxes from 0.05 on."""
        score, right, counts = self._from(0.05).bins()
        return float((np.abs(score - right) * counts).sum() / max(1.0, counts.sum()))

    def _from(self, threshold: float) -> Calibration:
        chosen = self.scores >= threshold
        return replace(
            self, scores=self.scores[chosen], right=self.right[chosen], class_ids=self.class_ids[chosen]
        )


def calibration(truths: Sequence[Truth], found: Sequence[Found]) -> Calibration:
    """Of the boxes in some images; truths[i] belongs to found[i].

    As COCO has it: the surest box first, each takes the free object of its class that it covers best, by an
    overlap of 0.5.
    """
    none = Calibration(np.zeros(0), np.zeros(0, bool), np.zeros(0, np.int64), 0, 0)
    return pooled([none, *(_of_image(truth, item) for truth, item in zip(truths, found, strict=True))])


def _of_image(truth: Truth, item: Found) -> Calibration:
    scores = item.detections.scores.astype(np.float64)
    return Calibration(scores, _right(truth, item), item.detections.class_ids, 1, len(truth.class_ids))


def _right(truth: Truth, item: Found) -> Mask:
    detections = item.detections
    free = np.ones(len(truth.class_ids), bool)
    right = np.zeros(len(detections), bool)
    for index in np.argsort(-detections.scores, kind="stable"):
        overlaps = box_iou(detections.boxes_xyxy[index], truth.boxes_xyxy)
        overlaps[~free | (truth.class_ids != detections.class_ids[index])] = 0
        if len(overlaps) and overlaps.max() >= _OVERLAP:
            free[overlaps.argmax()] = False
            right[index] = True
    return right


def pooled(parts: Sequence[Calibration]) -> Calibration:
    """Of the images of several kinds together."""
    return Calibration(
        np.concatenate([part.scores for part in parts]),
        np.concatenate([part.right for part in parts]),
        np.concatenate([part.class_ids for part in parts]),
        sum(part.images for part in parts),
        sum(part.objects for part in parts),
    )


def write_calibration(path: Path, methods: Mapping[str, Calibration]) -> None:
    """Write a PNG: right by score, and false alarms by threshold. Raises ImportError without matplotlib."""
    # No pyplot: it would look for a display and keep the figure.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.2, 4.2), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    reliable, alarms = figure.subplots(1, 2)
    reliable.plot([0, 1], [0, 1], color="0.7", linewidth=1)
    steps = np.linspace(0.01, 0.99, 99)
    for number, (name, own) in enumerate(methods.items()):
        colour = COLOURS[number % len(COLOURS)]
        score, right, _ = own.bins()
        reliable.plot(score, right, "o-", color=colour, label=f"{name}, off by {own.error():.3f}")
        rates = [own.false_alarms(step) for step in steps]
        at = own.threshold()
        label = f"{name}: {at:.3f} finds {own.found(at):.0%}"
        alarms.plot(steps, rates, color=colour, label=label)
    alarms.axhline(FALSE_ALARMS, color="0.5", linestyle=":")
    reliable.set(xlim=(0, 1), ylim=(0, 1), xlabel="score", ylabel="share of boxes that are right")
    alarms.set(
        xlim=(0, 1), ylim=(0.01, 100), yscale="log", xlabel="threshold", ylabel="false alarms per image"
    )
    for axes in (reliable, alarms):
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(fontsize=7, framealpha=0.8)
    with whole_file(path) as staged:
        figure.savefig(staged, format="png")
