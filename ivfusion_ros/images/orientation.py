"""How an image must be turned to be seen as it was taken, as EXIF says."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    import numpy.typing as npt

    from ivfusion_ros.types import AnyImage

_TAG, _SHORT = 274, 3

_TURNS: dict[int, Callable[[npt.NDArray[Any]], npt.NDArray[Any]]] = {
    2: np.fliplr,
    3: lambda image: np.rot90(image, 2),
    4: np.flipud,
    5: lambda image: np.swapaxes(image, 0, 1),
    6: lambda image: np.rot90(image, -1),
    7: lambda image: np.rot90(np.swapaxes(image, 0, 1), 2),
    8: np.rot90,
}
"""By EXIF's number of the orientation; 1 is upright."""


def upright(image: AnyImage, orientation: int) -> AnyImage:
    """An (H, W[, 3]) image as viewers show it; the image itself where it is upright."""
    turn = _TURNS.get(orientation)
    return image if turn is None else np.ascontiguousarray(turn(image))


def exif_orientation(content: bytes) -> int:
    """The orientation, 1 to 8, that a JPEG, PNG or WebP file states; 1 where it does not.

    That of a TIFF is obeyed by OpenCV.
    """
    for magic, find in ((b"\xff\xd8", _in_jpeg), (b"\x89PNG", _in_png), (b"RIFF", _in_webp)):
        if content.startswith(magic):
            try:
                return next((_read(block) for block in find(content)), 1)
            except (struct.error, IndexError):
                return 1
    return 1


def _in_jpeg(content: bytes) -> Iterator[bytes]:
    for marker, body in jpeg_segments(content):
        if marker == 0xE1 and body.startswith(b"Exif\0\0"):
            yield body[6:]


def jpeg_segments(content: bytes) -> Iterator[tuple[int, bytes]]:
    """(marker, content without its length) of a JPEG's segments before its pixels."""
    place = 2
    while place + 4 <= len(content) and content[place] == 0xFF:
        marker = content[place + 1]
        if marker == 0xFF:
            place += 1
            continue
        if marker == 0xDA:
            return
        (length,) = struct.unpack_from(">H", content, place + 2)
        yield marker, content[place + 4 : place + 2 + length]
        place += 2 + length


def _in_png(content: bytes) -> Iterator[bytes]:
    place = 8
    while place + 8 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, place)
        if kind == b"eXIf":
            yield content[place + 8 : place + 8 + length]
        place += 12 + length


def _in_webp(content: bytes) -> Iterator[bytes]:
    place = 12
    while place + 8 <= len(content):
        kind, length = struct.unpack_from("<4sI", content, place)
        if kind == b"EXIF":
            yield content[place + 8 : place + 8 + length].removeprefix(b"Exif\0\0")
        place += 8 + length + length % 2


def _read(block: bytes) -> int:
    """Of the first directory of EXIF, which has the form of a TIFF."""
    order = {b"II": "<", b"MM": ">"}.get(block[:2])
    if order is None:
        return 1
    (place,) = struct.unpack_from(order + "I", block, 4)
    (count,) = struct.unpack_from(order + "H", block, place)
    for index in range(count):
        tag, kind = struct.unpack_from(order + "HH", block, place + 2 + 12 * index)
        if (tag, kind) == (_TAG, _SHORT):
            return int(struct.unpack_from(order + "H", block, place + 10 + 12 * index)[0])
    return 1
