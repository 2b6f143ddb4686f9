"""Whether two cameras' stamps come from one clock, and what to do where they do not.

A recorder writes down when each frame reached it. Both cameras' stamps less these times differ by the
offset between their clocks, and by a link's delay, which is seconds at most. Stamps that all are the same,
0 above all, come from no clock.
"""

from __future__ import annotations

import itertools
import logging
import statistics
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ivfusion_ros.types import CAMERAS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from ivfusion_ros.types import CameraName, Frame

log = logging.getLogger(__name__)

MIN_FRAMES = 3
"""Of each camera, before its clock is judged."""
LOOKED_FRAMES = 20
"""Of each camera, before a difference is told that may be a clock's or a link's."""
MIN_TOLD_NS = 50_000_000
"""Links differ by less."""
MAX_HELD_BYTES = 128 * 2**20
"""Of frames that wait for the judgement, on which the pairs of the first frames depend."""
APART_NS = 10_000_000_000
"""More than a recorder is late: the clocks differ."""

_USUAL_S = (18, 19, 37)
"""GPS and UTC, TAI and GPS, TAI and UTC."""
_ZONE_S = 900
_LATENCY_S = 0.25
"""By so much the times of arrival may be wrong about such a difference."""

Stamped = tuple["CameraName", "Frame"]


@dataclass(frozen=True)
class Sighting:
    """When a frame says that it was taken, and when it reached the recorder, ns."""

    stamp_ns: int
    received_ns: int


class ClockCheck:
    """Passes frames on; stamps that come from no clock become the times of arrival.

    on_offset: called once with ns to be added to thermal stamps, where the clocks are so far apart that no
    two frames of one moment would be a pair; None: nothing is done about it. measured_ns: that offset as
    the times of arrival tell it, once known.
    """

    def __init__(self, on_offset: Callable[[int], None] | None) -> None:
        self.measured_ns: int | None = None
        self._on_offset = on_offset
        self._seen: dict[str, list[Sighting]] = {camera: [] for camera in CAMERAS}
        self._by_arrival = False
        self._judged = self._looked = False

    def frames(self, frames: Iterable[Stamped]) -> Iterator[Stamped]:
        """The same frames in the same order."""
        held: list[Stamped] = []
        held_bytes = 0
        for camera, frame in frames:
            if not self._judged:
                held.append((camera, frame))
                held_bytes += frame.image.nbytes
                self._see(camera, frame)
                if not self._judged and held_bytes < MAX_HELD_BYTES:
                    continue
                yield from map(self._stamped, held)
                held = []
            else:
                self._look(camera, frame)
                yield self._stamped((camera, frame))
        yield from map(self._stamped, held)

    def _stamped(self, item: Stamped) -> Stamped:
        camera, frame = item
        if not self._by_arrival or frame.received_ns is None:
            return item
        return camera, replace(frame, stamp_ns=frame.received_ns)

    def _see(self, camera: CameraName, frame: Frame) -> None:
        if frame.received_ns is None:
            # Of films and folders nobody knows when they arrived.
            self._judged = self._looked = True
            return
        if len(self._seen[camera]) < MIN_FRAMES:
            self._seen[camera].append(Sighting(frame.stamp_ns, frame.received_ns))
        if all(len(seen) == MIN_FRAMES for seen in self._seen.values()):
            self._judged = True
            self._judge()

    def _judge(self) -> None:
        still = [camera for camera in CAMERAS if len({seen.stamp_ns for seen in self._seen[camera]}) == 1]
        if still:
            self._by_arrival = self._looked = True
            stamp_ns = self._seen[still[0]][0].stamp_ns
            log.warning(
                "%s: all stamps are %d ns, so no clock sets them; frames are paired by the times at which "
                "they were recorded, and the delays of their links go into the skew",
                " and ".join(still), stamp_ns,
            )  # fmt: skip
            return
        self.measured_ns = offset_ns(self._seen["thermal"], self._seen["rgb"])
        first_ns = self._seen["rgb"][0].stamp_ns - self._seen["thermal"][0].stamp_ns
        # A camera that starts later is no clock that differs, nor are two recorders with one clock each.
        if self._on_offset is None or min(abs(self.measured_ns), abs(first_ns)) < APART_NS:
            return
        self._looked = True
        chosen_ns = usual(self.measured_ns)
        log.warning("%s; paired with this offset", self.advice(chosen_ns))
        self._on_offset(chosen_ns)

    def _look(self, camera: CameraName, frame: Frame) -> None:
        """Tell once of clocks so little apart that frames pair which are not of one moment."""
        if self._looked or self._on_offset is None or frame.received_ns is None:
            return
        self._seen[camera].append(Sighting(frame.stamp_ns, frame.received_ns))
        if any(len(seen) < LOOKED_FRAMES for seen in self._seen.values()):
            return
        self._looked = True
        self.measured_ns = offset_ns(self._seen["thermal"], self._seen["rgb"])
        period_ns = min(map(_period_ns, self._seen.values()))
        if MIN_TOLD_NS < abs(self.measured_ns) < APART_NS and abs(self.measured_ns) > period_ns / 2:
            frames_off = abs(self.measured_ns) / max(period_ns, 1)
            log.warning(
                "frames may be paired with a neighbour of their partner, %.1f frames off: %s, unless "
                "frames of one camera only reach the recorder later",
                frames_off, self.advice(self.measured_ns),
            )  # fmt: skip

    def advice(self, chosen_ns: int | None = None) -> str:
        """How far the clocks are apart, and the parameter that makes up for it; '' where not known."""
        return "" if self.measured_ns is None else advice(self.measured_ns, chosen_ns)


