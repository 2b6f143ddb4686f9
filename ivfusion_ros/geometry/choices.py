"""What users choose from in calibrations, known without the libraries behind it."""

from __future__ import annotations

from typing import Literal

DISTORTION_LENGTHS = {
    "plumb_bob": (0, 4, 5),
    "rational_polynomial": (8, 12, 14),
    "equidistant": (4,),
}
"""Distortion models of sensor_msgs/CameraInfo, and how many coefficients each has.

The first two are one polynomial of OpenCV, k1 k2 p1 p2 k3 k4 k5 k6 s1 s2 s3 s4 tx ty, cut where all is 0.
"""

DEFAULT_PLANE_DISTANCE_M = 10.0

Tool = Literal["Kalibr", "ROS", "OpenCV"]

TOOLS: dict[Tool, str] = {
    "Kalibr": "a Kalibr camchain",
    "ROS": "a camera_info of ROS's camera_calibration",
    "OpenCV": "an OpenCV FileStorage",
}
"""What a file of each is called."""
