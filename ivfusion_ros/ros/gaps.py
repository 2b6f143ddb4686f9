"""Images that never came, by the stamps of those that did."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ivfusion_ros.types import Floats

_FEWEST = 20
"""Intervals below which nothing is said."""

_SHORT = 5.0
"""Percentile of the intervals near which the camera's own is looked for: few of many may have come."""

_OFF = 0.2
"""How far an interval may be from a multiple of the camera's own, as a share of that."""

_STEADY = 0.8
"""Share of the intervals that must be near a multiple: else the camera has no rate of its own."""


def missing_share(stamps_ns: Sequence[int]) -> float:
    """Share, 0 to 1, of a steady camera's images that are not among the newest ones that came.

    stamps_ns: of those, in order; only what follows the last jump back is judged. 0 where there are few, or
    the camera has no rate of its own.
    """
    intervals = np.diff(np.asarray(stamps_ns, np.int64)).astype(float)
    back = np.flatnonzero(intervals <= 0)
    intervals = intervals[back[-1] + 1 if len(back) else 0 :]
    if len(intervals) < _FEWEST:
        return 0.0
    multiples = intervals / _period(intervals)
    whole = np.maximum(np.rint(multiples), 1)
    if np.mean(np.abs(multiples - whole) <= _OFF) < _STEADY:
        return 0.0
    return float(1 - len(whole) / whole.sum())


def _period(intervals: Floats) -> float:
    """The camera's own interval: the mean of those around a short one, then of all by their multiples."""
    short = np.percentile(intervals, _SHORT)
    period = float(intervals[np.abs(intervals - short) < short / 2].mean())
    for most in (3, 10):
        multiples = np.maximum(np.rint(intervals / period), 1)
        period = float(intervals[multiples <= most].sum() / multiples[multiples <= most].sum())
    return period
