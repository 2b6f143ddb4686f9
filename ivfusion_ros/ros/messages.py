"""ROS messages <-> the values of types.py, duck-typed: any object with the fields of the message will do.

The pixels, names and numbers are those of bags/messages.py, so that a live node and a replay agree.
"""

from __future__ import annotations

import array
import math
from typing import Any

from ivfusion_ros.errors import ImageError
from ivfusion_ros.images.encodings import ENCODINGS, decode_depth, decode_image, encode_image
from ivfusion_ros.images.files import decode_compressed, encode_compressed
from ivfusion_ros.types import CameraInfo, CameraName, DepthFrame, Detections, Frame, Image

NS_PER_S = 1_000_000_000


def image_frame(message: Any, info: CameraInfo | None = None) -> Frame:
    """Decode a sensor_msgs/Image; the frame may alias the message's data. Raises ImageError.

    Encodings that the package does not know, such as rgb16, go through cv_bridge where it is installed.
    """
    if message.encoding not in ENCODINGS:
        return _frame(_by_cv_bridge(message), message, info)
    image = decode_image(
        message.data,
        encoding=message.encoding,
        width=message.width,
        height=message.height,
        step=message.step,
        is_bigendian=bool(message.is_bigendian),
    )
    return _frame(image, message, info)


def compressed_frame(message: Any, info: CameraInfo | None = None) -> Frame:
    """Decode a sensor_msgs/CompressedImage. Raises ImageError."""
    return _frame(decode_compressed(message.data, message.format), message, info)


def depth_frame(message: Any) -> DepthFrame:
    """Decode a depth sensor_msgs/Image; the frame may alias the message's data. Raises ImageError."""
    depth = decode_depth(
        message.data,
        encoding=message.encoding,
        width=message.width,
        height=message.height,
        step=message.step,
        is_bigendian=bool(message.is_bigendian),
    )
    return DepthFrame(depth, _stamp_ns(message))


def fill_header(message: Any, stamp_ns: int, frame_id: str) -> None:
    """Set stamp (nanoseconds, exactly) and frame of a message's header."""
    header = message.header
    header.stamp.sec, header.stamp.nanosec = divmod(stamp_ns, NS_PER_S)
    header.frame_id = frame_id


def fill_image(message: Any, image: Image) -> None:
    """Set a sensor_msgs/Image to an (H, W) or (H, W, 3) RGB image."""
    raw = encode_image(image)
    message.height, message.width, message.step = raw.height, raw.width, raw.step
    message.encoding, message.is_bigendian = raw.encoding, int(raw.is_bigendian)
    message.data = _byte_array(raw.data)


def fill_compressed(message: Any, image: Image) -> None:
    """Set a sensor_msgs/CompressedImage to an (H, W, 3) RGB image, as JPEG."""
    message.format = "rgb8; jpeg compressed bgr8"
    message.data = _byte_array(memoryview(encode_compressed(image, "jpeg")))


def fill_camera_info(message: Any, info: CameraInfo) -> None:
    """Set a sensor_msgs/CameraInfo, without binning or region of interest."""
    message.width, message.height = info.width, info.height
    message.distortion_model = info.distortion_model
    message.d = array.array("d", info.d)
    for name in ("k", "r", "p"):
        setattr(message, name, list(getattr(info, name)))


def fill_detections(message: Any, detections: Detections, types: Any) -> None:
    """Set a vision_msgs/Detection2DArray whose header is set; class_id is the class name.

    id: by Detections.id_of; a number finds the object again in a camera's own image. types: the module
    vision_msgs.msg.
    """
    message.detections = [
        _detection(message.header, detections, index, box, types)
        for index, box in enumerate(detections.boxes_xyxy.tolist())
    ]


def fill_native_detections(message: Any, detections: Detections, camera: CameraName, types: Any) -> None:
    """As fill_detections, in the pixels of a camera's own image; what it does not see is left out.

    Thermal detections have two results more where temperatures are known: class_id max_kelvin and
    mean_kelvin, score in kelvin.
    """
    thermal = camera == "thermal"
    boxes = detections.thermal_boxes_xyxy if thermal else detections.rgb_boxes_xyxy
    found = []
    for index, box in enumerate([] if boxes is None else boxes.tolist()):
        if all(map(math.isfinite, box)):
            detection = _detection(message.header, detections, index, box, types)
            detection.results += _temperatures(detections, index, types) if thermal else []
            found.append(detection)
    message.detections = found


def _detection(header: Any, detections: Detections, index: int, box: list[float], types: Any) -> Any:
    left, top, right, bottom = box
    detection = types.Detection2D()
    detection.header, detection.id = header, detections.id_of(index)
    center = detection.bbox.center.position
    center.x, center.y = (left + right) / 2, (top + bottom) / 2
    detection.bbox.size_x, detection.bbox.size_y = right - left, bottom - top
    name = detections.class_names[detections.class_ids[index]]
    detection.results = [_hypothesis(name, float(detections.scores[index]), types)]
    return detection


def _temperatures(detections: Detections, index: int, types: Any) -> list[Any]:
    values = {"max_kelvin": detections.max_kelvin, "mean_kelvin": detections.mean_kelvin}
    return [
        _hypothesis(name, float(kelvin[index]), types)
        for name, kelvin in values.items()
        if kelvin is not None and math.isfinite(kelvin[index])
    ]


def _hypothesis(class_id: str, score: float, types: Any) -> Any:
    result = types.ObjectHypothesisWithPose()
    result.hypothesis.class_id, result.hypothesis.score = class_id, score
    return result


def fill_label_info(message: Any, class_names: tuple[str, ...], types: Any) -> None:
    """Set a vision_msgs/LabelInfo: index and name of every class that the detector knows.

    types: the module vision_msgs.msg.
    """
    message.class_map = [
        types.VisionClass(class_id=index, class_name=name) for index, name in enumerate(class_names)
    ]


def _by_cv_bridge(message: Any) -> Any:
    known = f"image encoding is {message.encoding!r}, supported are {', '.join(ENCODINGS)}"
    try:
        from cv_bridge import CvBridge, CvBridgeError
    except ImportError as error:
        raise ImageError(f"{known}, and more where cv_bridge is installed") from error
    try:
        return CvBridge().imgmsg_to_cv2(message, "rgb8")
    except CvBridgeError as error:
        raise ImageError(f"{known}; cv_bridge says: {error}") from error


def _frame(image: Any, message: Any, info: CameraInfo | None) -> Frame:
    return Frame(image, _stamp_ns(message), message.header.frame_id, info)


def _stamp_ns(message: Any) -> int:
    stamp = message.header.stamp
    return int(stamp.sec) * NS_PER_S + int(stamp.nanosec)


def _byte_array(data: memoryview) -> array.array[int]:
    # Any other type is checked and copied by rclpy byte by byte: 40 ms for a VGA image.
    copied = array.array("B")
    copied.frombytes(data)
    return copied
