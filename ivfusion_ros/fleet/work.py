"""What a machine of a fleet does with one recording: bring it, fuse it as a replay does, put the result."""

from __future__ import annotations

import json
import socket
import threading
import time
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from ivfusion_ros.bags import BagWriter
from ivfusion_ros.errors import IvfusionError
from ivfusion_ros.files import scratch_folder
from ivfusion_ros.fleet.copies import SCRATCH, Copies
from ivfusion_ros.fleet.disks import Machine, this_machine
from ivfusion_ros.fleet.job import BAG, FIGURES
from ivfusion_ros.fleet.moments import MOMENTS, MomentTable
from ivfusion_ros.fleet.pieces import PIECES, KeptFigures, Piece, join
from ivfusion_ros.fleet.recordings import Recording
from ivfusion_ros.fleet.store import Store
from ivfusion_ros.pipeline.bag_topics import read_fixes
from ivfusion_ros.pipeline.build import build_pipeline, load_networks
from ivfusion_ros.pipeline.recording import RecordingReplay, reading
from ivfusion_ros.pipeline.skips import reason_of
from ivfusion_ros.sources.choice import open_source
from ivfusion_ros.sources.source import SourceOptions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from ivfusion_ros.fleet.job import Job
    from ivfusion_ros.pipeline.build import Networks
    from ivfusion_ros.pipeline.pipeline import Pipeline
    from ivfusion_ros.types import FusionResult


@contextmanager
def replaying(
    path: Path, job: Job, networks: Networks, between: tuple[int, int] | None = None
) -> Iterator[tuple[RecordingReplay, Pipeline]]:
    """A recording, or what is between log times of it, to be replayed, and what fuses it.

    Raises IvfusionError.
    """
    options = SourceOptions(thermal_topic=job.thermal_topic, rgb_topic=job.rgb_topic, between=between)
    with closing(open_source([path], reading(options, job.config))) as source:
        replay = RecordingReplay(source, job.config)
        pipeline = build_pipeline(job.config, networks)
        pipeline.measures = lambda: False
        yield replay, pipeline


class Task(Protocol):
    """folder: of the result."""

    @property
    def recording(self) -> Recording:
        """What it is about."""

    @property
    def folder(self) -> str:
        """See above."""

    def run(self, worker: Worker, scratch: Path) -> dict[str, Any]:
        """Have the job's outputs made in a folder of this machine; the figures."""

    def end(self, store: Store) -> None:
        """When they are in their place."""


@dataclass(frozen=True)
class Whole:
    """A recording to fuse."""

    recording: Recording
    folder: str

    def run(self, worker: Worker, scratch: Path) -> dict[str, Any]:
        """See Task."""
        return worker.fuse(self.recording, scratch)

    def end(self, store: Store) -> None:
        """See Task."""


@dataclass(frozen=True)
class Part:
    """A piece of one."""

    recording: Recording
    folder: str
    piece: Piece

    def run(self, worker: Worker, scratch: Path) -> dict[str, Any]:
        """See Task."""
        return worker.fuse_piece(self.recording, self.piece, scratch)

    def end(self, store: Store) -> None:
        """See Task."""


@dataclass(frozen=True)
class Joining:
    """Pieces that are fused, by their folders in that of the result, to one."""

    recording: Recording
    folder: str
    pieces: tuple[str, ...]

    def run(self, worker: Worker, scratch: Path) -> dict[str, Any]:
        """See Task."""
        return worker.join([f"{self.folder}/{piece}" for piece in self.pieces], scratch)

    def end(self, store: Store) -> None:
        """See Task."""
        store.remove(f"{self.folder}/{PIECES}")


class Worker:
    """Fuses recordings one after the other, with networks that are loaded once."""

    def __init__(self, job: Job, destination: str) -> None:
        """Raises ModelError, BackendError or DataError."""
        self._job = job
        self._store = Store(destination)
        self._networks = load_networks(job.config)
        self._copies = Copies()
        # So what one that was killed left here is gone.
        with scratch_folder(SCRATCH):
            pass

    def machine(self) -> Machine:
        """Where it runs."""
        return this_machine()

    def do(self, task: Task, following: Recording | None = None) -> dict[str, Any]:
        """Its row, with `error` where it failed.

        following: of the next task, to be copied to this machine meanwhile.
        """
        row: dict[str, Any] = {"recording": task.recording.url, "key": task.recording.key}
        row["host"] = socket.gethostname()
        start = time.monotonic()
        try:
            for recording in filter(None, (task.recording, following)):
                self._copies.ask_for(recording)
            with scratch_folder(SCRATCH) as scratch:
                row |= task.run(self, scratch) | {"error": ""}
                row["wall_s"] = round(row.get("wall_s", 0) + time.monotonic() - start, 3)
                (scratch / FIGURES).write_text(json.dumps(row, indent=2))
                for name in self._job.outputs:
                    self._store.put(scratch / name, f"{task.folder}/{name}")
                task.end(self._store)
        except (IvfusionError, OSError, MemoryError) as error:
            row |= {"error": f"{type(error).__name__}: {reason_of(error)}"}
        finally:
            self._copies.remove(task.recording)
        return row

    def fuse(self, recording: Recording, scratch: Path) -> dict[str, Any]:
        """Fuse a recording into a folder of this machine; the figures."""
        with self._open(recording, scratch) as (replay, pipeline, sinks):
            for result in replay.results(pipeline, threading.Event()):
                for take in sinks:
                    take(result)
            return replay.figures()

    def fuse_piece(self, recording: Recording, piece: Piece, scratch: Path) -> dict[str, Any]:
        """Likewise what is a piece's."""
        kept = KeptFigures()
        with self._open(recording, scratch, piece) as (replay, pipeline, sinks):
            for result in replay.results(pipeline, threading.Event()):
                if piece.keeps(result):
                    for take in (*sinks, kept.add):
                        take(piece.numbered(result))
            return kept.within(replay.figures_of_part())

    def join(self, folders: Sequence[str], scratch: Path) -> dict[str, Any]:
        """Put the results of pieces together into a folder of this machine; the figures."""
        return join([self._store.local(folder, scratch) for folder in folders], scratch)

    @contextmanager
    def _open(
        self, recording: Recording, scratch: Path, piece: Piece | None = None
    ) -> Iterator[tuple[RecordingReplay, Pipeline, list[Callable[[FusionResult], object]]]]:
        """A replay, what fuses it, and what takes the results."""
        job, path = self._job, self._copies.path(recording)
        between = None if piece is None else piece.between
        with ExitStack() as stack:
            replay, pipeline = stack.enter_context(replaying(path, job, self._networks, between))
            bag = BagWriter(
                scratch / BAG,
                compressed=job.compressed,
                layout=job.config.detection.message_layout,
                jpeg_quality=job.config.outputs.jpeg_quality,
            )
            sinks: list[Callable[[FusionResult], object]] = [stack.enter_context(bag).write_result]
            if job.detections:
                table = MomentTable(scratch / MOMENTS, recording.key)
                sinks.append(stack.enter_context(table).add)
                read_fixes(replay.source, table.set_place)
            yield replay, pipeline, sinks
