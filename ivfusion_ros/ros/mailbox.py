"""Where the callbacks leave the newest job for the thread that works on it."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ivfusion_ros.config.pipeline import PipelineConfig
    from ivfusion_ros.geometry.rig import Extrinsics
    from ivfusion_ros.ros.streams import Job

_LET_GO_S = 50e-6
"""Enough for a thread to wake."""


class Mailbox:
    """Holds one job, the newest, and what changes before the next one; for any threads.

    superseded: jobs replaced by a newer one before their turn.
    """

    def __init__(self) -> None:
        self.superseded = 0
        self._changed = threading.Condition()
        self._job: Job | None = None
        self._restart = False
        self._extrinsics: Extrinsics | None = None
        self._config: PipelineConfig | None = None
        self._closed = False

    def put(self, job: Job) -> None:
        """Make this the next job, instead of one that waits; a closed mailbox takes none."""
        with self._changed:
            if self._closed:
                return
            self.superseded += self._job is not None
            self._job = job
            self._changed.notify()
        # The interpreter is let go, or the other thread gets it only when the executor waits again.
        time.sleep(_LET_GO_S)

    def take(self) -> Job | None:
        """Wait for the next job; None once the mailbox is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._job is not None)
            job, self._job = self._job, None
            return job

    def close(self) -> None:
        """Drop what waits and let nobody wait any more."""
        with self._changed:
            self._closed = True
            self._job = None
            self._changed.notify()

    def restart(self) -> None:
        """Drop what waits, and have what was smoothed over time forgotten before the next pair."""
        with self._changed:
            self._job = None
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
