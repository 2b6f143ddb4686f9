"""sensor_msgs/Image as the bytes that it is sent as, without rclpy's objects.

rclpy copies an image twice on its way in and twice on its way out: 0.25 ms each for 640x480. What is here
is the classic CDR of DDS, little-endian; any other encapsulation is left to rclpy.
"""

from __future__ import annotations

import functools
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ivfusion_ros.messages.type_names import IMAGE
from ivfusion_ros.ros import messages

if TYPE_CHECKING:
    from collections.abc import Callable

_LITTLE_ENDIAN = b"\0\1\0\0"
"""Encapsulation: plain CDR; alignment counts from behind it."""
_ORIGIN = len(_LITTLE_ENDIAN)
_UINT32 = struct.Struct("<I")
_TWO = struct.Struct("<II")
_STAMP = struct.Struct("<iI")
_PADDING = 3
"""At most so many bytes behind the data, to fill four."""


@dataclass(frozen=True, slots=True)
class Stamp:
    """builtin_interfaces/Time."""

    sec: int
    nanosec: int


@dataclass(frozen=True, slots=True)
class WireHeader:
    """std_msgs/Header."""

    stamp: Stamp
    frame_id: str


@dataclass(frozen=True, slots=True)
class WireImage:
    """What is read of a sensor_msgs/Image; its data lies in the bytes that came."""

    header: WireHeader
    height: int
    width: int
    encoding: str
    is_bigendian: int
    step: int
    data: memoryview


def read_image(content: bytes) -> WireImage | None:
    """An Image out of its bytes; None where they are not what this knows, as rclpy may."""
    try:
        return _read(content) if content[:_ORIGIN] == _LITTLE_ENDIAN else None
    except (struct.error, IndexError, UnicodeDecodeError):
        return None


def _read(content: bytes) -> WireImage | None:
    stamp = Stamp(*_STAMP.unpack_from(content, _ORIGIN))
    frame_id, at = _text(content, _ORIGIN + _STAMP.size)
    height, width = _TWO.unpack_from(content, at)
    encoding, at = _text(content, at + _TWO.size, align=1)
    is_bigendian, at = content[at], _aligned(at + 1)
    step, count = _TWO.unpack_from(content, at)
    begin = at + _TWO.size
    if not begin + count <= len(content) <= begin + count + _PADDING:
        return None
    data = memoryview(content)[begin : begin + count]
    return WireImage(WireHeader(stamp, frame_id), height, width, encoding, is_bigendian, step, data)


def _text(content: bytes, at: int, align: int = 4) -> tuple[str, int]:
    """The string at a place, and where the next value is."""
    (count,) = _UINT32.unpack_from(content, at)
    end = at + _UINT32.size + count
    if not count or end > len(content):
        raise struct.error("a string ends behind the message")
    return content[at + _UINT32.size : end - 1].decode(), _aligned(end, align)


def _aligned(at: int, align: int = 4) -> int:
    return _ORIGIN + -(-(at - _ORIGIN) // align) * align


def make_to_send(type_name: str, /, **fields: Any) -> Any:
    """What rclpy's publishers take: the bytes of an Image, the message of anything else; see Make."""
    return _maker(type_name)(type_name, **fields)


@functools.cache
def _maker(type_name: str) -> Callable[..., Any]:
    return _image_bytes if type_name == IMAGE and _rclpy_agrees() else messages.make


def _rclpy_agrees() -> bool:
    """Whether the middleware here writes an Image the way that this file does."""
    from rclpy.serialization import serialize_message

    header = messages.make(
        "std_msgs/msg/Header",
        stamp=messages.make("builtin_interfaces/msg/Time", sec=-3, nanosec=5),
        frame_id="camera",
    )
    fields = {
        "header": header, "height": 1, "width": 3, "encoding": "mono16", "is_bigendian": 0, "step": 6,
        "data": np.arange(8, dtype=np.uint8),
    }  # fmt: skip
    written = bytes(serialize_message(messages.make(IMAGE, **fields)))
    return written == _image_bytes(IMAGE, **fields)


def _image_bytes(
    _type_name: str,
    /,
    *,
    header: Any,
    height: int,
    width: int,
    encoding: str,
    is_bigendian: int,
    step: int,
    data: np.ndarray[Any, Any],
) -> bytes:
    head = bytearray(_LITTLE_ENDIAN + _STAMP.pack(header.stamp.sec, header.stamp.nanosec))
    _add_text(head, header.frame_id)
    head += _TWO.pack(height, width)
    _add_text(head, encoding, align=1)
    head.append(is_bigendian)
    head += bytes(_aligned(len(head)) - len(head)) + _TWO.pack(step, data.size)
    return b"".join((head, np.ascontiguousarray(data).view(np.uint8).data))


def _add_text(head: bytearray, text: str, align: int = 4) -> None:
    content = text.encode() + b"\0"
    head += _UINT32.pack(len(content)) + content
    head += bytes(_aligned(len(head), align) - len(head))
