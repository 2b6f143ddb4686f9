"""Messages of cameras -> frames: the one place where the pixels of a message are decoded.

Duck-typed: rclpy's messages and those of a bag's library will do, as will any object with their fields.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ivfusion_ros.errors import ImageError
from ivfusion_ros.geometry.camera_info import read_out, rectified
from ivfusion_ros.geometry.rig import Extrinsics
from ivfusion_ros.images.declared import MAX_PIXELS
from ivfusion_ros.images.encodings import decode_depth, decode_image, same_size_encoding
from ivfusion_ros.images.files import decode_compressed
from ivfusion_ros.messages.make import NS_PER_S
from ivfusion_ros.types import CameraInfo, DepthFrame, Frame

if TYPE_CHECKING:
    from ivfusion_ros.types import AnyImage


RECTIFIED_NAMES = re.compile(r"(?<![a-z])rect(?![a-z])|rectified|undistorted")
"""Of image topics, their last part."""


def to_frame(
    message: Any,
    info: CameraInfo | None = None,
    received_ns: int | None = None,
    max_pixels: int = MAX_PIXELS,
    encoding: str = "",
) -> Frame:
    """Decode a sensor_msgs/Image or CompressedImage; the frame may alias the message's data.

    max_pixels: of a CompressedImage. encoding: what an Image really is, '' for what it says. Raises
    ImageError.
    """
    pixels = _pixels(message, max_pixels, encoding)
    return Frame(pixels, stamp_ns(message), message.header.frame_id, info, received_ns)


def to_depth_frame(message: Any) -> DepthFrame:
    """Decode a depth sensor_msgs/Image; the frame may alias the message's data. Raises ImageError."""
    return DepthFrame(decode_depth(message.data, **_layout(message)), stamp_ns(message))


def to_camera_info(message: Any, image_topic: str) -> CameraInfo:
    """Of a sensor_msgs/CameraInfo: what holds for the images of a topic, as they are sent.

    Its region of interest and binning are folded into K and P. Images of a topic named image_rect,
    image_rect_color or the like were rectified by it. Raises ImageError.
    """
    d, k, r, p = (tuple(map(float, values)) for values in (message.d, message.k, message.r, message.p))
    info = CameraInfo(int(message.width), int(message.height), str(message.distortion_model), d, k, r, p)
    roi = message.roi
    region = (int(roi.x_offset), int(roi.y_offset), int(roi.width), int(roi.height))
    info = read_out(info, region, (int(message.binning_x), int(message.binning_y)))
    name = image_topic.removesuffix("Depth").removesuffix("/compressed").rsplit("/", 1)[-1]
    return rectified(info) if RECTIFIED_NAMES.search(name.lower()) else info


def encoding_of(message: Any) -> str:
    """Pixel encoding that an Image or CompressedImage announces, '' where it does not."""
    if _is_raw(message):
        return str(message.encoding)
    # image_transport writes "<pixel encoding>; <codec> compressed ..."; others write the codec alone.
    encoding, separator, _ = str(message.format).partition(";")
    return encoding.strip() if separator else ""


def to_extrinsics(transform: Any) -> Extrinsics:
    """How points move, by a geometry_msgs/Transform. Raises ConfigError where its rotation is none."""
    turn, shift = transform.rotation, transform.translation
    return Extrinsics.from_quaternion((turn.x, turn.y, turn.z, turn.w), (shift.x, shift.y, shift.z))


def _pixels(message: Any, max_pixels: int, encoding: str) -> AnyImage:
    if not _is_raw(message):
        return decode_compressed(message.data, message.format, max_pixels)
    layout = _layout(message)
    if encoding:
        layout["encoding"] = same_size_encoding(encoding, message.encoding)
    return decode_image(message.data, **layout)


def _is_raw(message: Any) -> bool:
    return hasattr(message, "encoding")


def _layout(message: Any) -> dict[str, Any]:
    return {
        "encoding": message.encoding,
        "width": message.width,
        "height": message.height,
        "step": message.step,
        "is_bigendian": bool(message.is_bigendian),
    }


def stamp_ns(message: Any) -> int:
    """When a message says that it was taken, ns. Raises ImageError."""
    stamp = message.header.stamp
    taken_ns = int(stamp.sec) * NS_PER_S + int(stamp.nanosec)
    # Nanoseconds above a second may carry the sum beyond what the results' headers can hold.
    if not -(2**31) <= taken_ns // NS_PER_S < 2**31:
        raise ImageError(f"stamp {taken_ns} ns is outside of what a ROS header holds (32-bit seconds)")
    return taken_ns
