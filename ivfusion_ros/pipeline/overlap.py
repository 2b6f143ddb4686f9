"""The two halves of a pipeline at the same time: a frame is begun while the one before is still in work.

On two cores this hides what runs on one of them alone (reading, warping, suppression, writing) behind the
networks; on more cores it also fills those that one small network leaves idle. Where there is a GPU, what
the CPU does before the networks hides behind the GPU's work on the frame before, and the second thread
alone uses the GPU. A frame waits for at most the second half of the one before it.
"""

from __future__ import annotations

import os
import queue
import threading
from concurrent.futures import Future, wait
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType

    from ivfusion_ros.pipeline.pipeline import Pipeline, Rest
    from ivfusion_ros.types import FusionResult

THREAD_NAME = "detection"


class Overlap:
    """Runs the second half of a pipeline in a thread of its own, where that can be faster.

    The thread is a daemon: a library that hangs must not keep a process from ending.
    """

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self._last: Future[FusionResult] | None = None
        self._work: queue.SimpleQueue[tuple[Rest, Future[FusionResult]] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        if pipeline.overlaps and ((os.cpu_count() or 1) > 1 or pipeline.on_gpu):
            self._thread = threading.Thread(target=self._run, name=THREAD_NAME, daemon=True)
            self._thread.start()

    def submit(self, rest: Rest) -> Future[FusionResult]:
        """Have a frame finished that was begun; returns once the one before is done with."""
        self.settle()
        coming: Future[FusionResult] = Future()
        self._last = coming
        if self._thread is None:
            _finish(self._pipeline, rest, coming)
        else:
            self._work.put((rest, coming))
        return coming

    def settle(self) -> None:
        """Wait until nothing is in work."""
        if self._last is not None:
            wait([self._last])

    def close(self) -> None:
        """End the thread after what is in work."""
        self._work.put(None)
        if self._thread is not None:
            self._thread.join()

    def __enter__(self) -> Overlap:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self) -> None:
        while (work := self._work.get()) is not None:
            _finish(self._pipeline, *work)


def _finish(pipeline: Pipeline, rest: Rest, result: Future[FusionResult]) -> None:
    try:
        result.set_result(pipeline.detect(rest()))
    except BaseException as error:  # noqa: BLE001
        result.set_exception(error)
