"""Images of image_transport's compressedDepth: a header, then a PNG of 16 bits, also of thermal counts."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import numpy as np

from ivfusion_ros.errors import ImageError
from ivfusion_ros.images.declared import PNG

if TYPE_CHECKING:
    from ivfusion_ros.types import AnyImage

_HEADER = struct.Struct("<iff")
"""Format (not used), and the two parameters of quantised inverse depth."""

Header = tuple[float, float]
"""A and B of a depth of A / (pixel - B)."""


def is_compressed_depth(content: bytes, format_: str) -> bool:
    """Whether the message says so, or its content shows it."""
    return "compressedDepth" in format_ or content[_HEADER.size :].startswith(PNG)


def split_compressed_depth(content: bytes, source: str, format_: str) -> tuple[Header, bytes]:
    """The header, and the PNG behind it. source: for errors. Raises ImageError."""
    if content.startswith(PNG):
        # Some recorders leave the header out.
        return (0.0, 0.0), content
    if not content[_HEADER.size :].startswith(PNG):
        wanted = "it is compressed by RVL; " if "rvl" in format_.lower() else ""
        raise ImageError(
            f"{source} is of the compressedDepth transport: {len(content)} bytes, those behind the "
            f"header of {_HEADER.size} are no PNG; {wanted}set the publisher's format to png"
        )
    _, scale, shift = _HEADER.unpack_from(content)
    return (scale, shift), content[_HEADER.size :]


def restore(image: AnyImage, header: Header, encoding: str) -> AnyImage:
    """What was compressed: the counts themselves, or of 32FC1 its values, NaN where there were none."""
    if encoding != "32FC1" or image.dtype != np.uint16:
        return image
    scale, shift = header
    with np.errstate(divide="ignore"):
        values = np.float32(scale) / (image.astype(np.float32) - np.float32(shift))
    values[image == 0] = np.nan
    return values
