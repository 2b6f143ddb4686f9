"""How far that is which takes minutes, such as an engine's build: for the log, and for whoever asks."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType

log = logging.getLogger(__name__)

LINE_EVERY_S = 10.0
"""Between two lines of the log."""

_lock = threading.Lock()
_in_work: dict[str, float] = {}
"""Share that is done, by title, of all that is in work in this process."""


class Progress:
    """Work with a title, in work while it is entered; told from any thread."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._line_s = time.monotonic()

    def tell(self, share: float) -> None:
        """share: what is done, 0 to 1."""
        with _lock:
            _in_work[self._title] = share
        now_s = time.monotonic()
        if now_s - self._line_s >= LINE_EVERY_S:
            self._line_s = now_s
            log.info("%s: %.0f%%", self._title, 100 * share)

    def __enter__(self) -> Progress:
        with _lock:
            _in_work[self._title] = 0.0
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with _lock:
            _in_work.pop(self._title, None)


def under_way() -> str:
    """What is in work and how far it is, for people; empty for nothing."""
    with _lock:
        return "; ".join(f"{title}: {share:.0%}" for title, share in _in_work.items())
