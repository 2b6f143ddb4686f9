"""Compressed images (sensor_msgs/CompressedImage) and image files <-> numpy."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import numpy.typing as npt

from ivfusion_ros.config.pipeline import OutputsConfig
from ivfusion_ros.errors import ImageError
from ivfusion_ros.files import read_bytes, write_whole
from ivfusion_ros.images.compressed_depth import is_compressed_depth, restore, split_compressed_depth
from ivfusion_ros.images.declared import MAX_PIXELS, cannot_be_decoded, check_declared_size
from ivfusion_ros.images.encodings import demosaic, natural_encoding
from ivfusion_ros.images.jpeg import decode_jpeg
from ivfusion_ros.images.names import SUFFIXES
from ivfusion_ros.images.orientation import exif_orientation, upright

if TYPE_CHECKING:
    from ivfusion_ros.types import AnyImage


MAX_FILE_BYTES = 2**30

JPEG_QUALITY = OutputsConfig.jpeg_quality
"""Where nobody says otherwise."""

_SUFFIXES_OF = {
    "mono16": (".png", ".tif", ".tiff"),
    "rgb16": (".png", ".tif", ".tiff"),
    "16SC1": (".tif", ".tiff"),
    "32FC1": (".tif", ".tiff"),
}
"""Of files that hold an encoding of more than 8 bits."""


def decode_compressed(data: Any, format: str = "", max_pixels: int = MAX_PIXELS) -> AnyImage:  # noqa: A002
    """Pixels of a sensor_msgs/CompressedImage, as a Frame holds them.

    The content decides, whatever `format` says; that only tells a Bayer mosaic, which is demosaiced, and
    what the compressedDepth transport made of floats. max_pixels: what it may declare before it is decoded.
    Otherwise as read_image. Raises ImageError.
    """
    content = _content(data)
    source = f"compressed image (format {format!r})"
    encoding = format.split(";")[0].strip()
    if is_compressed_depth(content, format):
        header, content = split_compressed_depth(content, source, format)
        return restore(decode_file(content, source, max_pixels), header, encoding)
    image = decode_file(content, source, max_pixels)
    if encoding.startswith("bayer_") and image.ndim == 2:
        return demosaic(image, encoding)
    return image


def read_image(path: str | Path, max_pixels: int = MAX_PIXELS) -> AnyImage:
    """Read a PNG, JPEG, WebP, TIFF or BMP file, as a Frame holds images.

    All bits stay; alpha is dropped, the EXIF orientation obeyed. max_pixels: what it may declare before it
    is decoded. Raises ImageError.
    """
    return decode_file(read_content(path), str(path), max_pixels)


def read_content(path: str | Path) -> bytes:
    """An image file's bytes. Raises ImageError."""
    try:
        return read_bytes(path, MAX_FILE_BYTES)
    except OSError as error:
        raise ImageError(f"cannot read {path}: {error.strerror}") from error


_QUALITY_OF = {"jpeg": cv2.IMWRITE_JPEG_QUALITY, "webp": cv2.IMWRITE_WEBP_QUALITY}


def encode_compressed(
    image: AnyImage,
    format: str = "jpeg",  # noqa: A002
    quality: int = JPEG_QUALITY,
) -> bytes:
    """Image -> content of a JPEG or WebP (8 bits; quality 1 to 100), PNG (8, 16) or TIFF.

    Raises ImageError.
    """
    if format not in ("jpeg", "png", "tiff", "webp"):
        raise ImageError(f"compression format is {format!r}, expected jpeg, png, tiff or webp")
    options = [_QUALITY_OF[format], quality] if format in _QUALITY_OF else []
    return _encode(image, f".{format}", options)


def data_uri(image: AnyImage, format: str, quality: int) -> str:  # noqa: A002
    """An image as encode_compressed gives it, within an address, for pages. Raises ImageError."""
    content = base64.b64encode(encode_compressed(image, format, quality)).decode()
    return f"data:image/{format};base64,{content}"


def write_image(path: str | Path, image: AnyImage, replace: bool = True) -> None:
    """Write an image file, its kind chosen by the suffix; a file is there whole or not at all.

    replace: whether a file of the name may be lost. Raises ImageError.
    """
    path = Path(path)
    content = _encode(image, path.suffix.lower(), [])
    try:
        write_whole(path, content, replace)
    except OSError as error:
        raise ImageError(f"cannot write {path}: {error.strerror}") from error


