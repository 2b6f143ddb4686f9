"""Outputs of a model in another form or engine beside its own: how far apart they may be.

Rounding spreads over the whole image, damage stays in one place, where a mean does not see it. So the worst
pixels and boxes have limits of their own. The shipped networks in half precision stay within 1 grey level
at each pixel, .31 px at each edge of a box and .007 of each score.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ivfusion_ros.backends.tensors import Array
from ivfusion_ros.graphs.yolo import identify_head

if TYPE_CHECKING:
    from ivfusion_ros.graphs.task import Task
    from ivfusion_ros.types import Size

MAX_GREY_LEVELS = 0.5
"""Largest mean error of a fused image, grey levels of 255."""

MAX_TAIL_LEVELS = 4.0
"""Largest 99.9th percentile of the error of its pixels, grey levels."""

LARGE_LEVELS, MAX_LARGE_SHARE = 8.0, 1e-4
"""Share of the pixels that may be off by more than so many grey levels."""


class ImageLimits(NamedTuple):
    """How far fused images may be apart; as given, in half precision."""

    mean: float = MAX_GREY_LEVELS
    tail: float = MAX_TAIL_LEVELS
    large_share: float = MAX_LARGE_SHARE


MAX_PIXELS, MAX_TAIL_PIXELS = 0.5, 4.0
"""Largest mean and 99th percentile of the error of box edges, pixels, over the best anchors."""

MAX_SCORE, MAX_TAIL_SCORE = 0.005, 0.05
"""The same of their scores."""

_ANCHORS = 100
_SURE = 0.25
"""Score of an end-to-end head's boxes that are compared: those below come and go."""

Run = Callable[[Mapping[str, Array]], Mapping[str, Array]]
"""Inputs by name -> outputs by name, the one that counts first."""


@dataclass(frozen=True)
class Outcome:
    """Outcome of a self-test; text has the errors and their units."""

    passed: bool
    text: str


def compare(
    task: Task,
    size: Size,
    expected: Run,
    found: Run,
    inputs: list[dict[str, Array]],
    limits: ImageLimits = ImageLimits(),  # noqa: B008 (it never changes)
) -> Outcome:
    """Run both on the same inputs. size: (width, height) of the network's input, which names the head.

    Of found's outputs, all have to be finite.
    """
    pairs: list[tuple[Array, Array]] = []
    for one in inputs:
        new = [np.asarray(output) for output in found(one).values()]
        if not all(np.isfinite(output).all() for output in new):
            return Outcome(False, "the output has NaN or infinite values")
        pairs.append((np.asarray(next(iter(expected(one).values()))), new[0]))
    outcome = _compare_images(pairs, limits) if task == "fusion" else _compare_boxes(pairs, size)
    if outcome.passed and task == "fusion" and any(np.ptp(new) == 0 for _, new in pairs):
        # NaN becomes black in both.
        return Outcome(False, "a fused image has one grey level: its weights are damaged, or overflow")
    return outcome


def _compare_images(pairs: list[tuple[Array, Array]], limits: ImageLimits) -> Outcome:
    """A pixel's error is that of its worst channel."""
    errors = [np.abs(old.astype(np.float32) - new.astype(np.float32)).max(axis=-1) for old, new in pairs]
    mean = max(float(error.mean()) for error in errors)
    tail = max(float(np.percentile(error, 99.9)) for error in errors)
    share = max(float((error > LARGE_LEVELS).mean()) for error in errors)
    worst = max(float(error.max()) for error in errors)
    passed = mean < limits.mean and tail <= limits.tail and share <= limits.large_share
    text = f"mean error {mean:.3f}, 99.9% within {tail:.0f}, largest {worst:.0f} grey levels"
    return Outcome(passed, f"{text}; {share:.3%} of the pixels are off by more than {LARGE_LEVELS:.0f}")


def _compare_boxes(pairs: list[tuple[Array, Array]], size: Size) -> Outcome:
    errors = [_box_errors(old, new, size) for old, new in pairs]
    edges, scores = ([error[part] for error in errors if error[part].size] for part in (0, 1))
    edge, edge_tail = _mean_and_tail(edges)
    score, score_tail = _mean_and_tail(scores)
    passed = edge < MAX_PIXELS and edge_tail <= MAX_TAIL_PIXELS
    passed &= score < MAX_SCORE and score_tail <= MAX_TAIL_SCORE
    text = f"mean error {edge:.3f} px of boxes, {score:.5f} of scores, 99% within {edge_tail:.2f} px and "
    return Outcome(passed, f"{text}{score_tail:.4f}, over the {_ANCHORS} best anchors")


def _box_errors(old: Array, new: Array, size: Size) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Of edges in pixels (M, 4) and of scores, over the boxes that count in the old."""
    head = identify_head(old.shape, size)
    if head.layout == "end2end":
        rows, other = _matched(old[0], new[0])
        return _apart(rows[:, :4], other[:, :4]), _apart(rows[:, 4], other[:, 4])
    rows, other = (x[0] if head.layout in ("classic", "u_rows") else x[0].T for x in (old, new))
    best = np.argsort(_scores(rows, head.layout))[-_ANCHORS:]
    return _apart(rows[best, :4], other[best, :4]), _apart(rows[best, 4:], other[best, 4:])


def _matched(old: npt.NDArray[Any], new: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """(M, 6) sure boxes of an end-to-end head, and the nearest of the other's: their order may differ."""
    sure = old[old[:, 4] >= _SURE]
    if not len(sure) or not len(new):
        return sure, np.zeros_like(sure)
    apart = np.abs(sure[:, None, :4].astype(np.float64) - new[None, :, :4]).sum(axis=2)
    apart += np.where(sure[:, None, 5] == new[None, :, 5], 0.0, np.abs(apart).max() + 1)
    return sure, new[apart.argmin(axis=1)]


def _scores(rows: npt.NDArray[Any], layout: str) -> npt.NDArray[Any]:
    return np.asarray(rows[:, 4] if layout == "classic" else rows[:, 4:].max(axis=1))


def _apart(old: npt.NDArray[Any], new: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return np.abs(old.astype(np.float64) - new.astype(np.float64))


def _mean_and_tail(errors: list[npt.NDArray[Any]]) -> tuple[float, float]:
    """The worst image's mean and 99th percentile, 0 without any boxes."""
    means = [float(error.mean()) for error in errors]
    tails = [float(np.percentile(error, 99)) for error in errors]
    return max(means, default=0.0), max(tails, default=0.0)
