"""What is one moment: frames of two cameras paired by their stamps, depth images attached."""

from ivfusion_ros.sync.clocks import MIN_FRAMES, ClockCheck, Sighting, advice, offset_ns
from ivfusion_ros.sync.depth import DepthFrames
from ivfusion_ros.sync.pairing import READ_AHEAD, Pairer, Patience
from ivfusion_ros.sync.synchronizer import Synchronizer

__all__ = [
    "MIN_FRAMES",
    "READ_AHEAD",
    "ClockCheck",
    "DepthFrames",
    "Pairer",
    "Patience",
    "Sighting",
    "Synchronizer",
    "advice",
    "offset_ns",
]
