"""Pairing of thermal and RGB frames by stamps: the same pairs live and in replay.

What becomes a pair follows from the two sequences of stamps alone, never from how the arrivals of the
two cameras interleave, as long as no queue overflows. Two rules make that possible:

Order, per camera: see order.py. Frames of different eras are no pair, and the camera that is still in the
old era loses its frames until it restarts as well. If it runs on for queue_size frames, the restart was
the other camera's alone, and pairing goes on.

Match, earliest frames first. Of the two earliest unused settled frames, one on each side, the earlier one
is dropped if they are too far apart. Else they are a pair, unless partners.py gives the earlier one up for
the frame that follows it. If that one is the later of the two, they are the pair at once; if it is still
the earlier one, it is judged in turn. So of two neighbours within the limit one is always used.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ivfusion_ros.sync.order import CameraOrder
from ivfusion_ros.sync.partners import PartnerChoice
from ivfusion_ros.types import Frame, FramePair

if TYPE_CHECKING:
    from ivfusion_ros.config.pipeline import PairingConfig
    from ivfusion_ros.types import CameraName


@dataclass(frozen=True)
class Patience:
    """How long frames beyond queue_size wait where no time is lost by it: in a recording.

    A camera may be recorded late by so many ns without a lost pair, as long as what waits of the other one
    fits into so many bytes.
    """

    wait_ns: int
    held_bytes: int


READ_AHEAD = Patience(wait_ns=30_000_000_000, held_bytes=512 * 2**20)


class Pairer:
    """Pairs two cameras' frames; not thread-safe.

    The methods that take frames return the pairs that became certain, in order of RGB stamps.
    Of a frame only `stamp_ns` (any int64) is looked at, and with patience the size of its image.

    drops: frames that got into no pair, by camera and reason: `thermal_` or `rgb_` with no_partner,
    duplicate, late (its place in time is settled already), overflow (more than queue_size waited) or
    reset (left behind by the other camera's restart, or waiting at reset()).
    pairs: how many pairs there were.
    """

    def __init__(self, config: PairingConfig, patience: Patience | None = None) -> None:
        self._patience = patience
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
        while self._is_full(waiting, frame):
            waiting.drop_oldest("overflow")
        return pairs

    def _is_full(self, waiting: CameraOrder, frame: Frame) -> bool:
        if len(waiting) <= self._config.queue_size or self._patience is None:
            return len(waiting) > self._config.queue_size
        held_bytes = len(waiting) * frame.image.nbytes
        return waiting.waited_ns > self._patience.wait_ns or held_bytes > self._patience.held_bytes

    def flush(self) -> list[FramePair]:
        """Pair what waits, as no frame follows, and drop the rest. What is added later starts over."""
        self._thermal.settle_all()
        self._rgb.settle_all()
        pairs = self._match(ended=True)
        self._drop_all("no_partner")
        return pairs

    def reset(self) -> None:
        """Drop what waits and start over; counters stay."""
        self._drop_all("reset")

    def _start(self) -> None:
        self._thermal = CameraOrder("thermal", self.drops)
        self._rgb = CameraOrder("rgb", self.drops)
        self._choice = PartnerChoice()
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
            skew_ns = self._skew_ns()
            earlier, later = (self._thermal, self._rgb) if skew_ns <= 0 else (self._rgb, self._thermal)
            if abs(skew_ns) > self._max_skew_ns:
                earlier.drop_oldest("no_partner")
                continue
            given_up = self._choice.gives_up(
                earlier.settled, later.settled, abs(skew_ns), self._max_skew_ns, ended
            )
            if given_up is None:
                break
            if given_up:
                earlier.drop_oldest("no_partner")
            if not given_up or self._skew_ns() * skew_ns <= 0:
                pairs.append(self._take_pair())
        self.pairs += len(pairs)
        return pairs

    def _skew_ns(self) -> int:
        return self._thermal.settled[0].stamp_ns + self._offset_ns - self._rgb.settled[0].stamp_ns

    def _take_pair(self) -> FramePair:
        skew_ns = self._skew_ns()
        return FramePair(self._thermal.settled.popleft().frame, self._rgb.settled.popleft().frame, skew_ns)

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
