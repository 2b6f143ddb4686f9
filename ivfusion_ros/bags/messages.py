"""ROS 2 messages <-> the values of types.py, through rosbags' CDR code; needs no ROS.

vision_msgs is not among rosbags' types, so its 4.x layout is registered here.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import numpy as np
from rosbags.serde import SerdeError
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from ivfusion_ros.errors import BagError, ConfigError
from ivfusion_ros.geometry.rig import Extrinsics
from ivfusion_ros.images.encodings import decode_depth, decode_image, encode_image
from ivfusion_ros.images.files import decode_compressed, encode_compressed
from ivfusion_ros.types import AnyImage, CameraInfo, DepthFrame, Detections, Frame

if TYPE_CHECKING:
    from collections.abc import Mapping

IMAGE = "sensor_msgs/msg/Image"
COMPRESSED_IMAGE = "sensor_msgs/msg/CompressedImage"
CAMERA_INFO = "sensor_msgs/msg/CameraInfo"
DETECTIONS = "vision_msgs/msg/Detection2DArray"
LABEL_INFO = "vision_msgs/msg/LabelInfo"
TRANSFORMS = "tf2_msgs/msg/TFMessage"

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


def make(msgtype: str, *values: Any) -> Any:
    """A message object, its fields in the order of the definition; 'pkg/Name' or 'pkg/msg/Name'."""
    package, name = msgtype.split("/")[0], msgtype.split("/")[-1]
    return typestore().types[f"{package}/msg/{name}"](*values)


def serialize(message: Any) -> memoryview:
    """CDR bytes of a message object, little endian, with the encapsulation header."""
    return memoryview(typestore().serialize_cdr(message, message.__msgtype__, little_endian=True))


def deserialize(data: bytes | memoryview, msgtype: str) -> Any:
    """A message object from CDR bytes; its arrays alias data. Raises BagError."""
    try:
        return typestore().deserialize_cdr(memoryview(data), msgtype)
    except SerdeError as error:
        raise BagError(f"{len(data)} bytes are no valid {msgtype}: {error}") from error


def image_encoding(data: bytes | memoryview, msgtype: str) -> str:
    """Pixel encoding that an Image or CompressedImage announces, '' where it is not said.

    Raises BagError.
    """
    message = deserialize(data, msgtype)
    if msgtype == IMAGE:
        return str(message.encoding)
    # image_transport writes "<pixel encoding>; <codec> compressed ..."; others write the codec alone.
    encoding, separator, _ = str(message.format).partition(";")
    return encoding.strip() if separator else ""


def to_frame(
    data: bytes | memoryview,
    msgtype: str,
    camera_info: CameraInfo | None = None,
    received_ns: int | None = None,
) -> Frame:
    """Decode an Image or CompressedImage. Raises BagError (bytes) or ImageError (pixels)."""
    message = deserialize(data, msgtype)
    if msgtype == COMPRESSED_IMAGE:
        image = decode_compressed(message.data, message.format)
    else:
        image = decode_image(
            message.data,
            encoding=message.encoding,
            width=message.width,
            height=message.height,
            step=message.step,
            is_bigendian=bool(message.is_bigendian),
        )
    return Frame(image, _stamp_ns(message), message.header.frame_id, camera_info, received_ns)


def to_depth_frame(data: bytes | memoryview) -> DepthFrame:
    """Decode a depth Image. Raises BagError (bytes) or ImageError (pixels)."""
    message = deserialize(data, IMAGE)
    depth = decode_depth(
        message.data,
        encoding=message.encoding,
        width=message.width,
        height=message.height,
        step=message.step,
        is_bigendian=bool(message.is_bigendian),
    )
    return DepthFrame(depth, _stamp_ns(message))


def to_camera_info(data: bytes | memoryview) -> CameraInfo:
    """Decode a sensor_msgs/CameraInfo. Raises BagError."""
    return CameraInfo.from_message(deserialize(data, CAMERA_INFO))


def to_transforms(data: bytes | memoryview) -> list[tuple[str, str, Extrinsics]]:
    """Decode a tf2_msgs/TFMessage: parent, child, and how points move from child to parent.

    Raises BagError.
    """
    transforms = []
    for item in deserialize(data, TRANSFORMS).transforms:
        turn, shift = item.transform.rotation, item.transform.translation
        try:
            pose = Extrinsics.from_quaternion((turn.x, turn.y, turn.z, turn.w), (shift.x, shift.y, shift.z))
        except ConfigError as error:
            raise BagError(f"transform of {item.child_frame_id}: {error}") from error
        transforms.append((item.header.frame_id, item.child_frame_id, pose))
    return transforms


def _stamp_ns(message: Any) -> int:
    stamp = message.header.stamp
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)


def header(stamp_ns: int, frame_id: str) -> Any:
    """std_msgs/Header. Raises BagError for a stamp that ROS cannot hold."""
    sec, nanosec = divmod(stamp_ns, 1_000_000_000)
    if not -(2**31) <= sec < 2**31:
        raise BagError(f"stamp {stamp_ns} ns is outside of what a ROS header holds (32-bit seconds)")
    return make("std_msgs/Header", make("builtin_interfaces/Time", sec, nanosec), frame_id)


def image_message(image: AnyImage, head: Any, *, compressed: bool) -> Any:
    """sensor_msgs Image, or CompressedImage: colour as JPEG, grey of either depth as lossless PNG.

    image: (H, W) uint8 or uint16, or (H, W, 3) uint8 RGB. Raises ImageError.
    """
    if compressed:
        colour = image.ndim == 3
        encoding = "rgb8" if colour else f"mono{8 * image.itemsize}"
        format_ = f"{encoding}; jpeg compressed bgr8" if colour else f"{encoding}; png compressed "
        data = encode_compressed(image, "jpeg" if colour else "png")
        return make(COMPRESSED_IMAGE, head, format_, np.frombuffer(data, np.uint8))
    raw = encode_image(image)
    pixels = np.frombuffer(raw.data, np.uint8)
    return make(IMAGE, head, raw.height, raw.width, raw.encoding, int(raw.is_bigendian), raw.step, pixels)


def camera_info_message(info: CameraInfo, head: Any) -> Any:
    """sensor_msgs/CameraInfo without binning or region of interest."""
    d, k, r, p = (np.array(values, np.float64) for values in (info.d, info.k, info.r, info.p))
    roi = make("sensor_msgs/RegionOfInterest", 0, 0, 0, 0, False)
    return make(CAMERA_INFO, head, info.height, info.width, info.distortion_model, d, k, r, p, 0, 0, roi)


def detections_message(detections: Detections, head: Any) -> Any:
    """vision_msgs/Detection2DArray; class_id is the class NAME, id by Detections.id_of, boxes in pixels."""
    boxes = detections.boxes_xyxy.astype(np.float64)
    centers = ((boxes[:, :2] + boxes[:, 2:]) / 2).tolist()
    sizes = (boxes[:, 2:] - boxes[:, :2]).tolist()
    names = [detections.class_names[index] for index in detections.class_ids]
    rows = zip(centers, sizes, names, detections.scores.tolist(), strict=True)
    found = [_detection(head, detections.id_of(index), *row) for index, row in enumerate(rows)]
    return make(DETECTIONS, head, found)


def label_info_message(class_names: tuple[str, ...], head: Any) -> Any:
    """vision_msgs/LabelInfo: index and name of every class that the detector knows."""
    classes = [make("vision_msgs/VisionClass", index, name) for index, name in enumerate(class_names)]
    return make(LABEL_INFO, head, classes, 0.0)


def _detection(
    head: Any, number: str, center: list[float], size: list[float], name: str, score: float
) -> Any:
    hypothesis = make("vision_msgs/ObjectHypothesis", name, score)
    result = make("vision_msgs/ObjectHypothesisWithPose", hypothesis, _no_pose())
    pose = make("vision_msgs/Pose2D", make("vision_msgs/Point2D", *center), 0.0)
    box = make("vision_msgs/BoundingBox2D", pose, *size)
    return make("vision_msgs/Detection2D", head, [result], box, number)


@functools.cache
def _no_pose() -> Any:
    position = make("geometry_msgs/Point", 0.0, 0.0, 0.0)
    orientation = make("geometry_msgs/Quaternion", 0.0, 0.0, 0.0, 1.0)
    pose = make("geometry_msgs/Pose", position, orientation)
    return make("geometry_msgs/PoseWithCovariance", pose, np.zeros(36))
