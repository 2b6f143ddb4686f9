"""How long a run will still take, validations included."""

from __future__ import annotations

import statistics
from collections import deque

_RECENT = 60
"""Steps whose times count: a machine is not always as free as it was."""


class Pace:
    """Times of steps and validations so far, seconds."""

    def __init__(self) -> None:
        self._steps: deque[float] = deque(maxlen=_RECENT)
        self._validations: deque[float] = deque(maxlen=3)

    def add_step(self, seconds: float) -> None:
        """A step took this long, everything between two steps included."""
        self._steps.append(seconds)

    def add_validation(self, seconds: float) -> None:
        """A validation took this long."""
        self._validations.append(seconds)

    @property
    def step_s(self) -> float:
        """Mean of recent steps, 0 before the first."""
        return statistics.fmean(self._steps) if self._steps else 0.0

    def left_s(self, steps: int, validations: int) -> float:
        """What so many of both will take, by the recent ones; validations count once one has been seen."""
        validation_s = statistics.fmean(self._validations) if self._validations else 0.0
        return steps * self.step_s + validations * validation_s


def in_words(seconds: float) -> str:
    """`45 s`, `12 min`, `3 h 10 min`, `2 d 4 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes // 1440} d {minutes % 1440 // 60} h"
