"""Where the callbacks leave jobs for the thread that works on them."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from ivfusion_ros.config.pipeline import PipelineConfig
    from ivfusion_ros.geometry.rig import Extrinsics
    from ivfusion_ros.ros.streams import Job

_LET_GO_S = 50e-6
"""Enough for a thread to wake."""

_PATIENCE_S = 0.3
"""So long may a job wait: a machine that does nothing for a quarter of a second loses none."""
_MOST = 10
"""Jobs that wait: as many as the inputs hold, for memory's sake."""
_BEHIND_S = 10.0


class Mailbox:
    """Holds the jobs that wait, and what changes before the next one; for any threads.

    They wait in their order: after a moment in which a camera, the network or this machine did nothing,
    several come together, and all of them can still be done. Where one waits for long, or many do,
    whoever works is slower than the cameras. From then on the newest alone waits, for outputs
    to be no older than they must be, until for ten seconds none had to be left out.

    superseded: jobs that newer ones took the place of before their turn. clock: seconds, steady.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.superseded = 0
        self._clock = clock
        self._behind_until_s = -math.inf
        self._changed = threading.Condition()
        self._jobs: deque[tuple[float, Job]] = deque()
        self._restart = False
        self._extrinsics: Extrinsics | None = None
        self._config: PipelineConfig | None = None
        self._closed = False

    def put(self, job: Job) -> None:
        """Add a job, maybe instead of those that wait; a closed mailbox takes none."""
        with self._changed:
            if self._closed:
                return
            now_s = self._clock()
            if self._jobs and self._is_behind(now_s):
                self.superseded += len(self._jobs)
                self._jobs.clear()
                self._behind_until_s = now_s + _BEHIND_S
            self._jobs.append((now_s, job))
            self._changed.notify()
        # The interpreter is let go, or the other thread gets it only when the executor waits again.
        time.sleep(_LET_GO_S)

    def _is_behind(self, now_s: float) -> bool:
        waited_s = now_s - self._jobs[0][0]
        return now_s < self._behind_until_s or waited_s > _PATIENCE_S or len(self._jobs) >= _MOST

    def take(self) -> Job | None:
        """Wait for the next job; None once the mailbox is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._jobs)
            return self._jobs.popleft()[1] if self._jobs else None

    def close(self) -> None:
        """Drop what waits and let nobody wait any more."""
        with self._changed:
            self._closed = True
            self._jobs.clear()
            self._changed.notify()

    def restart(self) -> None:
        """Drop what waits, and have what was smoothed over time forgotten before the next pair."""
        with self._changed:
            self._jobs.clear()
            self._restart = True

    def take_restart(self) -> bool:
        """Whether restart() was called since the last time this was asked."""
        with self._changed:
            restart, self._restart = self._restart, False
            return restart

    def set_extrinsics(self, rgb_from_thermal: Extrinsics) -> None:
        """Have the next jobs registered by other extrinsics."""
        with self._changed:
            self._extrinsics = rgb_from_thermal

    def take_extrinsics(self) -> Extrinsics | None:
        """The extrinsics that were set since the last time this was asked; None: they did not change."""
        with self._changed:
            extrinsics, self._extrinsics = self._extrinsics, None
            return extrinsics

    def configure(self, config: PipelineConfig) -> None:
        """Have the next jobs done with other live parameters."""
        with self._changed:
            self._config = config

    def take_config(self) -> PipelineConfig | None:
        """The configuration that was set since the last time this was asked; None: it did not change."""
        with self._changed:
            config, self._config = self._config, None
            return config
