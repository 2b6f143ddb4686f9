"""Pairing of thermal and RGB frames by nearest stamp: the same pairs live and in replay.

What becomes a pair follows from the two sequences of stamps alone, never from how the arrivals of the
two cameras interleave, as long as no queue overflows. Two rules make that possible:

Order, per camera. Frames are settled in stamp order, normally on arrival. Only a frame that comes
after a hole (1.5 periods without a frame) is held until the camera's next frame, as the missing one
may still come. A frame older than the last settled one is late and dropped. Two frames in a row that
are further back than reset_after_ms are a restart, which begins a new era: frames of different eras
are no pair, and the camera that is still in the old era loses its frames until it restarts as well.
If it runs on for queue_size frames, the restart was the other camera's alone, and pairing goes on.

Match, earliest frames first. Of the two earliest unused settled frames, one on each side, the earlier
one is dropped if they are too far apart, or if the frame that follows it is nearer to the other;
else they are a pair. So each frame of a pair is the nearest one that is left to the other. Where the
following frame cannot be nearer, as it is not due within 3/4 of a period, or as both stamps are
equal, the pair goes out at once; else when the following frame is settled. The period is the median
distance of the camera's last frames, known from its fourth frame on.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from ivfusion_ros.types import Frame, FramePair

if TYPE_CHECKING:
    from ivfusion_ros.config.pipeline import PairingConfig
    from ivfusion_ros.types import CameraName

_HISTORY = 9
_MIN_INTERVALS = 3


@dataclass(frozen=True)
class _Settled:
    frame: Frame
    stamp_ns: int
    next_due_ns: int | None
    """the camera's next frame is not expected before this; None: unknown"""
    era: int
    """how many restarts the camera had seen"""


class _Camera:
    """Brings one camera's frames into stamp order, whatever the other camera does."""

    def __init__(self, name: str, drops: Counter[str]) -> None:
        self.settled: deque[_Settled] = deque()
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

    def add(self, frame: Frame, reset_after_ns: int) -> None:
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
        while self._held:
            self._settle()

    def drop_oldest(self, reason: str) -> None:
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
        period_ns = self._period_ns()
        next_due_ns = None if period_ns is None else stamp_ns + 3 * period_ns // 4
        self.settled.append(_Settled(frame, stamp_ns, next_due_ns, self.era))

    def _is_after_hole(self, frame: Frame) -> bool:
        period_ns = self._period_ns()
        return period_ns is not None and 2 * (int(frame.stamp_ns) - self._history[-1]) > 3 * period_ns

    def _period_ns(self) -> int | None:
        intervals = sorted(later - earlier for earlier, later in pairwise(self._history))
        return intervals[len(intervals) // 2] if len(intervals) >= _MIN_INTERVALS else None


def _stamp(frame: Frame) -> int:
    return int(frame.stamp_ns)


class Pairer:
    """Pairs two cameras' frames; not thread-safe.

    The methods that take frames return the pairs that became certain, in order of RGB stamps.
    Of a frame only `stamp_ns` (any int64) is looked at.

    drops: frames that got into no pair, by camera and reason: `thermal_` or `rgb_` with no_partner,
    duplicate, late (its place in time is settled already), overflow (more than queue_size waited) or
    reset (left behind by the other camera's restart, or waiting at reset()).
    pairs: how many pairs there were.
    """

    def __init__(self, config: PairingConfig) -> None:
        self.drops: Counter[str] = Counter()
        self.pairs = 0
        self._past_restarts = 0
        self.set_config(config)
        self._start()

    @property
    def pending(self) -> tuple[int, int]:
        """(thermal, RGB) frames that wait."""
        return len(self._thermal), len(self._rgb)

    @property
    def restarts(self) -> int:
        """How often stamps jumped back, counting both cameras."""
        return self._past_restarts + self._thermal.era + self._rgb.era

    def set_config(self, config: PairingConfig) -> None:
        """Take over other parameters, for waiting frames too."""
        self._config = config
        self._max_skew_ns = round(config.max_skew_ms * 1e6)
        self._offset_ns = round(config.thermal_time_offset_ms * 1e6)
        self._reset_after_ns = round(config.reset_after_ms * 1e6)

    def add(self, camera: CameraName, frame: Frame) -> list[FramePair]:
        """Take a frame of a camera."""
        waiting = self._thermal if camera == "thermal" else self._rgb
        waiting.add(frame, self._reset_after_ns)
        pairs = self._match()
        while len(waiting) > self._config.queue_size:
            waiting.drop_oldest("overflow")
        return pairs

    def flush(self) -> list[FramePair]:
        """Pair what waits, as no frame follows, and drop the rest. What is added later starts afresh."""
        self._thermal.settle_all()
        self._rgb.settle_all()
        pairs = self._match(ended=True)
        self._drop_all("no_partner")
        return pairs

    def reset(self) -> None:
        """Drop what waits and start afresh; counters stay."""
        self._drop_all("reset")

    def _start(self) -> None:
        self._thermal = _Camera("thermal", self.drops)
        self._rgb = _Camera("rgb", self.drops)
        # Thermal era minus RGB era where both mean the same time, and frames lost to a difference.
        self._eras_apart = 0
        self._left_behind = 0

    def _drop_all(self, reason: str) -> None:
        for camera in (self._thermal, self._rgb):
            while len(camera):
                camera.drop_oldest(reason)
        self._past_restarts = self.restarts
        self._start()

    def _match(self, ended: bool = False) -> list[FramePair]:
        pairs: list[FramePair] = []
        while self._thermal.settled and self._rgb.settled:
            if self._drop_left_behind():
                continue
            thermal, rgb = self._thermal.settled[0], self._rgb.settled[0]
            skew_ns = thermal.stamp_ns + self._offset_ns - rgb.stamp_ns
            earlier = self._thermal if skew_ns <= 0 else self._rgb
            fits = abs(skew_ns) <= self._max_skew_ns and _is_nearest(earlier, abs(skew_ns), ended)
            if fits is None:
                break
            if fits:
                self._thermal.settled.popleft()
                self._rgb.settled.popleft()
                pairs.append(FramePair(thermal.frame, rgb.frame, skew_ns))
            else:
                earlier.drop_oldest("no_partner")
        self.pairs += len(pairs)
        return pairs

    def _drop_left_behind(self) -> bool:
        """Drop the earliest frame of the camera that is an era behind; False if neither is."""
        ahead = self._thermal.settled[0].era - self._rgb.settled[0].era - self._eras_apart
        if ahead and self._left_behind < self._config.queue_size:
            (self._rgb if ahead > 0 else self._thermal).drop_oldest("reset")
            self._left_behind += 1
            return True
        self._eras_apart += ahead
        self._left_behind = 0
        return False


def _is_nearest(camera: _Camera, skew_ns: int, ended: bool) -> bool | None:
    """Whether the camera's earliest frame is nearest to a partner skew_ns later; None: not known yet."""
    first = camera.settled[0]
    if skew_ns == 0 or (
        first.next_due_ns is not None and first.next_due_ns - first.stamp_ns >= 2 * skew_ns
    ):
        return True
    if len(camera.settled) < 2:
        return True if ended else None
    # One of the next era lies further back than the first, so it is not nearer.
    return abs(camera.settled[1].stamp_ns - first.stamp_ns - skew_ns) >= skew_ns
