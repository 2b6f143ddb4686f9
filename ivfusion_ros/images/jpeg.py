"""JPEG through simplejpeg: libjpeg-turbo as OpenCV has it, with the warnings that OpenCV drops.

A JPEG that is damaged inside decodes to an image whose rest is grey or smeared, and libjpeg says so in a
warning. Where simplejpeg is missing, nobody sees it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

from ivfusion_ros.errors import ImageError

if TYPE_CHECKING:
    import numpy.typing as npt

MAX_EXTRA_BYTES = 8
"""Between picture and end marker: many USB cameras leave a few, and the picture is whole."""

_ODD = ("Invalid SOS parameters", "unknown JFIF", "Unknown Adobe", "Inconsistent progression")
"""Parts of the warnings that are of no pixel; whatever else is said is damage, an error or not."""
_EXTRA = re.compile(r"(\d+) extraneous bytes before marker 0xd9")
_COLOURS = {"YCbCr": "RGB", "RGB": "RGB", "Gray": "GRAY"}
"""libjpeg's names of what is stored, and what it is decoded to."""


def decode_jpeg(content: bytes, source: str) -> npt.NDArray[np.uint8] | None:
    """(H, W) grey or (H, W, 3) RGB of a JPEG; None where simplejpeg is missing, or leaves it to others.

    source: for errors. Raises ImageError for one that is damaged inside.
    """
    try:
        import simplejpeg
    except ImportError:
        return None
    try:
        colour = _COLOURS.get(simplejpeg.decode_jpeg_header(content, strict=False)[2])
    except (ValueError, KeyError):
        # What it does not know; OpenCV says whether it is an image.
        return None
    try:
        image = _decoded(simplejpeg, content, colour or "CMYK")
    except ValueError as error:
        raise ImageError(f"{source} is a damaged JPEG of {len(content)} bytes: {error}") from error
    if colour is None:
        return None
    return image[..., 0] if colour == "GRAY" else image


def _decoded(simplejpeg: Any, content: bytes, colour: str) -> npt.NDArray[np.uint8]:
    """Raises ValueError for damage, not for what is only odd."""
    try:
        image = simplejpeg.decode_jpeg(content, colour)
    except ValueError as error:
        if _is_damage(str(error)):
            raise
        image = simplejpeg.decode_jpeg(content, colour, strict=False)
    return np.asarray(image, np.uint8)


def _is_damage(warning: str) -> bool:
    extra = _EXTRA.search(warning)
    return int(extra[1]) > MAX_EXTRA_BYTES if extra else not any(part in warning for part in _ODD)
