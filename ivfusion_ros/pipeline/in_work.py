"""What a pipeline works on now, and for how long: of what takes too long nothing comes that would tell."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class InWork:
    """Names of the stages that run now; for any threads. clock: seconds, steady."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._begun_s: dict[object, tuple[float, str]] = {}

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """The stage runs while this is entered."""
        key = object()
        self._begun_s[key] = self._clock(), stage
        try:
            yield
        finally:
            del self._begun_s[key]

    def longest(self) -> tuple[str, float]:
        """The stage that has run for the longest time, and how long, s; '' and 0 where none runs."""
        begun_s, stage = min(list(self._begun_s.values()), default=(self._clock(), ""))
        return stage, self._clock() - begun_s
