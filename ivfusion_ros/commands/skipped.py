"""Images of a command that could not be used: each costs itself, and the exit status says that one did."""

from __future__ import annotations

import logging
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ivfusion_ros.errors import IvfusionError
from ivfusion_ros.pipeline.skips import countable, reason_of, trace_of

if TYPE_CHECKING:
    from collections.abc import Iterator

log = logging.getLogger(__name__)


class Skipped:
    """Counts what was tried and what was skipped."""

    def __init__(self, what: str) -> None:
        """what: the plural of what is tried, for people."""
        self.tried = 0
        self.skipped = 0
        self._what = what
        self._reasons: Counter[str] = Counter()
        self._first: tuple[str, Exception] | None = None

    @contextmanager
    def costs_one(self, name: object) -> Iterator[None]:
        """What is raised within skips this one, and is logged; name says which one it is."""
        self.tried += 1
        try:
            yield
        except Exception as error:  # noqa: BLE001
            self._skip(name, error)

    def add(self, name: object, error: Exception, count: int = 1, /) -> None:
        """Skip one or several that failed elsewhere."""
        self.tried += count
        self._skip(name, error, count)

    def _skip(self, name: object, error: Exception, count: int = 1) -> None:
        self._first = self._first or (str(name), error)
        self.skipped += count
        self._reasons[countable(reason_of(error), self._reasons)] += count
        log_skipped(name, error)

    def report(self) -> dict[str, Any]:
        """How many were skipped, and how many for each reason; for JSON."""
        return {"skipped": self.skipped, "skip_reasons": dict(self._reasons)}

    def end(self) -> None:
        """Raise what happened, of the first one's kind, if anything was skipped."""
        if self._first is None:
            return
        name, error = self._first
        kind = type(error) if isinstance(error, IvfusionError) else IvfusionError
        reason = reason_of(error)
        if self.tried > 1:
            counts = f"{self.skipped} of {self.tried} {self._what}"
            reason = f"{counts} were skipped; the first, {name}: {reason}"
        raise kind(reason) from error


def log_skipped(name: object, error: Exception, _count: int = 1, /) -> None:
    """Where one more or less does not decide the exit status."""
    log.warning("skipped %s: %s%s", name, reason_of(error), trace_of(error))
