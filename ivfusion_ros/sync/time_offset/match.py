"""Motion of two cameras against each other: how well it agrees if one clock is shifted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Callable

    from ivfusion_ros.sync.time_offset.track import Motion
    from ivfusion_ros.types import Floats, Mask


_LAG_S = 0.2
_MAX_LAG_S = 0.5
_HOLE_PERIODS = 1.8
_MIN_SAMPLES = 8
_OUTLIER = 9.0
"""Squared errors of more than so many medians are left aside: a car that filled the view."""


class Match:
    """How the slower camera's picture shifted between its frames, and the faster one's meanwhile.

    times_s: (N,) middle of the pairs of frames, about _LAG_S apart. stopped: asked at each shift.
    """

    def __init__(self, slow: Motion, fast: Motion, stopped: Callable[[], bool]) -> None:
        self._stopped = stopped
        times = slow.times_s
        second = np.searchsorted(times, times + _LAG_S - 1e-6)
        first = np.flatnonzero(second < len(times))
        second = second[first]
        near = times[second] - times[first] <= _MAX_LAG_S
        first, second = first[near], second[near]
        self._start_s, self._end_s = times[first], times[second]
        self.times_s: Floats = (self._start_s + self._end_s) / 2
        places = _complex(slow.positions)
        self._seen = places[second] - places[first]
        self._fast = _Path(fast)

    def agreement(self, shift_s: float, use: Mask) -> float:
        """Share of the motion explained, in [0, 1], if shift_s is added to the slower camera's stamps.

        use: (N,) pairs to look at. Zoom and roll may differ between the cameras. Raises InterruptedError
        once `stopped` says so.
        """
        if self._stopped():
            raise InterruptedError
        start, start_known = self._fast.at(self._start_s + shift_s)
        end, end_known = self._fast.at(self._end_s + shift_s)
        chosen = use & start_known & end_known
        if chosen.sum() < _MIN_SAMPLES:
            return 0.0
        seen, expected = self._seen[chosen], (end - start)[chosen]
        kept = np.ones(len(seen), bool)
        for _ in range(3):
            energy = max(float(np.vdot(expected[kept], expected[kept]).real), 1e-12)
            turn = np.vdot(expected[kept], seen[kept]) / energy
            error = np.square(np.abs(seen - turn * expected))
            kept = error <= _OUTLIER * np.median(error) + 1e-12
        # Both cameras face one way, so that neither sees the motion reversed.
        if turn.real <= abs(turn.imag):
            return 0.0
        unexplained = error[kept].sum() / max(float(np.vdot(seen[kept], seen[kept]).real), 1e-12)
        return float(max(0.0, 1.0 - unexplained))


class _Path:
    """Positions of a camera at any time, as complex numbers x + iy; cubic between the frames."""

    def __init__(self, motion: Motion) -> None:
        self._times, self._places = motion.times_s, _complex(motion.positions)
        self._steps = np.diff(self._times)
        self._slopes = np.gradient(self._places, self._times)
        self._hole = _HOLE_PERIODS * float(np.median(self._steps))

    def at(self, query_s: Floats) -> tuple[npt.NDArray[np.complex128], Mask]:
        """(N,) positions, and whether they are known: not outside the recording, nor in a hole."""
        index = np.clip(np.searchsorted(self._times, query_s, side="right") - 1, 0, len(self._steps) - 1)
        step = self._steps[index]
        u = (query_s - self._times[index]) / step
        known = (u >= 0) & (u <= 1) & (step <= self._hole)
        before, after = self._places[index], self._places[index + 1] - self._places[index]
        slope, next_slope = step * self._slopes[index], step * self._slopes[index + 1]
        cubic = before + u * (slope + u * (3 * after - 2 * slope - next_slope))
        return np.asarray(cubic + u**3 * (slope + next_slope - 2 * after)), np.asarray(known)


def _complex(positions: Floats) -> npt.NDArray[np.complex128]:
    return np.asarray(positions[:, 0] + 1j * positions[:, 1])
