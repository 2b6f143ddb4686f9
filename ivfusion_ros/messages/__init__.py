"""Values <-> ROS messages, rclpy's and those of bags alike: frames in, results out, and their topics."""

from ivfusion_ros.messages.frames import encoding_of, to_depth_frame, to_extrinsics, to_frame
from ivfusion_ros.messages.make import Make
from ivfusion_ros.messages.outputs import LABELS_TOPIC, OUTPUTS, Output

__all__ = [
    "LABELS_TOPIC",
    "OUTPUTS",
    "Make",
    "Output",
    "encoding_of",
    "to_depth_frame",
    "to_extrinsics",
    "to_frame",
]
