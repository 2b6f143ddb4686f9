"""The thread that owns the pipeline and takes jobs out of its mailbox.

Where the pipeline's second half runs apart, results come out of that one's thread (see overlap.py).
"""

from __future__ import annotations

import logging
import threading
import traceback
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Protocol

from ivfusion_ros.errors import DeviceLostError, IvfusionError, forget_frames
from ivfusion_ros.geometry.learned import write_learned
from ivfusion_ros.pipeline.build import build_pipeline
from ivfusion_ros.pipeline.overlap import THREAD_NAME as DETECTION_THREAD_NAME
from ivfusion_ros.pipeline.overlap import Overlap
from ivfusion_ros.ros.mailbox import Mailbox
from ivfusion_ros.ros.streams import Job
from ivfusion_ros.ros.throttled_log import ThrottledLog
from ivfusion_ros.types import FramePair, FusionResult

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future
    from pathlib import Path

    from ivfusion_ros.config.pipeline import PipelineConfig
    from ivfusion_ros.pipeline.pipeline import Fused, Pipeline, Rest

log = logging.getLogger(__name__)

_REHEARSALS = 2
"""The second is as quick as those that follow."""
_THREAD_NAME = "fusion"


def any_at_work() -> bool:
    """Whether a worker of this process still runs, maybe deep inside a backend."""
    return any(thread.name in (_THREAD_NAME, DETECTION_THREAD_NAME) for thread in threading.enumerate())


class Log(Protocol):
    """The part of a ROS logger that is used here."""

    def error(self, message: str) -> object:
        """Log an error."""