def advice(measured_ns: int, chosen_ns: int | None = None) -> str:
    """How far the clocks are apart, and the parameter that makes up for it: the chosen one or usual()."""
    chosen_ns = usual(measured_ns) if chosen_ns is None else chosen_ns
    side = "behind" if measured_ns > 0 else "ahead of"
    return (
        f"the thermal camera's clock is {said(abs(measured_ns))} {side} the RGB camera's, by the times of "
        f"arrival: set pairing.thermal_time_offset_ms to {chosen_ns / 1e6:.1f}"
    )


def offset_ns(thermal: Iterable[Sighting], rgb: Iterable[Sighting]) -> int:
    """What to add to thermal stamps so that both clocks agree, by the times of arrival, ns."""
    ahead = (statistics.median_low(seen.stamp_ns - seen.received_ns for seen in seens)
             for seens in (thermal, rgb))  # fmt: skip
    thermal_ahead, rgb_ahead = ahead
    return rgb_ahead - thermal_ahead


def _period_ns(seen: list[Sighting]) -> int:
    """The usual time between two frames."""
    stamps = sorted(item.stamp_ns for item in seen)
    return statistics.median_low(later - earlier for earlier, later in itertools.pairwise(stamps))


def usual(measured_ns: int) -> int:
    """A difference between time scales or zones that is near enough to be meant, else what was measured."""
    seconds = measured_ns / 1e9
    zone_s = round(seconds / _ZONE_S) * _ZONE_S
    for exact_s in (*_USUAL_S, *(-s for s in _USUAL_S), *([zone_s] if abs(zone_s) <= 86400 else [])):
        if exact_s and abs(seconds - exact_s) <= _LATENCY_S:
            return exact_s * 1_000_000_000
    return measured_ns


def said(duration_ns: int) -> str:
    """A duration as people say it."""
    seconds = duration_ns / 1e9
    if seconds >= 86400:
        return f"{seconds:.1f} s ({seconds / 86400:.1f} days)"
    if seconds < 1:
        return f"{duration_ns / 1e6:.0f} ms"
    return f"{seconds:.1f} s" + (f" ({seconds / 3600:.1f} h)" if seconds >= 3600 else "")
