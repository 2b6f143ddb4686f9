"""Pairs that could not be fused: one bad message costs one pair, which is counted by reason and named."""

from __future__ import annotations

import logging
import traceback
from collections import Counter
from typing import TYPE_CHECKING

from ivfusion_ros.errors import IvfusionError, forget_frames

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ivfusion_ros.types import Header

log = logging.getLogger(__name__)

MAX_REASONS = 50
"""More kinds of failure are counted as one, since a reason may hold a number that never comes twice."""
OTHER_REASONS = "other reasons"
MAX_STAMPS = 20
"""Pairs of a reason that are named one by one."""


def reason_of(error: Exception) -> str:
    """Why a pair failed, in words for its user; one line, also for what is a defect of this package."""
    if isinstance(error, IvfusionError):
        return str(error)
    if isinstance(error, MemoryError):
        return "out of memory"
    text = " ".join(str(error).split())
    return f"defect of this package: {type(error).__name__}" + (f": {text}" if text else "")


def trace_of(error: Exception) -> str:
    """What a developer needs to see of a failure: nothing where it is the input's."""
    if isinstance(error, (IvfusionError, MemoryError)):
        return ""
    return "".join(traceback.format_exception(error))


def countable(reason: str, counts: Mapping[str, int]) -> str:
    """The reason, or OTHER_REASONS where counts has too many already."""
    return reason if reason in counts or len(counts) < MAX_REASONS else OTHER_REASONS


class Skips:
    """Counts failed pairs by reason, keeps the stamps of the first ones, and logs each new reason.

    first: the first failure, None without any.
    """

    def __init__(self) -> None:
        self.first: Exception | None = None
        self.counts: Counter[str] = Counter()
        self._stamps_ns: dict[str, list[dict[str, int]]] = {}

    def add(self, error: Exception, **headers: Header) -> None:
        """Count a pair of these cameras' headers that raised an error, whose traceback is let go of."""
        self.first = self.first or error
        reason = countable(reason_of(error), self.counts)
        stamps_ns = {camera: header.stamp_ns for camera, header in headers.items()}
        if reason not in self.counts:
            where = ", ".join(f"{camera} {stamp_ns}" for camera, stamp_ns in stamps_ns.items())
            log.warning("skipped the pair of %s ns: %s%s", where, reason_of(error), trace_of(error))
        self.counts[reason] += 1
        if len(told := self._stamps_ns.setdefault(reason, [])) < MAX_STAMPS:
            told.append(stamps_ns)
        forget_frames(error)

    def report(self) -> dict[str, object]:
        """failed_pairs: pairs by reason. failed_stamps_ns: of each the first ones, by camera; for JSON."""
        return {"failed_pairs": dict(self.counts), "failed_stamps_ns": self._stamps_ns}
