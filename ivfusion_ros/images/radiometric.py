"""What an image file holds for a camera: of FLIR's radiometric JPEG the temperatures, or the RGB image.

Such a file shows a painted picture, with logo and edges, and has the counts beside it; flyr reads them
(`pip install flyr`).
"""

from __future__ import annotations

import io
import logging
import re
from typing import TYPE_CHECKING, Any

import numpy as np

from ivfusion_ros.errors import ImageError
from ivfusion_ros.images.declared import MAX_PIXELS, PNG, check_declared_size
from ivfusion_ros.images.encodings import natural_encoding
from ivfusion_ros.images.files import decode_file, read_content
from ivfusion_ros.images.orientation import exif_orientation, jpeg_segments, upright

if TYPE_CHECKING:
    from pathlib import Path

    from ivfusion_ros.types import AnyImage, CameraName

log = logging.getLogger(__name__)

_APP1, _APP3 = 0xE1, 0xE3

_said: set[str] = set()
"""What was warned of: a folder has thousands of such files."""


def read_camera_image(path: str | Path, camera: CameraName, max_pixels: int = MAX_PIXELS) -> AnyImage:
    """As read_image, but of a radiometric JPEG what the camera saw.

    That is (H, W) float32 kelvin for the thermal camera, and the embedded image for the RGB camera. Where a
    file does not hold it, a warning says why the picture is taken. Raises ImageError.
    """
    content = read_content(path)
    maker = radiometric_maker(content)
    if maker:
        try:
            return upright(_camera_image(content, maker, camera, max_pixels), exif_orientation(content))
        except ImageError as error:
            _warn(f"{camera} {maker} {error}", f"{path} looks radiometric ({maker}), but {error}")
    return decode_file(content, str(path), max_pixels)


def radiometric_maker(content: bytes) -> str:
    """Whose radiometric JPEG a file looks like: FLIR, DJI, or '' for none."""
    if not content.startswith(b"\xff\xd8"):
        return ""
    for marker, body in jpeg_segments(content):
        if marker == _APP1 and body.startswith(b"FLIR\0"):
            return "FLIR"
        if marker == _APP3 and b"DJI" in content[:4096]:
            return "DJI"
    return ""


def _camera_image(content: bytes, maker: str, camera: CameraName, max_pixels: int) -> AnyImage:
    """Raises ImageError, a sentence that goes on after "but"."""
    if maker == "DJI":
        raise ImageError(
            "only DJI's own SDK reads its counts, so its picture is taken; for kelvin make a TIFF of "
            "temperatures of it (dji_irp -a measure)"
        )
    thermogram = _unpacked(content, camera, max_pixels)
    try:
        image = thermogram.kelvin.astype(np.float32) if camera == "thermal" else thermogram.optical
        if image is None:
            raise ImageError("no RGB image is embedded in it, so its picture is taken")
        natural_encoding(image)
    except ImageError:
        raise
    except Exception as error:
        raise _unreadable(error) from error
    if image.shape[0] * image.shape[1] > max_pixels:
        raise ImageError(
            f"it holds {image.shape[1]}x{image.shape[0]} pixels, expected at most {max_pixels / 1e6:g} "
            "million, so its picture is taken"
        )
    return np.asarray(image)


def _unpacked(content: bytes, camera: CameraName, max_pixels: int) -> Any:
    """flyr's thermogram. Raises ImageError."""
    try:
        import flyr
    except ImportError as error:
        what = "temperatures" if camera == "thermal" else "embedded RGB image"
        raise ImageError(
            f"its {what} need flyr, which is not installed, so its picture is taken; run: pip install flyr"
        ) from error
    _check_counts(content, max_pixels)
    try:
        return flyr.unpack(io.BytesIO(content))
    except Exception as error:
        # Whatever a parser raises on bytes that are anything.
        raise _unreadable(error) from error


def _check_counts(content: bytes, max_pixels: int) -> None:
    """Raises ImageError for PNGs within that declare too much; flyr computes with all their pixels."""
    records = b"".join(
        body[len(b"FLIR\0\1\0\0") :]
        for marker, body in jpeg_segments(content)
        if marker == _APP1 and body.startswith(b"FLIR\0")
    )
    for found in re.finditer(re.escape(PNG), records):
        try:
            check_declared_size(records[found.start() :], "its PNG", max_pixels)
        except ImageError as error:
            raise ImageError(f"{error}, so its picture is taken") from error


def _unreadable(error: Exception) -> ImageError:
    said = f"{type(error).__name__}: {error}"
    return ImageError(f"flyr finds no thermal data in it ({said}), so its picture is taken")


def _warn(kind: str, text: str) -> None:
    if kind not in _said:
        _said.add(kind)
        log.warning("%s", text)
