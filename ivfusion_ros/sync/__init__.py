"""What is one moment: frames of two cameras paired by their stamps, depth images attached."""

from ivfusion_ros.sync.depth import DepthFrames
from ivfusion_ros.sync.pairing import Pairer
from ivfusion_ros.sync.synchronizer import Synchronizer

__all__ = ["DepthFrames", "Pairer", "Synchronizer"]
