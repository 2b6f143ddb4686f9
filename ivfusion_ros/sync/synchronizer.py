"""What goes into one output: a pair with its depth image, by the same rules live and in replay."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ivfusion_ros.sync.depth import DepthFrames
from ivfusion_ros.sync.pairing import Pairer

if TYPE_CHECKING:
    from ivfusion_ros.config.pipeline import PipelineConfig
    from ivfusion_ros.sync.pairing import Patience
    from ivfusion_ros.types import CameraName, Frame, FramePair


class Synchronizer:
    """Takes frames and depth images in the order of their arrival and gives pairs; not thread-safe.

    pairer: counts pairs, drops and restarts. depth: takes the depth images, each before the frames that
    came after it, and counts them; None where registration.depth is false, and pairs have none then.
    patience: of a recording, where frames may wait without delaying anybody.
    """

    def __init__(self, config: PipelineConfig, patience: Patience | None = None) -> None:
        hold_ns = round(config.pairing.hold_thermal_ms * 1e6)
        self.pairer = Pairer(config.pairing, patience, hold_ns=hold_ns)
        self.depth = DepthFrames(config.registration) if config.registration.depth else None

    def set_config(self, config: PipelineConfig) -> None:
        """Take over other limits, for waiting frames too."""
        self.pairer.set_config(config.pairing)
        if self.depth is not None:
            self.depth.set_config(config.registration)

    def add(self, camera: CameraName, frame: Frame) -> list[FramePair]:
        """Take a frame; the pairs that became certain, in order of RGB stamps."""
        return self._with_depth(self.pairer.add(camera, frame))

    def flush(self) -> list[FramePair]:
        """Pair what waits, as no frame follows, and drop the rest."""
        return self._with_depth(self.pairer.flush())

    def reset(self) -> None:
        """Drop what waits and start over; counters stay."""
        self.pairer.reset()
        if self.depth is not None:
            self.depth.reset()

    def _with_depth(self, pairs: list[FramePair]) -> list[FramePair]:
        return pairs if self.depth is None else [self.depth.attach(pair) for pair in pairs]
