"""How long the stages of a pipeline take."""

from __future__ import annotations

import time


class StageClock:
    """Wall time per stage, in milliseconds, in the order in which stages end."""

    def __init__(self) -> None:
        self.timings_ms: dict[str, float] = {}
        self._last = time.perf_counter()

    def resume(self) -> None:
        """Book the time since the last call on nothing: the frame waited."""
        self._last = time.perf_counter()

    def stage(self, name: str) -> None:
        """Book the time since the last call on `name`."""
        now = time.perf_counter()
        self.timings_ms[name] = (now - self._last) * 1e3
        self._last = now
