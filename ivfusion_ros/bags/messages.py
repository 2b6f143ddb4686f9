"""CDR bytes of a bag <-> messages and the values of types.py, through rosbags; needs no ROS.

What is not among rosbags' types is registered here, vision_msgs in its 4.x layout.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from ivfusion_ros import messages
from ivfusion_ros.errors import BagError, ConfigError
from ivfusion_ros.images.declared import MAX_PIXELS
from ivfusion_ros.messages.make import NS_PER_S
from ivfusion_ros.messages.type_names import (
    FFMPEG_PACKET,
    FOXGLOVE_CALIBRATION,
    FOXGLOVE_COMPRESSED_IMAGE,
    FOXGLOVE_IMAGE,
    FOXGLOVE_VIDEO,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ivfusion_ros.geometry.rig import Extrinsics
    from ivfusion_ros.types import CameraInfo, Frame

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
    "BoundingBox3D": "geometry_msgs/Pose center\ngeometry_msgs/Vector3 size",
    "Detection3D": "std_msgs/Header header\nObjectHypothesisWithPose[] results\n"
    "BoundingBox3D bbox\nstring id",
    "Detection3DArray": "std_msgs/Header header\nDetection3D[] detections",
    "VisionClass": "uint16 class_id\nstring class_name",
    "LabelInfo": "std_msgs/Header header\nvision_msgs/VisionClass[] class_map\nfloat32 threshold",
}
"""Field definitions of vision_msgs 4.x, by type name without the package."""

_STAMPED = "builtin_interfaces/Time timestamp\nstring frame_id\n"

OTHER_MSGS: Mapping[str, str] = {
    FOXGLOVE_IMAGE: f"{_STAMPED}uint32 width\nuint32 height\nstring encoding\nuint32 step\nuint8[] data",
    FOXGLOVE_COMPRESSED_IMAGE: f"{_STAMPED}uint8[] data\nstring format",
    FOXGLOVE_VIDEO: f"{_STAMPED}uint8[] data\nstring format",
    FOXGLOVE_CALIBRATION: f"{_STAMPED}uint32 width\nuint32 height\nstring distortion_model\n"
    "float64[] D\nfloat64[9] K\nfloat64[9] R\nfloat64[12] P",
    FFMPEG_PACKET: "std_msgs/Header header\nint32 width\nint32 height\nstring encoding\nuint64 pts\n"
    "uint8 flags\nbool is_bigendian\nuint8[] data",
}
"""Field definitions of foxglove_msgs and of ffmpeg_image_transport, which rosbags does not have either."""


@functools.cache
def typestore() -> Any:
    """rosbags' store of the standard types plus those defined here.

    The types used here are the same in every distribution from Humble on.
    """
    store = get_typestore(Stores.ROS2_HUMBLE)
    types: dict[str, Any] = {}
    for name, text in VISION_MSGS.items():
        types.update(get_types_from_msg(text, f"vision_msgs/msg/{name}"))
    for name, text in OTHER_MSGS.items():
        types.update(get_types_from_msg(text, name))
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


def to_transforms(message: Any) -> list[tuple[str, str, Extrinsics]]:
    """Of a tf2_msgs/TFMessage: parent, child, and how points move from child to parent.

    Raises BagError.
    """
    transforms = []
    for item in message.transforms:
        try:
            pose = messages.to_extrinsics(item.transform)
        except ConfigError as error:
            raise BagError(f"transform of {item.child_frame_id}: {error}") from error
        transforms.append((item.header.frame_id, item.child_frame_id, pose))
    return transforms
