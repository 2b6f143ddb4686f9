"""Whether a camera repeats its image, and how much has moved meanwhile."""

from __future__ import annotations

from collections import deque

import cv2

from ivfusion_ros.pipeline.faults.look import Look, moved_share

_HISTORY = 64
_MIN_HISTORY = 16
_SAME_SHARE = 0.1
"""A compressed repetition differs by less than this share of a quiet frame's difference."""
_MIN_MOVED, _MUCH_MOVED = 0.002, 0.02
"""Shares of the other image from which a stale one misleads a little, and entirely."""


class Freeze:
    """Watches one camera with the other one as witness.

    seconds: how long the same image has been repeated, 0 for a fresh one.
    stale: how misleading it is by now, 0 (nothing moved since) to 1; never falls during a freeze.
    """

    def __init__(self) -> None:
        self._differences: deque[float] = deque(maxlen=_HISTORY)
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self._differences.clear()
        self._last: Look | None = None
        self._witness: Look | None = None
        self._fresh_ns = 0
        self.seconds = 0.0
        self.stale = 0.0

    def update(self, own: Look, other: Look, stamp_ns: int) -> None:
        """Take both cameras' next images; stamp_ns: of the pair."""
        if self._last is None or self._witness is None or not self._repeats(own, self._last):
            self._last, self._witness, self._fresh_ns = own, other, stamp_ns
            self.seconds, self.stale = 0.0, 0.0
            return
        self._last = own
        self.seconds = (stamp_ns - self._fresh_ns) / 1e9
        share = moved_share(other, self._witness)
        stale = (share - _MIN_MOVED) / (_MUCH_MOVED - _MIN_MOVED)
        self.stale = max(self.stale, min(1.0, max(0.0, stale)))

    @property
    def certain(self) -> bool:
        """Whether the repetition is no coincidence: the other camera moved, or this one has noise."""
        return self.stale > 0 or self._quiet() > 0

    def _quiet(self) -> float:
        """Difference of two fresh images of a still scene: its noise; 0 while unknown."""
        if len(self._differences) < _MIN_HISTORY:
            return 0.0
        return sorted(self._differences)[len(self._differences) // 10]

    def _repeats(self, own: Look, last: Look) -> bool:
        if own.samples.shape != last.samples.shape or own.samples.dtype != last.samples.dtype:
            return False
        difference = float(cv2.mean(cv2.absdiff(own.samples, last.samples))[0])
        if difference <= _SAME_SHARE * self._quiet():
            return True
        if difference > 0:
            self._differences.append(difference)
        return difference == 0
