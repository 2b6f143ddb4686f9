"""How often the online refinement found that a camera was moved, and a matcher was asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ivfusion_ros.types import RegistrationReport


class Bumps:
    """Counts over the results of a run."""

    def __init__(self) -> None:
        self._refined = False
        self._counts = {"bumps": 0, "bumps_by_matcher": 0, "matcher_asked": 0}

    def add(self, report: RegistrationReport) -> None:
        """Take the next result's."""
        self._refined |= report.confidence is not None
        self._counts["bumps"] += report.bumped
        self._counts["bumps_by_matcher"] += report.by_matcher
        self._counts["matcher_asked"] += report.matcher_asked

    def report(self) -> dict[str, dict[str, int]]:
        """JSON-ready; empty where nothing was refined."""
        return {"refinement": dict(self._counts)} if self._refined else {}
