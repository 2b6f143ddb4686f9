"""`ivfusion live`: two cameras as they send, fused and recorded, without ROS."""

from __future__ import annotations

import logging
import resource
import time
from collections import deque
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ivfusion_ros.bags import BagWriter
from ivfusion_ros.commands.interruption import held_back
from ivfusion_ros.commands.options import pipeline_config, write_json
from ivfusion_ros.commands.web import open_page, open_viewers, open_window, unmeasured
from ivfusion_ros.errors import ConfigError, DataError
from ivfusion_ros.pipeline.build import build_pipeline
from ivfusion_ros.pipeline.bumps import Bumps
from ivfusion_ros.pipeline.replay import summary
from ivfusion_ros.pipeline.skips import Skips
from ivfusion_ros.sources.live import LivePairs, parse_options
from ivfusion_ros.types import CAMERAS, CameraName

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence

    from ivfusion_ros.pipeline.pipeline import Pipeline
    from ivfusion_ros.report.live_server import LiveServer
    from ivfusion_ros.types import FramePair, FusionResult

log = logging.getLogger(__name__)

STATUS_S = 10.0
"""Between lines that say how it goes."""
MAX_AGES = 100_000
"""Of the last results, of which the figures are made: an hour at 30 Hz."""


def run(options: argparse.Namespace) -> None:
    """Fuse the newest pair again and again until Ctrl-C or --duration. Raises IvfusionError."""
    for name in ("duration", "wait"):
        value = getattr(options, name)
        if value is not None and not 0 < value < float("inf"):
            raise ConfigError(f"--{name} is {value}, expected seconds above 0")
    config = pipeline_config(options)
    places: dict[CameraName, str] = {camera: getattr(options, camera) for camera in CAMERAS}
    given = {
        camera: parse_options(getattr(options, f"{camera}_option"), f"--{camera}-option")
        for camera in CAMERAS
    }
    pairs = LivePairs(config, places, given)
    with ExitStack() as stack:
        writer = stack.enter_context(
            BagWriter(
                options.out,
                compressed=options.compressed,
                overwrite=options.force,
                layout=config.detection.message_layout,
                jpeg_quality=config.outputs.jpeg_quality,
            )
        )
        # What can be refused, before the networks, which take seconds to load.
        windows = open_window("ivfusion live", stack, wanted=options.window)
        page = open_page(options.web, "ivfusion live", stack, records=True)
        viewers = open_viewers(options.rerun, options.foxglove, stack)
        pipeline = stack.enter_context(build_pipeline(config, live=True))
        shown = options.registered or bool(viewers)
        pipeline.measures = lambda: shown or (page is not None and page.watched)
        live = stack.enter_context(pairs)
        session = Session(
            live,
            pipeline,
            writer,
            originals=options.originals,
            registered=options.registered,
            page=page,
            viewers=[*viewers, *windows],
        )
        session.run(options.wait, options.duration)
        figures = {
            "output": str(options.out),
            "thermal": places["thermal"],
            "rgb": places["rgb"],
            **session.report(),
        }
    log.info("%s", said(figures))
    log.info("written: %s", options.out)
    write_json(options.json, figures)


