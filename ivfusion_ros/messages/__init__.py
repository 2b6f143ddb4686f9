"""Values <-> ROS messages, rclpy's and those of bags alike: frames in, results out, and their topics."""

from ivfusion_ros.messages.detections import make_label_info
from ivfusion_ros.messages.frames import (
    encoding_of,
    stamp_ns,
    to_camera_info,
    to_depth_frame,
    to_extrinsics,
    to_frame,
)
from ivfusion_ros.messages.images import make_camera_info, make_compressed_image, make_image
from ivfusion_ros.messages.make import NS_PER_S, Make
from ivfusion_ros.messages.marks import MARKS_TOPIC, make_mark
from ivfusion_ros.messages.outputs import LABELS_TOPIC, OUTPUTS, REGISTERED_TOPICS, Output, outputs_of
from ivfusion_ros.messages.type_names import (
    CAMERA_INFO,
    CAMERA_INFOS,
    COMPRESSED_IMAGE,
    FFMPEG_PACKET,
    FOXGLOVE_CALIBRATION,
    FOXGLOVE_COMPRESSED_IMAGE,
    FOXGLOVE_IMAGE,
    FOXGLOVE_VIDEO,
    IMAGE,
    IMAGES,
    LABEL_INFO,
    LOG,
    NAV_SAT_FIX,
    RAW_IMAGES,
    TRANSFORMS,
    VIDEOS,
    full_name,
)
from ivfusion_ros.messages.video import CODECS, video_codec

__all__ = [
    "CAMERA_INFO",
    "CAMERA_INFOS",
    "CODECS",
    "COMPRESSED_IMAGE",
    "FFMPEG_PACKET",
    "FOXGLOVE_CALIBRATION",
    "FOXGLOVE_COMPRESSED_IMAGE",
    "FOXGLOVE_IMAGE",
    "FOXGLOVE_VIDEO",
    "IMAGE",
    "IMAGES",
    "LABELS_TOPIC",
    "LABEL_INFO",
    "LOG",
    "MARKS_TOPIC",
    "NAV_SAT_FIX",
    "NS_PER_S",
    "OUTPUTS",
    "RAW_IMAGES",
    "REGISTERED_TOPICS",
    "TRANSFORMS",
    "VIDEOS",
    "Make",
    "Output",
    "encoding_of",
    "full_name",
    "make_camera_info",
    "make_compressed_image",
    "make_image",
    "make_label_info",
    "make_mark",
    "outputs_of",
    "stamp_ns",
    "to_camera_info",
    "to_depth_frame",
    "to_extrinsics",
    "to_frame",
    "video_codec",
]
