"""Calibrations that other tools made: Kalibr, ROS's camera_calibration, OpenCV."""

from ivfusion_ros.calibrate.imported.parts import Camera, Move, Parts
from ivfusion_ros.calibrate.imported.rig import Imported, import_calibration

__all__ = ["Camera", "Imported", "Move", "Parts", "import_calibration"]
