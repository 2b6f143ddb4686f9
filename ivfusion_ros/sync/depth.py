"""Depth images that go with pairs: the nearest one in time that is there, never waited for."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from ivfusion_ros.config.pipeline import RegistrationConfig
    from ivfusion_ros.types import CameraName, DepthFrame, FramePair

MAX_FRAMES = 16
"""Half a second at 30 Hz: more than a pair waits for its second camera."""


class DepthFrames:
    """The last depth images of a stream; not thread-safe.

    Which one a pair gets depends on the order of arrivals alone, so that live and in replay it is the
    same. frames: how many came. missed: pairs that got none.
    """

    def __init__(self, config: RegistrationConfig) -> None:
        self.frames = 0
        self.missed = 0
        self._reference = cast("CameraName", config.reference)
        self._kept: deque[DepthFrame] = deque(maxlen=MAX_FRAMES)
        self.set_config(config)

    def set_config(self, config: RegistrationConfig) -> None:
        """Take over another limit."""
        self._max_skew_ns = round(config.depth_max_skew_ms * 1e6)

    def add(self, frame: DepthFrame) -> None:
        """Take a depth image."""
        self.frames += 1
        self._kept.append(frame)

    def attach(self, pair: FramePair) -> FramePair:
        """The pair with the depth image nearest to its reference frame, without one if none is near."""
        stamp_ns = int(pair.frames[self._reference].stamp_ns)
        # Of equally near ones the newest: the first lap's may lie among those of a looped bag.
        nearest = min(reversed(self._kept), key=lambda frame: abs(frame.stamp_ns - stamp_ns), default=None)
        if nearest is None or abs(nearest.stamp_ns - stamp_ns) > self._max_skew_ns:
            self.missed += 1
            return pair
        return replace(pair, depth=nearest.image)

    def reset(self) -> None:
        """Forget the images; counters stay."""
        self._kept.clear()
