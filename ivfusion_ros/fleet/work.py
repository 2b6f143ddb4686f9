"""What a machine of a fleet does with one recording: bring it, fuse it as a replay does, put the result."""

from __future__ import annotations

import json
import socket
import threading
import time
from contextlib import closing
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from ivfusion_ros.bags import BagWriter
from ivfusion_ros.errors import IvfusionError
from ivfusion_ros.files import scratch_folder
from ivfusion_ros.fleet.store import Store, open_file_system
from ivfusion_ros.pipeline.build import build_pipeline, load_networks
from ivfusion_ros.pipeline.recording import RecordingReplay, reading
from ivfusion_ros.pipeline.skips import reason_of
from ivfusion_ros.sources import SourceOptions, open_source

if TYPE_CHECKING:
    from ivfusion_ros.fleet.job import Job
    from ivfusion_ros.fleet.recordings import Recording

BAG, FIGURES = "fused.mcap", "figures.json"
"""Of a result; the figures come last, so that a folder that has them is complete."""


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
                figures = self._fuse(self._bring(recording, scratch), scratch / BAG)
                row |= figures | {"error": "", "wall_s": round(time.monotonic() - start, 3)}
                (scratch / FIGURES).write_text(json.dumps(row, indent=2))
                self._store.put(scratch / BAG, f"{folder}/{BAG}")
                self._store.put(scratch / FIGURES, f"{folder}/{FIGURES}")
        except (IvfusionError, OSError, MemoryError) as error:
            row |= {"error": f"{type(error).__name__}: {reason_of(error)}"}
        return row

    def _bring(self, recording: Recording, scratch: Path) -> Path:
        """Where it is on this machine: as it is, or copied."""
        files, place = open_file_system(recording.url)
        if (local := Path(recording.url)).exists():
            return local
        target = scratch / "in" / PurePosixPath(place).name
        for inner, _, _ in recording.files:
            part = target / inner if inner else target
            part.parent.mkdir(parents=True, exist_ok=True)
            files.get_file(f"{place}/{inner}" if inner else place, str(part))
        return target

    def _fuse(self, path: Path, output: Path) -> dict[str, Any]:
        job = self._job
        options = SourceOptions(thermal_topic=job.thermal_topic, rgb_topic=job.rgb_topic)
        output.parent.mkdir(parents=True, exist_ok=True)
        with closing(open_source([path], reading(options, job.config))) as source:
            replay = RecordingReplay(source, job.config)
            pipeline = build_pipeline(job.config, self._networks)
            pipeline.measures = lambda: False
            with BagWriter(
                output,
                compressed=job.compressed,
                layout=job.config.detection.message_layout,
                jpeg_quality=job.config.outputs.jpeg_quality,
            ) as writer:
                for result in replay.results(pipeline, threading.Event()):
                    writer.write_result(result)
                return replay.figures()
