"""What is one moment: frames of two cameras paired by their stamps, depth images attached."""

from ivfusion_ros.sync.clocks import ClockCheck
from ivfusion_ros.sync.depth import DepthFrames
from ivfusion_ros.sync.pairing import READ_AHEAD, Pairer, Patience
from ivfusion_ros.sync.synchronizer import Synchronizer

__all__ = ["READ_AHEAD", "ClockCheck", "DepthFrames", "Pairer", "Patience", "Synchronizer"]
