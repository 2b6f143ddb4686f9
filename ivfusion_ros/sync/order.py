"""Frames of one camera in the order of their stamps, whatever the other camera does.

Frames are settled in stamp order, normally on arrival. Only a frame that comes after a hole (1.5 periods
without a frame) is held until the camera's next frame, as the missing one may still come. A frame older
than the last settled one is late and dropped. Two frames in a row that are further back than
reset_after_ms are a restart, which begins a new era. The period is the median distance of the camera's
last frames, known from its fourth frame on.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass
from itertools import pairwise

from ivfusion_ros.types import Frame

_HISTORY = 9
_MIN_INTERVALS = 3


@dataclass(frozen=True)
class Settled:
    """A frame that has its place; what comes later does not change it."""

    frame: Frame
    stamp_ns: int
    period_ns: int | None
    """of the camera by then; None: unknown"""
    era: int
    """how many restarts the camera had seen"""

    @property
    def next_due_ns(self) -> int | None:
        """The camera's next frame is not expected before so many ns after this one; None: unknown."""
        return None if self.period_ns is None else 3 * self.period_ns // 4


class CameraOrder:
    """Brings one camera's frames into stamp order; drops are counted as NAME_reason."""

    def __init__(self, name: str, drops: Counter[str]) -> None:
        self.settled: deque[Settled] = deque()
        self.era = 0
        self._name = name
        self._drops = drops
        self._history: deque[int] = deque(maxlen=_HISTORY)
        """stamps of the last settled frames of this era"""
        self._held: list[Frame] = []
        self._restart: Frame | None = None
        """a frame from far back that is either an outlier or the first of a new era"""

    def __len__(self) -> int:
        return len(self.settled) + len(self._held) + (self._restart is not None)

    @property
    def waited_ns(self) -> int:
        """How long the earliest settled frame has waited, by the stamps of those behind it; 0 for none."""
        newest = self._held[-1].stamp_ns if self._held else self._history[-1] if self._history else 0
        return int(newest) - self.settled[0].stamp_ns if self.settled else 0

    def add(self, frame: Frame, reset_after_ns: int) -> None:
        """Take the camera's next frame to arrive."""
        stamp_ns = int(frame.stamp_ns)
        if self._history and self._history[-1] - stamp_ns > reset_after_ns:
            self._add_from_far_back(frame)
            return
        if self._restart is not None:
            self._restart = None
            self._drop("late")
        if stamp_ns in self._history or any(stamp_ns == int(held.stamp_ns) for held in self._held):
            self._drop("duplicate")
        elif self._history and stamp_ns < self._history[-1]:
            self._drop("late")
        else:
            self._hold(frame)

    def settle_all(self) -> None:
        """Wait for no missing frame any more."""
        while self._held:
            self._settle()

    def drop_oldest(self, reason: str) -> None:
        """Drop the earliest frame that waits; there is one."""
        if self.settled:
            self.settled.popleft()
        elif self._held:
            del self._held[0]
        else:
            self._restart = None
        self._drop(reason)

    def _drop(self, reason: str) -> None:
        self._drops[f"{self._name}_{reason}"] += 1

    def _add_from_far_back(self, frame: Frame) -> None:
        first = self._restart
        if first is None:
            self._restart = frame
        elif int(first.stamp_ns) == int(frame.stamp_ns):
            self._drop("duplicate")
        else:
            self._restart = None
            self.settle_all()
            self._history.clear()
            self.era += 1
            for item in sorted((first, frame), key=_stamp):
                self._hold(item)

    def _hold(self, frame: Frame) -> None:
        self._held = sorted([*self._held, frame], key=_stamp)
        while self._held and (len(self._held) > 1 or not self._is_after_hole(self._held[0])):
            self._settle()

    def _settle(self) -> None:
        frame = self._held.pop(0)
        stamp_ns = int(frame.stamp_ns)
        self._history.append(stamp_ns)
        self.settled.append(Settled(frame, stamp_ns, self._period_ns(), self.era))

    def _is_after_hole(self, frame: Frame) -> bool:
        period_ns = self._period_ns()
        return period_ns is not None and 2 * (int(frame.stamp_ns) - self._history[-1]) > 3 * period_ns

    def _period_ns(self) -> int | None:
        intervals = sorted(later - earlier for earlier, later in pairwise(self._history))
        return intervals[len(intervals) // 2] if len(intervals) >= _MIN_INTERVALS else None


def _stamp(frame: Frame) -> int:
    return int(frame.stamp_ns)
