"""What a fleet left at a destination, to be looked through."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from ivfusion_ros.errors import DataError
from ivfusion_ros.fleet.moments import MOMENTS
from ivfusion_ros.fleet.run import FLEET_TABLE, JOB
from ivfusion_ros.fleet.store import Store
from ivfusion_ros.fleet.table import read_rows


@dataclass(frozen=True)
class Results:
    """One job's results. store: of all jobs. job: its folder. rows: of the table of recordings."""

    store: Store
    job: str
    rows: Sequence[dict[str, Any]]

    @property
    def fused(self) -> list[dict[str, Any]]:
        """Rows of recordings that did not fail."""
        return [row for row in self.rows if not row["error"]]

    def moments(self) -> list[str]:
        """Names, in the store, of the tables of moments that there are."""
        there = self.store.names(self.job)
        names = [f"{row['folder']}/{MOMENTS}" for row in self.fused]
        return [name for name in names if name.removeprefix(f"{self.job}/") in there]

    def without_moments(self) -> str:
        """Which recordings cannot be searched, for people; '' if all can."""
        fused = len(self.fused)
        missing = fused - len(self.moments())
        if not missing:
            return ""
        return (
            f"{missing} of {fused} recordings have no table of detections and are left out; run the same "
            "`ivfusion fleet` again with --detections"
        )

    def description(self) -> dict[str, Any]:
        """Configuration and models."""
        return self.store.read_json(f"{self.job}/{JOB}")


def open_results(destination: str) -> Results:
    """Of `--out` of a fleet, or of one job's folder in it. Raises DataError."""
    store = Store(destination)
    jobs = store.folders_with(FLEET_TABLE)
    if not jobs and store.read(FLEET_TABLE) is not None:
        place = PurePosixPath(store.root)
        store, jobs = Store(store.root[: -len(place.name) - 1]), [place.name]
    if len(jobs) != 1:
        found = f"results of {len(jobs)} jobs ({', '.join(jobs)})" if jobs else f"no {FLEET_TABLE}"
        advice = f"name one, such as {store.url}/{jobs[0]}" if jobs else "run `ivfusion fleet` first"
        raise DataError(f"{destination} has {found}, expected those of one `ivfusion fleet`; {advice}")
    rows = read_rows(store.read(f"{jobs[0]}/{FLEET_TABLE}") or b"")
    return Results(store, jobs[0], rows)
