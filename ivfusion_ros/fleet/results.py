"""What a fleet left at a destination, to be looked through."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from ivfusion_ros.config.parameters import flatten
from ivfusion_ros.errors import DataError
from ivfusion_ros.fleet.moments import MOMENTS
from ivfusion_ros.fleet.run import FLEET_TABLE, JOB
from ivfusion_ros.fleet.store import Store
from ivfusion_ros.fleet.table import read_rows

_NAMED = 6
"""Most jobs, and settings in which they differ, that a message names."""


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


def open_results(destination: str, command: Sequence[str] = ()) -> Results:
    """Of `--out` of a fleet, or of one job's folder in it.

    command: the words that asked, the destination among them, to be told with one job's folder. Raises
    DataError.
    """
    store = Store(destination)
    jobs = store.folders_with(FLEET_TABLE)
    if not jobs and store.read(FLEET_TABLE) is not None:
        place = PurePosixPath(store.root)
        store, jobs = Store(store.root[: -len(place.name) - 1]), [place.name]
    if not jobs:
        raise DataError(
            f"{destination} has no {FLEET_TABLE}, expected the results of one `ivfusion fleet`; run "
            "`ivfusion fleet` first"
        )
    if len(jobs) > 1:
        raise _many_jobs(destination, command, store, jobs)
    return Results(store, jobs[0], _rows(store, jobs[0]))


def _rows(store: Store, job: str) -> list[dict[str, Any]]:
    return read_rows(store.read(f"{job}/{FLEET_TABLE}") or b"")


def _many_jobs(destination: str, command: Sequence[str], store: Store, jobs: Sequence[str]) -> DataError:
    """Which jobs there are, what tells them apart, and what to write for one."""
    settings = {job: _settings(store, job) for job in jobs}
    names = dict.fromkeys(name for own in settings.values() for name in own)
    apart = [name for name in names if len({str(own.get(name)) for own in settings.values()}) > 1]
    told = []
    for job in jobs[:_NAMED]:
        count = len(_rows(store, job))
        differing = [f"{name} {settings[job].get(name)}" for name in apart[:_NAMED]]
        told.append(f"{job} ({', '.join([f'recordings {count}', *differing])})")
    more = [f"and {len(jobs) - _NAMED} more"] if len(jobs) > _NAMED else []
    one = f"{store.url}/{jobs[0]}"
    words = [one if word == destination else word for word in command]
    advice = f"`ivfusion {shlex.join(words)}`" if words else one
    return DataError(
        f"{destination} has results of {len(jobs)} jobs: {'; '.join([*told, *more])}; expected those of "
        f"one: name it, as in {advice}"
    )


def _settings(store: Store, job: str) -> dict[str, Any]:
    """What decides its results, by dotted names; none where that was not kept."""
    if JOB not in store.names(job):
        return {}
    found = store.read_json(f"{job}/{JOB}")
    # Hashes say to people no more than the models' names do.
    return dict(flatten({name: value for name, value in found.items() if name != "models"}))