def _content(data: Any) -> bytes:
    try:
        return bytes(memoryview(data))
    except TypeError as error:
        raise ImageError(f"compressed image is {type(data).__name__}, expected a byte buffer") from error


def decode_file(content: bytes, source: str, max_pixels: int) -> AnyImage:
    """Pixels of an image file's bytes, see read_image. source: for errors. Raises ImageError."""
    if content.startswith(b"\xff\xd8"):
        check_declared_size(content, source, max_pixels)
        # Some OpenCV versions fill the missing rest of a JPEG with grey and say nothing.
        if content.rfind(b"\xff\xd9") < content.rfind(b"\xff\xda"):
            raise ImageError(f"{source} is a truncated JPEG: {len(content)} bytes without its end marker")
        decoded = decode_jpeg(content, source)
        if decoded is not None:
            return upright(decoded, exif_orientation(content))
    image = decode_pixels(content, source, cv2.IMREAD_UNCHANGED, max_pixels)
    return upright(_to_frame_image(image, source), exif_orientation(content))


def decode_pixels(
    content: bytes, source: str, flags: int, max_pixels: int = MAX_PIXELS
) -> npt.NDArray[Any]:
    """What cv2.imdecode gives of an image file's bytes, once the size that they declare is checked.

    flags: OpenCV's. source: for errors. Raises ImageError.
    """
    check_declared_size(content, source, max_pixels)
    try:
        image = cv2.imdecode(np.frombuffer(content, np.uint8), flags)
    except cv2.error:
        image = None
    if image is None:
        raise ImageError(cannot_be_decoded(content, source))
    return np.asarray(image)


_EXACT_IN_FLOAT = 2**24
"""Whole numbers up to it are exact in float32."""


def _to_frame_image(image: npt.NDArray[Any], source: str) -> AnyImage:
    """OpenCV's grey, BGR or BGRA -> what a Frame holds."""
    if image.ndim == 3 and image.shape[2] in (1, 2):
        # Grey, and grey with alpha.
        image = np.ascontiguousarray(image[..., 0])
    if image.ndim == 2:
        return _to_grey_of_frame(image, source)
    if image.shape[2] not in (3, 4) or image.dtype not in (np.uint8, np.uint16):
        raise ImageError(
            f"{source} has {image.shape[2]} channels of {image.dtype}, expected one, or colour of 8 or "
            "16 bit unsigned integers"
        )
    code = cv2.COLOR_BGR2RGB if image.shape[2] == 3 else cv2.COLOR_BGRA2RGB
    converted: npt.NDArray[Any] = np.asarray(cv2.cvtColor(image, code))
    return converted


def _to_grey_of_frame(image: npt.NDArray[Any], source: str) -> AnyImage:
    if image.dtype in (np.uint8, np.uint16, np.int16, np.float32):
        return image
    if image.dtype == np.int8:
        return image.astype(np.int16)
    whole = image.dtype.kind in "iu"
    if image.dtype != np.float64 and not whole:
        raise ImageError(
            f"{source} has {image.dtype} pixels, expected integers, or floats of 32 or 64 bits"
        )
    if whole and np.abs(image.astype(np.float64)).max() > _EXACT_IN_FLOAT:
        raise ImageError(f"{source} has {image.dtype} pixels above {_EXACT_IN_FLOAT}; store floats instead")
    return np.asarray(image, np.float32)


def _encode(image: AnyImage, suffix: str, options: list[int]) -> bytes:
    if suffix not in SUFFIXES:
        raise ImageError(f"image file suffix is {suffix!r}, expected one of {', '.join(SUFFIXES)}")
    encoding = natural_encoding(image)
    holding = _SUFFIXES_OF.get(encoding, SUFFIXES)
    if suffix not in holding:
        raise ImageError(f"{suffix} cannot hold {encoding} images: use {' or '.join(holding)}")
    pixels = cv2.cvtColor(image, cv2.COLOR_RGB2BGR) if image.ndim == 3 else image
    done, content = cv2.imencode(suffix, pixels, options)
    if not done:
        raise ImageError(f"OpenCV cannot write {suffix} images on this machine")
    return bytes(content)
