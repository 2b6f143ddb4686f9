"""Problems that come with every frame, logged without flooding the log."""

from __future__ import annotations

import threading
import time
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

PERIOD_S = 10.0
_MAX_KINDS = 100


class ThrottledLog:
    """Logs a problem when it is new, then at most every 10 s with how often it came; counts them all.

    Several threads may complain.
    """

    def __init__(self, log: Callable[[str], object]) -> None:
        self.total = 0
        self._log = log
        self._lock = threading.Lock()
        self._due_s: dict[str, float] = {}
        self._unsaid: Counter[str] = Counter()

    def __call__(self, kind: str, text: str) -> None:
        """Count a problem and maybe log its text; those of one kind share their turn."""
        with self._lock:
            self._count(kind, text)

    def _count(self, kind: str, text: str) -> None:
        self.total += 1
        now_s = time.monotonic()
        if now_s < self._due_s.get(kind, now_s):
            self._unsaid[kind] += 1
            return
        if len(self._due_s) >= _MAX_KINDS:
            self._due_s.clear()
            self._unsaid.clear()
        self._due_s[kind] = now_s + PERIOD_S
        unsaid = self._unsaid.pop(kind, 0)
        self._log(f"{text} (and {unsaid} more like it)" if unsaid else text)
