"""A fleet from beginning to end: what is done already stays, the rest is fused, all of it is tabled."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ivfusion_ros.errors import BagError
from ivfusion_ros.files import scratch_folder
from ivfusion_ros.fleet.job import FIGURES
from ivfusion_ros.fleet.pieces import pieces_of
from ivfusion_ros.fleet.recordings import short_names
from ivfusion_ros.fleet.table import read_rows, write_rows
from ivfusion_ros.fleet.work import Joining, Part, Whole

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ivfusion_ros.fleet.cluster import Replicas
    from ivfusion_ros.fleet.job import Job
    from ivfusion_ros.fleet.pieces import Piece
    from ivfusion_ros.fleet.recordings import Recording
    from ivfusion_ros.fleet.store import Store
    from ivfusion_ros.fleet.work import Task

FLEET_TABLE, JOB = "recordings.parquet", "job.json"
READERS = 16
"""Threads that read figures at once."""


class Fleet:
    """One job over recordings. Results are in `folder` of the store, a folder for each recording.

    A result's folder is named after the recording and its key: a changed recording gets another one, and a
    changed job another `folder`. table_is_whole: whether the table had a row of all that is done.
    """

    def __init__(self, job: Job, recordings: Sequence[Recording], store: Store) -> None:
        """Looks up what is done. Raises DataError."""
        self.folder = job.identity
        self._job, self._store = job, store
        self._urls = {item.url for item in recordings}
        names = short_names(recordings)
        self._folders = {item.key: f"{self.folder}/{names[item.url]}-{item.key}" for item in recordings}
        there = store.names(self.folder)
        self.done = [
            item
            for item in recordings
            if all(f"{names[item.url]}-{item.key}/{name}" in there for name in job.outputs)
        ]
        done = set(self.done)
        self.left = [item for item in recordings if item not in done]
        self._rows = self._known()

    def fuse(self, replicas: Replicas) -> Iterator[dict[str, Any]]:
        """Fuse what is left; a row each, as it is done. However it ends, the table is written.

        First, what the job is: so a place that cannot be written costs no fusing. Raises DataError.
        """
        with scratch_folder("ivfusion-fleet-table") as scratch:
            (scratch / JOB).write_text(json.dumps(self._job.describe(), indent=2))
            self._store.put(scratch / JOB, f"{self.folder}/{JOB}")
        try:
            for row in self._fuse(replicas):
                self._rows[row["key"]] = row | {"folder": self._folders[row["key"]]}
                yield row
        finally:
            self.write_table()

    def _fuse(self, replicas: Replicas) -> Iterator[dict[str, Any]]:
        """First all recordings and pieces, then the pieces' joining."""
        pieces = {item.key: self._pieces(item) for item in self.left}
        failed: dict[str, dict[str, Any]] = {}
        for task, row in replicas.do(self._tasks(pieces)):
            if not isinstance(task, Part):
                yield row
            elif row["error"]:
                said = f"piece {task.piece.number + 1} of {task.piece.count}: {row['error']}"
                failed.setdefault(row["key"], row | {"error": said})
        yield from failed.values()
        whole = [item for item in self.left if pieces[item.key] and item.key not in failed]
        joins = [
            Joining(item, self._folders[item.key], tuple(piece.folder for piece in pieces[item.key]))
            for item in whole
        ]
        yield from (row for _, row in replicas.do(joins))

    def _pieces(self, recording: Recording) -> list[Piece]:
        """None of what is short, or not on this machine."""
        minutes, path = self._job.piece_minutes, Path(recording.url)
        if not minutes or not path.exists():
            return []
        try:
            return pieces_of(path, minutes)
        except BagError:
            # Its worker tells what is wrong.
            return []

    def _tasks(self, pieces: dict[str, list[Piece]]) -> Iterator[Task]:
        """What is not done: recordings, or their pieces."""
        for item in self.left:
            folder = self._folders[item.key]
            if not pieces[item.key]:
                yield Whole(item, folder)
                continue
            there = self._store.names(folder)
            for piece in pieces[item.key]:
                if not all(f"{piece.folder}/{name}" in there for name in self._job.outputs):
                    yield Part(item, f"{folder}/{piece.folder}", piece)

    def write_table(self) -> None:
        """Rows of all that was done or failed, into the store; those of other recordings stay in it."""
        others = [row for row in self._tabled() if row["recording"] not in self._urls]
        with scratch_folder("ivfusion-fleet-table") as scratch:
            (scratch / FLEET_TABLE).write_bytes(write_rows([*others, *self._rows.values()]))
            self._store.put(scratch / FLEET_TABLE, f"{self.folder}/{FLEET_TABLE}")

    def _tabled(self) -> list[dict[str, Any]]:
        """Rows of the table that is there."""
        content = self._store.read(f"{self.folder}/{FLEET_TABLE}")
        return read_rows(content) if content else []

    def _known(self) -> dict[str, dict[str, Any]]:
        """Rows of what is done, by key: from the table, else from each one's figures."""
        tabled = {row["key"]: row for row in self._tabled()} if self.done else {}
        known = {item.key: tabled[item.key] for item in self.done if not _failed(tabled.get(item.key))}
        untold = [item.key for item in self.done if item.key not in known]
        self.table_is_whole = not untold
        # A head that was killed wrote no table; each of many files in a store takes its time to come.
        with ThreadPoolExecutor(READERS) as readers:
            names = [f"{self._folders[key]}/{FIGURES}" for key in untold]
            known |= zip(untold, readers.map(self._store.read_json, names), strict=True)
        return {item.key: known[item.key] | {"folder": self._folders[item.key]} for item in self.done}


def _failed(row: dict[str, Any] | None) -> bool:
    """Or there is none."""
    return row is None or bool(row["error"])