class Worker:
    """Builds, runs and closes a pipeline in a thread of its own.

    mailbox: takes the jobs. on_result: called in the order of the jobs, in a thread of the pipeline. done:
    results. failed: jobs that raised, logged with their stamps. on_fused: called with each result before
    the detector has looked at it, and so without detections. on_lost: called once the GPU is lost to this
    process, in a thread of the pipeline; jobs are dropped from then on. lost: why, empty before.
    """

    def __init__(
        self,
        config: PipelineConfig,
        on_result: Callable[[FusionResult, Job], None],
        log: Log,
        on_fused: Callable[[FusionResult], None] = lambda _: None,
        on_lost: Callable[[], None] = lambda: None,
    ) -> None:
        self.mailbox = Mailbox()
        self.done = 0
        self._failures = ThrottledLog(log.error)
        self._config = config
        self._on_result = on_result
        self._on_fused = on_fused
        self._on_lost = on_lost
        self.lost = ""
        self._pipeline: Pipeline | None = None
        self._load_error: BaseException | None = None
        self._loaded = threading.Event()
        self._rehearsed = threading.Event()
        self._last_stamps_ns: tuple[int, int] | None = None
        self._thread = threading.Thread(target=self._run, name=_THREAD_NAME, daemon=True)

    @property
    def in_work(self) -> tuple[str, float]:
        """The stage that has run longest, and how long, s; see InWork."""
        return ("", 0.0) if self._pipeline is None else self._pipeline.in_work.longest()

    @property
    def failed(self) -> int:
        """How many jobs raised."""
        return self._failures.total

    def load(self, wait: Callable[[threading.Event], bool]) -> Pipeline:
        """Start the thread and wait for the pipeline. Raises what build_pipeline raises.

        wait: returns when the event is set; where it says False before that, InterruptedError is raised.
        """
        self._thread.start()
        if not wait(self._loaded):
            raise InterruptedError("interrupted while the models were loading")
        if self._load_error is not None:
            raise self._load_error
        assert self._pipeline is not None
        return self._pipeline

    def rehearse(self, pair: FramePair, wait: Callable[[threading.Event], bool]) -> None:
        """Work on a pair of no camera and forget it, so that the first real one finds all ready.

        wait: as for load.
        """
        self.mailbox.put(Job(pair.thermal, pair.rgb, rehearsal=True))
        if not wait(self._rehearsed):
            raise InterruptedError("interrupted while the models were made ready")

    def set_config(self, config: PipelineConfig) -> None:
        """Change live parameters before the next job. Raises ConfigError, changing nothing.

        It does not wait for what is in work: an engine may be under construction there for minutes.
        """
        assert self._pipeline is not None
        self._pipeline.check_config(config)
        self.mailbox.configure(config)

    def accept_calibration(self) -> Path:
        """Write what was learned beside the calibration file; returns the new one. Raises ConfigError.

        It does not wait for what is in work: what it reads is replaced, not changed, with each pair.
        """
        assert self._pipeline is not None
        calibration = self._pipeline.registrar.accepted_calibration()
        return write_learned(self._config.registration.calibration, calibration)

    def stop(self, timeout_s: float) -> bool:
        """End after the jobs in progress and release the pipeline; False if it is not done in time."""
        self.mailbox.close()
        if self._thread.is_alive():
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            self._pipeline = build_pipeline(self._config, live=True)
        except BaseException as error:  # noqa: BLE001
            self._load_error = error
            return
        finally:
            self._loaded.set()
        with self._pipeline as pipeline, Overlap(pipeline) as overlap:
            while (job := self.mailbox.take()) is not None:
                self._do(job, pipeline, overlap)

    def _do(self, job: Job, pipeline: Pipeline, overlap: Overlap) -> None:
        if job.rehearsal:
            self._rehearse(job, pipeline, overlap)
            return
        try:
            coming = overlap.submit(self._begin(job, pipeline, overlap))
        except Exception as error:  # noqa: BLE001
            self._complain(job, error)
        else:
            coming.add_done_callback(partial(self._finish, job))

    def _rehearse(self, job: Job, pipeline: Pipeline, overlap: Overlap) -> None:
        assert job.thermal is not None and job.rgb is not None
        try:
            for _ in range(_REHEARSALS):
                overlap.submit(pipeline.begin(FramePair(job.thermal, job.rgb))).result()
        except Exception as error:  # noqa: BLE001
            # What is wrong for good is told with the first image, with its stamp.
            log.debug("the rehearsal failed: %s", error)
            self._look_for_loss(error)
        finally:
            pipeline.reset()
            self._rehearsed.set()

    def _finish(self, job: Job, done: Future[FusionResult]) -> None:
        try:
            self._on_result(done.result(), job)
        except Exception as error:  # noqa: BLE001
            self._complain(job, error)
        else:
            self.done += 1

    def _complain(self, job: Job, error: Exception) -> None:
        self._look_for_loss(error)
        if isinstance(error, IvfusionError):
            self._failures(str(error), f"{job}: {error}")
        else:
            trace = "".join(traceback.format_exception(error))
            self._failures(repr(error), f"{job}: defect of this package: {trace}")
        forget_frames(error)

    def _look_for_loss(self, error: Exception) -> None:
        if isinstance(error, DeviceLostError) and not self.lost:
            self.lost = str(error)
            self.mailbox.close()
            self._on_lost()

    def _begin(self, job: Job, pipeline: Pipeline, overlap: Overlap) -> Rest:
        config = self.mailbox.take_config()
        if config is not None:
            overlap.settle()
            pipeline.set_config(config)
        extrinsics = self.mailbox.take_extrinsics()
        if extrinsics is not None:
            pipeline.registrar.set_extrinsics(extrinsics)
        if job.thermal is None or job.rgb is None:
            fused = _fuse_lone(job, pipeline)
            self._on_fused(fused.result)
            return lambda: fused
        if self._restarts((job.thermal.stamp_ns, job.rgb.stamp_ns)):
            overlap.settle()
            pipeline.reset()
        pair = FramePair(job.thermal, job.rgb, job.skew_ns, job.depth, job.held)
        return pipeline.begin(pair, self._on_fused)

    def _restarts(self, stamps_ns: tuple[int, int]) -> bool:
        restart = self.mailbox.take_restart()
        last, self._last_stamps_ns = self._last_stamps_ns, stamps_ns
        # Where both cameras jumped back, as the thermal scaler decides by itself in a replay.
        return restart or (last is not None and stamps_ns[0] < last[0] and stamps_ns[1] < last[1])


def _fuse_lone(job: Job, pipeline: Pipeline) -> Fused:
    view = job.view
    size = view.size if view else None
    if job.thermal is not None:
        fused = pipeline.thermal_only(job.thermal, size)
    else:
        assert job.rgb is not None
        fused = pipeline.rgb_only(job.rgb, size)
    if view is None:
        return fused
    # The output has the reference camera's geometry, so it has its frame and intrinsics as well.
    result = replace(fused.result, frame_id=view.frame_id, camera_info=view.camera_info)
    return replace(fused, result=result)
