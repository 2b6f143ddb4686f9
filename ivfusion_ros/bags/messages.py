"""CDR bytes of a bag <-> messages and the values of types.py, through rosbags; needs no ROS.

vision_msgs is not among rosbags' types, so its 4.x layout is registered here.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from ivfusion_ros import messages
from ivfusion_ros.errors import BagError, ConfigError
from ivfusion_ros.images.declared import MAX_PIXELS
from ivfusion_ros.messages.make import NS_PER_S
from ivfusion_ros.messages.type_names import CAMERA_INFO, IMAGE, TRANSFORMS
from ivfusion_ros.types import CameraInfo

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ivfusion_ros.geometry.rig import Extrinsics
    from ivfusion_ros.types import DepthFrame, Frame

TIME = "builtin_interfaces/msg/Time"

VISION_MSGS: Mapping[str, str] = {
    "Point2D": "float64 x\nfloat64 y",
    "Pose2D": "vision_msgs/Point2D position\nfloat64 theta",
    "BoundingBox2D": "vision_msgs/Pose2D center\nfloat64 size_x\nfloat64 size_y",
    "ObjectHypothesis": "string class_id\nfloat64 score",
    "ObjectHypothesisWithPose": "ObjectHypothesis hypothesis\ngeometry_msgs/PoseWithCovariance pose",
    "Detection2D": "std_msgs/Header header\nObjectHypothesisWithPose[] results\n"
    "BoundingBox2D bbox\nstring id",
    "Detection2DArray": "std_msgs/Header header\nDetection2D[] detections",
    "VisionClass": "uint16 class_id\nstring class_name",
    "LabelInfo": "std_msgs/Header header\nvision_msgs/VisionClass[] class_map\nfloat32 threshold",
}
"""Field definitions of vision_msgs 4.x, by type name without the package."""


@functools.cache
def typestore() -> Any:
    """rosbags' store of the standard types plus vision_msgs.

    The types used here are the same in every distribution from Humble on.
    """
    store = get_typestore(Stores.ROS2_HUMBLE)
    types: dict[str, Any] = {}
    for name, text in VISION_MSGS.items():
        types.update(get_types_from_msg(text, f"vision_msgs/msg/{name}"))
    store.register(types)
    return store


def make(type_name: str, /, **fields: Any) -> Any:
    """A message object; see ivfusion_ros.messages.Make. Raises BagError for a time that ROS cannot hold."""
    if type_name == TIME and not -(2**31) <= fields["sec"] < 2**31:
        stamp_ns = fields["sec"] * NS_PER_S + fields["nanosec"]
        raise BagError(f"stamp {stamp_ns} ns is outside of what a ROS header holds (32-bit seconds)")
    return typestore().types[type_name](**fields)


def serialize(message: Any) -> memoryview:
    """CDR bytes of a message object, little endian, with the encapsulation header."""
    return memoryview(typestore().serialize_cdr(message, message.__msgtype__, little_endian=True))


def deserialize(data: bytes | memoryview, msgtype: str) -> Any:
    """A message object from CDR bytes; its arrays alias data. Raises BagError."""
    try:
        return typestore().deserialize_cdr(memoryview(data), msgtype)
    except Exception as error:
        # Beside SerdeError whatever a parser raises on bytes that are anything: of text, sizes, memory.
        raise BagError(f"{len(data)} bytes are not a valid {msgtype}: {error}") from error


def image_encoding(data: bytes | memoryview, msgtype: str) -> str:
    """messages.encoding_of for the bytes of an Image or CompressedImage. Raises BagError."""
    return messages.encoding_of(deserialize(data, msgtype))


def to_frame(
    data: bytes | memoryview,
    msgtype: str,
    camera_info: CameraInfo | None = None,
    received_ns: int | None = None,
    max_pixels: int = MAX_PIXELS,
) -> Frame:
    """Decode an Image or CompressedImage. Raises BagError (bytes) or ImageError (pixels)."""
    message = deserialize(data, msgtype)
    return messages.to_frame(message, camera_info, received_ns, max_pixels=max_pixels)


def to_depth_frame(data: bytes | memoryview) -> DepthFrame:
    """Decode a depth Image. Raises BagError (bytes) or ImageError (pixels)."""
    return messages.to_depth_frame(deserialize(data, IMAGE))


def to_camera_info(data: bytes | memoryview) -> CameraInfo:
    """Decode a sensor_msgs/CameraInfo. Raises BagError."""
    return CameraInfo.from_message(deserialize(data, CAMERA_INFO))


def to_transforms(data: bytes | memoryview) -> list[tuple[str, str, Extrinsics]]:
    """Decode a tf2_msgs/TFMessage: parent, child, and how points move from child to parent.

    Raises BagError.
    """
    transforms = []
    for item in deserialize(data, TRANSFORMS).transforms:
        try:
            pose = messages.to_extrinsics(item.transform)
        except ConfigError as error:
            raise BagError(f"transform of {item.child_frame_id}: {error}") from error
        transforms.append((item.header.frame_id, item.child_frame_id, pose))
    return transforms
