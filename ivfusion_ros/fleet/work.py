"""What a machine of a fleet does with one recording: bring it, fuse it as a replay does, put the result."""

from __future__ import annotations

import json
import socket
import threading
import time
from contextlib import ExitStack, closing, contextmanager
from typing import TYPE_CHECKING, Any

from ivfusion_ros.bags import BagWriter
from ivfusion_ros.errors import IvfusionError
from ivfusion_ros.files import scratch_folder
from ivfusion_ros.fleet.job import BAG, FIGURES
from ivfusion_ros.fleet.moments import MOMENTS, MomentTable
from ivfusion_ros.fleet.recordings import bring
from ivfusion_ros.fleet.store import Store
from ivfusion_ros.pipeline.build import build_pipeline, load_networks
from ivfusion_ros.pipeline.recording import RecordingReplay, reading
from ivfusion_ros.pipeline.skips import reason_of
from ivfusion_ros.sources import SourceOptions, open_source

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ivfusion_ros.fleet.job import Job
    from ivfusion_ros.fleet.recordings import Recording
    from ivfusion_ros.pipeline.build import Networks
    from ivfusion_ros.pipeline.pipeline import Pipeline


@contextmanager
def replaying(path: Path, job: Job, networks: Networks) -> Iterator[tuple[RecordingReplay, Pipeline]]:
    """A recording, opened to be replayed, and what fuses it. Raises IvfusionError."""
    options = SourceOptions(thermal_topic=job.thermal_topic, rgb_topic=job.rgb_topic)
    with closing(open_source([path], reading(options, job.config))) as source:
        replay = RecordingReplay(source, job.config)
        pipeline = build_pipeline(job.config, networks)
        pipeline.measures = lambda: False
        yield replay, pipeline


class Worker:
    """Fuses recordings one after the other, with networks that are loaded once."""

    def __init__(self, job: Job, destination: str) -> None:
        """Raises ModelError, BackendError or DataError."""
        self._job = job
        self._store = Store(destination)
        self._networks = load_networks(job.config)

    def fuse(self, recording: Recording, folder: str) -> dict[str, Any]:
        """Fuse one into a folder of the destination; its row, with `error` where that failed."""
        row: dict[str, Any] = {"recording": recording.url, "key": recording.key}
        row["host"] = socket.gethostname()
        start = time.monotonic()
        try:
            with scratch_folder("ivfusion-fleet") as scratch:
                figures = self._fuse(bring(recording, scratch), recording.key, scratch)
                row |= figures | {"error": "", "wall_s": round(time.monotonic() - start, 3)}
                (scratch / FIGURES).write_text(json.dumps(row, indent=2))
                for name in self._job.outputs:
                    self._store.put(scratch / name, f"{folder}/{name}")
        except (IvfusionError, OSError, MemoryError) as error:
            row |= {"error": f"{type(error).__name__}: {reason_of(error)}"}
        return row

    def _fuse(self, path: Path, key: str, scratch: Path) -> dict[str, Any]:
        job = self._job
        with ExitStack() as stack:
            replay, pipeline = stack.enter_context(replaying(path, job, self._networks))
            bag = BagWriter(
                scratch / BAG,
                compressed=job.compressed,
                layout=job.config.detection.message_layout,
                jpeg_quality=job.config.outputs.jpeg_quality,
            )
            sinks = [stack.enter_context(bag).write_result]
            if job.detections:
                sinks.append(stack.enter_context(MomentTable(scratch / MOMENTS, key)).add)
            for result in replay.results(pipeline, threading.Event()):
                for take in sinks:
                    take(result)
            return replay.figures()