class Session:
    """One run: takes pairs, writes results, counts."""

    def __init__(
        self,
        live: LivePairs,
        pipeline: Pipeline,
        writer: BagWriter,
        *,
        originals: bool,
        registered: bool = False,
        page: LiveServer | None = None,
        viewers: Sequence[Callable[[FusionResult], None]] = (),
    ) -> None:
        self._live, self._pipeline, self._writer, self._originals = live, pipeline, writer, originals
        self._registered, self._page, self._viewers = registered, page, viewers
        self._recording, self._recorded = True, 0
        self._marks_s: list[float] = []
        self._newest_ns = 0
        self._skips, self._bumps = Skips(), Bumps()
        self._pairs = 0
        self._ages_ms: deque[float] = deque(maxlen=MAX_AGES)
        self._stages_ms: dict[str, deque[float]] = {}
        self._begun_s = time.monotonic()
        self._memory_mib: list[float] = []

    def run(self, wait_s: float, duration_s: float | None) -> None:
        """Until a signal or the duration. Raises DataError where no pair comes in time."""
        opened_s = next_status_s = time.monotonic()
        with held_back() as stopped:
            while not stopped.is_set():
                self._obey()
                pair, now_s = self._live.take(0.1), time.monotonic()
                if pair is not None:
                    self._begun_s = self._begun_s if self._pairs else now_s
                    self._fuse(pair)
                elif not self._pairs and now_s - opened_s > wait_s:
                    raise self._no_pair(wait_s)
                if now_s - next_status_s >= STATUS_S:
                    next_status_s = now_s
                    self._memory_mib.append(_memory_mib())
                    log.info("%s", said(self.report()))
                if duration_s is not None and self._pairs and now_s - self._begun_s >= duration_s:
                    return
            if not self._pairs:
                raise KeyboardInterrupt

    def _fuse(self, pair: FramePair) -> None:
        self._pairs += 1
        try:
            result = self._pipeline.process(pair)
        except Exception as error:  # noqa: BLE001
            self._skips.add(error, thermal=pair.thermal.header, rgb=pair.rgb.header)
            return
        self._newest_ns = result.stamp_ns
        if self._page is not None:
            self._page.offer(result, self._status)
        for take in self._viewers:
            take(result)
        if self._recording:
            self._write(pair, result)
        self._count(pair, result)

    def _write(self, pair: FramePair, result: FusionResult) -> None:
        if self._originals:
            for camera in CAMERAS:
                self._writer.write_frame(camera, pair.frames[camera])
        self._writer.write_result(result if self._registered else unmeasured(result))
        self._recorded += 1

    def _obey(self) -> None:
        """What was pressed on the page."""
        for command in () if self._page is None else self._page.take_commands():
            second = round(time.monotonic() - self._begun_s, 3)
            if command == "mark":
                self._marks_s.append(second)
                # Also where the recording pauses: somebody has seen something.
                self._writer.write_mark(self._newest_ns or time.time_ns(), f"mark {len(self._marks_s)}")
            else:
                self._recording = command == "start"
            log.info("%.1f s: %s, asked for on the page", second, command)

    def _status(self) -> dict[str, str]:
        """How it goes, for the page."""
        seconds = max(1e-3, time.monotonic() - self._begun_s)
        drops = ", ".join(f"{why} {n}" for why, n in sorted(self._live.synchronizer.pairer.drops.items()))
        frames = ", ".join(f"{name} {camera.frames}" for name, camera in self._live.cameras.items())
        trouble, how = self._live.trouble(), "on" if self._recording else "off"
        return {
            "recording": f"{how}, {self._recorded} pairs, marks {len(self._marks_s)}",
            "pairs": f"{self._pairs}, {self._pairs / seconds:.1f} a second",
            "superseded": str(self._live.superseded),
            "frames": frames,
            "drops": drops or "none",
            **({"trouble": trouble} if trouble else {}),
        }

    def _count(self, pair: FramePair, result: FusionResult) -> None:
        self._bumps.add(result.registration)
        newest_ns = max(frame.stamp_ns for frame in pair.frames.values())
        self._ages_ms.append((time.time_ns() - newest_ns) / 1e6)
        for stage, milliseconds in result.timings_ms.items():
            self._stages_ms.setdefault(stage, deque(maxlen=MAX_AGES)).append(milliseconds)

    def _no_pair(self, wait_s: float) -> DataError:
        counts = ", ".join(f"{camera.frames} {name}" for name, camera in self._live.cameras.items())
        trouble = self._live.trouble()
        hint = trouble or "both send: raise pairing.max_skew_ms, which is for cameras at low rates"
        return DataError(f"no pair came in {wait_s:g} s ({counts} frames): {hint}")

    def report(self) -> dict[str, Any]:
        """Frames, rates, ages of results in ms since the newer frame's arrival, memory; JSON-ready."""
        seconds = max(1e-3, time.monotonic() - self._begun_s)
        return {
            "seconds": round(seconds, 1),
            "pairs": self._pairs,
            "pairs_per_second": round(self._pairs / seconds, 2),
            "recorded": self._recorded,
            "marks_s": self._marks_s,
            "superseded": self._live.superseded,
            "drops": dict(sorted(self._live.synchronizer.pairer.drops.items())),
            "cameras": {
                name: {
                    "frames": camera.frames,
                    "damaged": camera.damaged,
                    "reconnects": camera.reconnects,
                    "trouble": camera.trouble,
                }
                for name, camera in self._live.cameras.items()
            },
            "age_ms": summary(list(self._ages_ms)),
            "stages_ms": {name: summary(list(times)) for name, times in self._stages_ms.items()},
            "memory_mib": [round(value, 1) for value in (*self._memory_mib[:1], _memory_mib())],
            **self._skips.report(),
            **self._bumps.report(),
        }


def said(figures: dict[str, Any]) -> str:
    """How it goes, in a line."""
    cameras = ", ".join(
        f"{name} {camera['frames']} frames, {camera['reconnects']} reconnects"
        + (f" ({camera['trouble']})" if camera["trouble"] else "")
        for name, camera in figures["cameras"].items()
    )
    ages = figures["age_ms"]
    drops = ", ".join(f"{why} {count}" for why, count in figures["drops"].items()) or "none"
    return (
        f"{figures['pairs']} pairs in {figures['seconds']:.0f} s: {figures['pairs_per_second']:.1f} a "
        f"second, {figures['superseded']} superseded; age ms: {ages.get('median', 0):.0f}, "
        f"p95 {ages.get('p95', 0):.0f}; drops: {drops}; "
        f"{cameras}; {figures['memory_mib'][-1]:.0f} MiB"
    )


def _memory_mib() -> float:
    """Of this process now, or at most where the system does not tell that."""
    try:
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
        return pages * resource.getpagesize() / 2**20
    except (OSError, ValueError, IndexError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
