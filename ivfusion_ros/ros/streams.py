"""Which frames become one output: pairs, or one camera's frames while the other one is silent."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ivfusion_ros.sync.synchronizer import Synchronizer
from ivfusion_ros.types import (
    OTHER_CAMERA,
    CameraInfo,
    CameraName,
    DepthImage,
    Frame,
    FramePair,
    Size,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from ivfusion_ros.config.node import FusionNodeConfig


@dataclass(frozen=True)
class View:
    """What a camera's images look like, for when it is silent. size: (width, height)."""

    size: Size
    frame_id: str
    camera_info: CameraInfo | None


@dataclass(frozen=True, eq=False)
class Job:
    """The frames of one output; None for a silent camera.

    view: of the reference camera where that one is silent, None if it was never seen. rehearsal: of no
    camera, and nobody gets what comes of it. complete_s: when all was there, by time.perf_counter.
    """

    thermal: Frame | None
    rgb: Frame | None
    skew_ns: int = 0
    depth: DepthImage | None = None
    held: bool = False
    view: View | None = None
    rehearsal: bool = False
    complete_s: float = field(default_factory=time.perf_counter)

    def __str__(self) -> str:
        cameras = {"thermal": self.thermal, "rgb": self.rgb}
        return " and ".join(f"{name} at {frame.stamp_ns} ns" for name, frame in cameras.items() if frame)


class SilenceWatch:
    """Tells which camera is silent by the stamps of the other one.

    No clock is asked, so slow, fast and paused playback, simulated time and clocks that differ between
    cameras all work. One step counts at most half the limit: a pause of both cameras is no silence of
    the one that resumes last, and neither is a jump of the clock. Nor does a camera's own backlog count,
    which may come in one burst when its link is back, nor a time in which nobody looked.
    """

    def __init__(self) -> None:
        self._stamp_ns: dict[CameraName, int] = {}
        self._missed_ns: dict[CameraName, int] = {"thermal": 0, "rgb": 0}
        self._behind_ns: dict[CameraName, int] = {"thermal": 0, "rgb": 0}

    def arrived(self, camera: CameraName, stamp_ns: int, limit_ns: int) -> CameraName | None:
        """Take note of a frame; returns the camera that is silent now, if any."""
        step_ns = max(0, stamp_ns - self._stamp_ns.get(camera, stamp_ns))
        self._stamp_ns[camera] = stamp_ns
        other = OTHER_CAMERA[camera]
        behind_ns = max(self._behind_ns[camera], self._missed_ns[camera])
        self._missed_ns[camera] = 0
        self._behind_ns[camera] = max(0, behind_ns - step_ns)
        self._missed_ns[other] += min(max(0, step_ns - behind_ns), limit_ns // 2)
        return other if self._missed_ns[other] > limit_ns else None

    def excuse(self, duration_ns: int) -> None:
        """Hold so much of what comes next against no camera: it passed while nobody looked."""
        for camera in self._behind_ns:
            self._behind_ns[camera] += duration_ns


class Streams:
    """Takes both cameras' frames and hands jobs to `submit`; not thread-safe.

    synchronizer: its depth takes the depth images. silent: the camera that is silent. on_change: called
    with the same when it changes.
    """

    def __init__(
        self,
        config: FusionNodeConfig,
        submit: Callable[[Job], None],
        on_change: Callable[[CameraName | None], None],
    ) -> None:
        self.synchronizer = Synchronizer(config)
        self.silent: CameraName | None = None
        self._config = config.node
        self._reference = config.registration.reference
        self._submit = submit
        self._on_change = on_change
        self._watch = SilenceWatch()
        self._view: View | None = None

    def set_config(self, config: FusionNodeConfig) -> None:
        """Take over live parameters, for waiting frames too."""
        self.synchronizer.set_config(config)
        self._config = config.node

    def restart(self) -> None:
        """Forget what waits and who was silent; counters stay."""
        self.synchronizer.reset()
        self.silent = None
        self._watch = SilenceWatch()

    def excuse(self, duration_s: float) -> None:
        """Call nobody silent for a time in which the node itself did not run."""
        self._watch.excuse(round(duration_s * 1e9))

    def add(self, camera: CameraName, frame: Frame) -> None:
        """Take a frame; submits no, one or several jobs."""
        if camera == self._reference:
            self._view = View(frame.size, frame.frame_id, frame.camera_info)
        silent = self._watch.arrived(camera, frame.stamp_ns, round(self._config.silent_after_s * 1e9))
        falls_back = silent is not None and self._config.when_silent == "fallback"
        if silent != self.silent:
            self.silent = silent
            self._on_change(silent)
            if falls_back:
                # A partner that comes for them later would have an output go back in time.
                self._submit_pairs(self.synchronizer.flush())
        if silent is None:
            self._submit_pairs(self.synchronizer.add(camera, frame))
        elif falls_back:
            self._submit(self._single(camera, frame))

    def _submit_pairs(self, pairs: list[FramePair]) -> None:
        for pair in pairs:
            self._submit(Job(pair.thermal, pair.rgb, pair.skew_ns, pair.depth, pair.held))

    def _single(self, camera: CameraName, frame: Frame) -> Job:
        view = None if camera == self._reference else self._view
        return Job(frame, None, view=view) if camera == "thermal" else Job(None, frame, view=view)
