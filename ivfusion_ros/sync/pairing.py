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

Where thermal frames may be held, each RGB frame gets one by hold.py instead.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ivfusion_ros.sync.hold import Step, next_step
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
    pairs: how many pairs there were. held: how many of them with a thermal frame that was held.
    """

    def __init__(
        self, config: PairingConfig, patience: Patience | None = None, *, hold_ns: int = 0
    ) -> None:
        """hold_ns: up to this age a thermal frame serves further RGB frames, 0: it serves one."""
        self._patience = patience
        self._hold_ns = hold_ns
        self.drops: Counter[str] = Counter()
        self.pairs = 0
        self.held = 0
        self._past_restarts = 0
        self.set_config(config)
        self._start()

    @property
    def pending(self) -> tuple[int, int]:
        """(thermal, RGB) frames that wait."""
        return len(self._thermal) - self._serves, len(self._rgb)

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
            # What waits for a better thermal frame has one already.
            if not (self._hold_ns and camera == "rgb" and self._hold_step(pairs, ended=True)):
                self._drop_oldest(waiting, "overflow")
        return pairs

    def _is_full(self, waiting: CameraOrder, frame: Frame) -> bool:
        count = len(waiting) - (waiting is self._thermal and self._serves)
        if count <= self._config.queue_size or self._patience is None:
            return count > self._config.queue_size
        held_bytes = count * frame.image.nbytes
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
        self._serves = False
        """whether the earliest thermal frame was in a pair already, and is kept for more of them"""

    def _drop_all(self, reason: str) -> None:
        for camera in (self._thermal, self._rgb):
            while len(camera):
                self._drop_oldest(camera, reason)
        self._past_restarts = self.restarts
        self._start()

    def _drop_oldest(self, camera: CameraOrder, reason: str) -> None:
        if camera is self._thermal and self._serves:
            camera.settled.popleft()
            self._serves = False
        else:
            camera.drop_oldest(reason)

    def _match(self, ended: bool = False) -> list[FramePair]:
        pairs: list[FramePair] = []
        if self._hold_ns:
            while self._hold_step(pairs, ended=ended or self._is_overdue()):
                pass
            return pairs
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

    def _hold_step(self, pairs: list[FramePair], *, ended: bool) -> bool:
        """Bring one frame further; False where that needs another frame."""
        if not (self._thermal.settled and self._rgb.settled):
            return False
        if self._drop_left_behind():
            return True
        skew_ns = self._skew_ns()
        step = next_step(self._thermal.settled, -skew_ns, self._max_skew_ns, self._hold_ns, ended=ended)
        if step == Step.NEXT:
            self._drop_oldest(self._thermal, "no_partner")
        elif step == Step.NO_PARTNER:
            self._rgb.drop_oldest("no_partner")
        elif step == Step.PAIR:
            held = self._serves or -skew_ns > self._max_skew_ns
            thermal, rgb = self._thermal.settled[0].frame, self._rgb.settled.popleft().frame
            pairs.append(FramePair(thermal, rgb, skew_ns, held=held))
            self._serves = True
            self.pairs, self.held = self.pairs + 1, self.held + held
        return step != Step.WAIT

    def _is_overdue(self) -> bool:
        """Whether live RGB frames have waited for two periods of the thermal camera.

        A thermal frame that comes after a hole is settled by the next one, a period later.
        """
        if self._patience is not None or not (self._thermal.settled and self._rgb.settled):
            return False
        period_ns = self._thermal.settled[0].period_ns
        return period_ns is not None and self._rgb.waited_ns > 2 * period_ns

    def _skew_ns(self) -> int:
        return self._thermal.settled[0].stamp_ns + self._offset_ns - self._rgb.settled[0].stamp_ns

    def _take_pair(self) -> FramePair:
        skew_ns = self._skew_ns()
        return FramePair(self._thermal.settled.popleft().frame, self._rgb.settled.popleft().frame, skew_ns)

    def _drop_left_behind(self) -> bool:
        """Drop the earliest frame of the camera that is an era behind; False if neither is."""
        ahead = self._thermal.settled[0].era - self._rgb.settled[0].era - self._eras_apart
        if ahead and self._left_behind < self._config.queue_size:
            self._drop_oldest(self._rgb if ahead > 0 else self._thermal, "reset")
            self._left_behind += 1
            return True
        self._eras_apart += ahead
        self._left_behind = 0
        return False
