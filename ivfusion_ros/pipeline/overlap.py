"""The two halves of a pipeline at the same time: a frame is begun while the one before is still in work.

On two cores this hides what runs on one of them alone (reading, warping, suppression, writing) behind the
networks; on more cores it also fills those that one small network leaves idle. Where there is a GPU, what
the CPU does before the networks hides behind the GPU's work on the frame before, and the second thread
alone uses the GPU. A frame waits for at most the second half of the one before it.

Where the networks take several images at once, as in replays on two cores, so many threads look for
objects; what is found is concluded in the order of the images. Whoever is free fuses: one of them, or where
all are in work, the thread that began the frame. So both cores are busy however the work is shared out: of
large images fusion takes most of it, of small ones detection.
"""

from __future__ import annotations

import queue
import threading
from collections import deque
from concurrent.futures import Future, wait
from typing import TYPE_CHECKING, NamedTuple

from ivfusion_ros.backends.cpu import usable_cores

if TYPE_CHECKING:
    from types import TracebackType

    from ivfusion_ros.pipeline.pipeline import Pipeline, Rest
    from ivfusion_ros.types import FusionResult

THREAD_NAME = "detection"


class Overlap:
    """Runs the second half of a pipeline in threads of its own, where that can be faster.

    They are daemons: a library that hangs must not keep a process from ending.
    """

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self.most = pipeline.looks if pipeline.looks == 1 else pipeline.looks + 1
        """frames in work; of several threads the first that is free takes the one more"""
        self._in_work: deque[Future[FusionResult]] = deque()
        self._work: queue.SimpleQueue[_Work | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        if pipeline.overlaps and (usable_cores() > 1 or pipeline.on_gpu):
            self._threads = [
                threading.Thread(target=self._run, name=THREAD_NAME, daemon=True)
                for _ in range(pipeline.looks)
            ]
        for thread in self._threads:
            thread.start()

    @property
    def is_full(self) -> bool:
        """Whether a frame is better fused before it is handed over, as no thread would begin with it."""
        looks = self._pipeline.looks
        return looks > 1 and sum(not coming.done() for coming in self._in_work) >= looks

    def submit(self, rest: Rest) -> Future[FusionResult]:
        """Have a frame finished that was begun; returns once there are fewer than `most` before it.

        That is when the one before is done with, where the networks take one image at a time.
        """
        while len(self._in_work) >= self.most:
            wait([self._in_work.popleft()])
        work = _Work(rest, Future(), self._in_work[-1] if self._in_work else None)
        self._in_work.append(work.coming)
        if self._threads:
            self._work.put(work)
        else:
            _finish(self._pipeline, work)
        return work.coming

    def settle(self) -> None:
        """Wait until nothing is in work."""
        wait(self._in_work)

    def close(self) -> None:
        """End the threads after what is in work."""
        for _ in self._threads:
            self._work.put(None)
        for thread in self._threads:
            thread.join()

    def __enter__(self) -> Overlap:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self) -> None:
        while (work := self._work.get()) is not None:
            _finish(self._pipeline, work)


class _Work(NamedTuple):
    """What is left to do of a frame, whom it is for, and the frame before where that is in work."""

    rest: Rest
    coming: Future[FusionResult]
    before: Future[FusionResult] | None


def _finish(pipeline: Pipeline, work: _Work) -> None:
    try:
        fused = work.rest()
        looked = pipeline.look(fused)
        if work.before is not None:
            wait([work.before])
        work.coming.set_result(pipeline.conclude(fused, looked))
    except BaseException as error:  # noqa: BLE001
        work.coming.set_exception(error)
