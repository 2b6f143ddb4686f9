"""Values <-> ROS messages, rclpy's and those of bags alike: frames in, results out, and their topics."""

from ivfusion_ros.messages.detections import make_label_info
from ivfusion_ros.messages.frames import (
    encoding_of,
    to_camera_info,
    to_depth_frame,
    to_extrinsics,
    to_frame,
)
from ivfusion_ros.messages.images import make_camera_info, make_compressed_image, make_image
from ivfusion_ros.messages.make import NS_PER_S, Make
from ivfusion_ros.messages.outputs import LABELS_TOPIC, OUTPUTS, Output, outputs_of
from ivfusion_ros.messages.type_names import CAMERA_INFO, COMPRESSED_IMAGE, IMAGE, LABEL_INFO, TRANSFORMS

__all__ = [
    "CAMERA_INFO",
    "COMPRESSED_IMAGE",
    "IMAGE",
    "LABELS_TOPIC",
    "LABEL_INFO",
    "NS_PER_S",
    "OUTPUTS",
    "TRANSFORMS",
    "Make",
    "Output",
    "encoding_of",
    "make_camera_info",
    "make_compressed_image",
    "make_image",
    "make_label_info",
    "outputs_of",
    "to_camera_info",
    "to_depth_frame",
    "to_extrinsics",
    "to_frame",
]
