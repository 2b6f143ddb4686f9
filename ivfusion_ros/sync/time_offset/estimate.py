"""The offset between two clocks and how sure it is, from the motion of both cameras."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from ivfusion_ros.sync.time_offset.match import Match
from ivfusion_ros.sync.time_offset.track import Motion, MotionTrack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ivfusion_ros.types import CameraName, Floats, Frame, Mask

_MIN_FRAMES = 24
_MIN_SECONDS = 3.0
_COARSE_S = 0.01
_FINE_S = 0.0025
_FINE_REACH = 8
"""The peak is fitted over this many fine steps on either side."""
_JACKKNIFE_BLOCKS = 8
_RIVAL_DISTANCE_S = 0.12
_RIVAL_SHARE = 0.8
_MIN_AGREEMENT = 0.75
_MAX_ERROR_S = 0.01
_TURN = "turn the rig back and forth, irregularly, for 10 s"
_MORE = "more of them are needed"
_RESTART_NS = 1_000_000_000


@dataclass(frozen=True)
class TimeOffset:
    """How far the thermal clock is behind the RGB clock.

    offset_ns: to be added to thermal stamps (pairing.thermal_time_offset_ms), nanoseconds; None where
    it is not known.
    standard_error_ns: of offset_ns, nanoseconds; None as offset_ns.
    agreement: share of the thermal picture's motion that the RGB picture's explains, in [0, 1].
    reason: why there is no offset, and what helps; empty where there is one.
    """

    offset_ns: int | None
    standard_error_ns: int | None
    agreement: float
    reason: str = ""


class TimeOffsetMonitor:
    """Watches two cameras and estimates the offset of their clocks over the last window_s seconds.

    Takes every frame of each camera in the order of its stamps, paired or not; a stamp that jumps back
    by more than a second starts over. Takes less than 1 ms a frame; not thread-safe.
    """

    def __init__(self, window_s: float | None = 30.0, max_offset_s: float = 0.5) -> None:
        """window_s: None keeps everything. max_offset_s: the largest offset that is looked for."""
        self._tracks = {"thermal": MotionTrack(window_s), "rgb": MotionTrack(window_s)}
        self._max_offset_s = max_offset_s

    def add(self, camera: CameraName, frame: Frame) -> None:
        """Take a frame, as the camera sent it."""
        track = self._tracks[camera]
        if track.stamps_ns and track.stamps_ns[-1] - int(frame.stamp_ns) > _RESTART_NS:
            self.reset()
        track.add(frame)

    def reset(self) -> None:
        """Forget everything."""
        for track in self._tracks.values():
            track.reset()

    def estimate(self, stopped: Callable[[], bool] = lambda: False) -> TimeOffset:
        """The offset by now; takes about 0.1 s for a window of 30 s, so call it now and then.

        stopped: asked every ms or so; once it says so, this raises InterruptedError.
        """
        thermal, rgb = self._tracks["thermal"], self._tracks["rgb"]
        if not thermal.stamps_ns or not rgb.stamps_ns:
            silent = "RGB" if thermal.stamps_ns else "thermal"
            return _unknown(f"there is no {silent} frame; both cameras are needed")
        origin_ns = rgb.stamps_ns[0]
        return _estimate(thermal.motion(origin_ns), rgb.motion(origin_ns), self._max_offset_s, stopped)


def estimate_time_offset(
    thermal_frames: Iterable[Frame], rgb_frames: Iterable[Frame], max_offset_s: float = 0.5
) -> TimeOffset:
    """The offset over whole recordings, each camera's frames in the order of their stamps.

    10 to 60 s in which the rig is turned back and forth, unevenly, in front of a still scene are best.
    """
    monitor = TimeOffsetMonitor(None, max_offset_s)
    for frame in thermal_frames:
        monitor.add("thermal", frame)
    for frame in rgb_frames:
        monitor.add("rgb", frame)
    return monitor.estimate()


@dataclass(frozen=True)
class _Peak:
    shift_s: float
    error_s: float
    agreement: float
    rival: float
    """agreement at the best shift that is clearly another one"""
    at_edge: bool


def _unknown(reason: str, agreement: float = 0.0) -> TimeOffset:
    return TimeOffset(None, None, agreement, reason)


def _estimate(thermal: Motion, rgb: Motion, max_offset_s: float, stopped: Callable[[], bool]) -> TimeOffset:
    for name, motion in (("thermal", thermal), ("RGB", rgb)):
        lacking = _lacking(name, motion)
        if lacking:
            return _unknown(lacking)
    thermal_is_slow = np.median(np.diff(thermal.times_s)) >= np.median(np.diff(rgb.times_s))
    slow, fast = (thermal, rgb) if thermal_is_slow else (rgb, thermal)
    match = Match(slow, fast, stopped)
    peak = _peak(match, max_offset_s)
    reason = _doubt(peak)
    if reason:
        return _unknown(reason, peak.agreement)
    offset_ns = round(peak.shift_s * 1e9) * (1 if thermal_is_slow else -1)
    return TimeOffset(offset_ns, round(peak.error_s * 1e9), peak.agreement)


def _lacking(name: str, motion: Motion) -> str:
    """What one camera has too little of; empty where it has enough."""
    count, seconds = len(motion.times_s), float(np.ptp(motion.times_s))
    if count >= _MIN_FRAMES and seconds >= _MIN_SECONDS:
        return ""
    if motion.repeated > _MIN_FRAMES:
        return (
            f"{motion.repeated} of {motion.repeated + count} {name} frames repeat the one before: nothing "
            f"moves, or the camera hangs; {_TURN}"
        )
    # The one that is lacking alone: beside it, one that is enough reads like a contradiction.
    if count < _MIN_FRAMES:
        return f"the {name} camera gave {count} different frames, expected at least {_MIN_FRAMES}: {_MORE}"
    return (
        f"the {name} camera's frames lie within {seconds:.1f} s, "
        f"expected at least {_MIN_SECONDS:g} s: {_MORE}"
    )


def _doubt(peak: _Peak) -> str:
    if peak.agreement < _MIN_AGREEMENT:
        return f"the cameras see too little common motion of the rig; {_TURN}"
    if peak.at_edge:
        return f"the best offset is the largest one tried, {abs(peak.shift_s) * 1e3:.0f} ms; allow more"
    if peak.rival > _RIVAL_SHARE * peak.agreement:
        return f"the motion repeats itself, so that several offsets fit; {_TURN}"
    if not peak.error_s <= _MAX_ERROR_S:
        return f"too little motion of the rig: uncertain by {peak.error_s * 1e3:.0f} ms; {_TURN}"
    return ""


def _peak(match: Match, max_offset_s: float) -> _Peak:
    everything = np.ones(len(match.times_s), bool)
    grid = np.arange(-max_offset_s, max_offset_s + _COARSE_S / 2, _COARSE_S)
    curve = np.array([match.agreement(shift, everything) for shift in grid])
    best = int(curve.argmax())
    others = curve[np.abs(grid - grid[best]) > _RIVAL_DISTANCE_S]
    shift = _refine(match, _refine(match, float(grid[best]), everything), everything)
    return _Peak(
        shift_s=shift,
        error_s=_standard_error(match, shift),
        agreement=float(curve[best]),
        rival=float(others.max()) if len(others) else 0.0,
        at_edge=best in (0, len(grid) - 1),
    )


def _refine(match: Match, start_s: float, use: Mask) -> float:
    """Top of the parabola around a shift; it moves by no more than its own reach."""
    steps = _FINE_S * np.arange(-_FINE_REACH, _FINE_REACH + 1)
    curve = np.array([match.agreement(start_s + step, use) for step in steps])
    bend, slope, _ = np.polyfit(steps, curve, 2)
    if bend >= 0:
        return start_s + float(steps[curve.argmax()])
    return start_s + float(np.clip(-slope / (2 * bend), steps[0], steps[-1]))


def _standard_error(match: Match, shift_s: float) -> float:
    """By leaving out one stretch of time after the other (jackknife)."""
    edges = np.quantile(match.times_s, np.linspace(0, 1, _JACKKNIFE_BLOCKS + 1))
    edges[-1] = np.inf
    found: Floats = np.array(
        [
            _refine(match, shift_s, (match.times_s < low) | (match.times_s >= high))
            for low, high in pairwise(edges)
        ]
    )
    return float(np.std(found) * np.sqrt(_JACKKNIFE_BLOCKS - 1))
