"""Ctrl-C and SIGTERM for commands whose work until then is worth keeping."""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def going_on_by_itself(kept: str | Path) -> Iterator[None]:
    """Around work that the same command goes on with: says so to who stops it. kept: where it is."""
    try:
        yield
    except KeyboardInterrupt:
        # Whatever was stopped speaks of its own options, if at all.
        raise KeyboardInterrupt(f"what is done is kept in {kept}; the same command goes on") from None


@contextmanager
def held_back() -> Iterator[threading.Event]:
    """An event that the first SIGINT or SIGTERM sets, instead of what it does otherwise; the next one does.

    Signals that are ignored stay so, as does everything outside of the main thread, which gets none.
    """
    event = threading.Event()
    before: dict[signal.Signals, Any] = {}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def hold(*_: object) -> None:
        event.set()
        restore()

    if threading.current_thread() is threading.main_thread():
        for number in SIGNALS:
            if signal.getsignal(number) != signal.SIG_IGN:
                before[number] = signal.signal(number, hold)
    try:
        yield event
    finally:
        restore()
