"""Recordings behind a URL on their way to this machine, while another one is fused."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from typing import TYPE_CHECKING

from ivfusion_ros.files import scratch_folder
from ivfusion_ros.fleet.recordings import Recording, bring

if TYPE_CHECKING:
    from pathlib import Path

SCRATCH = "ivfusion-fleet"
"""Of temporary folders. The next process that makes one removes those of workers that were killed."""


class Copies:
    """Copied by one thread in the order in which they were asked for, each in a folder of its own."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1)
        self._coming: dict[str, tuple[Future[Path], ExitStack]] = {}

    def ask_for(self, recording: Recording) -> None:
        """Have it copied, unless it is on its way. Raises OSError without a temporary folder."""
        if recording.key in self._coming:
            return
        stack = ExitStack()
        folder = stack.enter_context(scratch_folder(SCRATCH))
        self._coming[recording.key] = self._thread.submit(bring, recording, folder), stack

    def path(self, recording: Recording) -> Path:
        """Where one that was asked for is, as soon as it is there. Raises DataError."""
        return self._coming[recording.key][0].result()

    def remove(self, recording: Recording) -> None:
        """Its copy, if there is one."""
        if recording.key not in self._coming:
            return
        future, stack = self._coming.pop(recording.key)
        future.cancel()
        wait([future])
        stack.close()
