"""Compressed images (sensor_msgs/CompressedImage) and image files <-> numpy."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import numpy.typing as npt

from ivfusion_ros.errors import ImageError
from ivfusion_ros.files import read_bytes, write_whole
from ivfusion_ros.images.declared import MAX_PIXELS, check_declared_size
from ivfusion_ros.images.encodings import demosaic, encode_image

if TYPE_CHECKING:
    from ivfusion_ros.types import AnyImage

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp")
"""File names that read_image and write_image know, in lower case."""

MAX_FILE_BYTES = 2**30

_SUFFIXES_16_BIT = (".png", ".tif", ".tiff")
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_DEPTH_HEADER_BYTES = 12


def decode_compressed(data: Any, format: str = "", max_pixels: int = MAX_PIXELS) -> AnyImage:  # noqa: A002
    """Pixels of a sensor_msgs/CompressedImage: (H, W) uint8 or uint16, or (H, W, 3) uint8 RGB.

    The content decides, whatever `format` says; that only tells a Bayer mosaic, which is demosaiced.
    Alpha is dropped, 16-bit colour becomes 8 bits. max_pixels: what it may declare before it is decoded.
    Raises ImageError.
    """
    content = _content(data)
    inner = content[_DEPTH_HEADER_BYTES : _DEPTH_HEADER_BYTES + len(_PNG_SIGNATURE)]
    if "compressedDepth" in format or inner == _PNG_SIGNATURE:
        raise ImageError(
            f"compressed image (format {format!r}) is of the compressedDepth transport, expected jpeg or "
            "png: take the /compressed topic"
        )
    image = _decode(content, f"compressed image (format {format!r})", max_pixels)
    encoding = format.split(";")[0].strip()
    if encoding.startswith("bayer_") and image.ndim == 2:
        return demosaic(image, encoding)
    return image


def read_image(path: str | Path, max_pixels: int = MAX_PIXELS) -> AnyImage:
    """Read a PNG, JPEG, WebP, TIFF or BMP file as (H, W) uint8 or uint16, or (H, W, 3) uint8 RGB.

    Alpha is dropped, 16-bit colour becomes 8 bits, EXIF rotation is not applied. max_pixels: what it may
    declare before it is decoded. Raises ImageError.
    """
    try:
        content = read_bytes(path, MAX_FILE_BYTES)
    except OSError as error:
        raise ImageError(f"cannot read {path}: {error.strerror}") from error
    return _decode(content, str(path), max_pixels)


def encode_compressed(image: AnyImage, format: str = "jpeg", quality: int = 90) -> bytes:  # noqa: A002
    """Image -> content of a JPEG (8 bits; quality 1 to 100) or PNG (8 or 16 bits). Raises ImageError."""
    if format not in ("jpeg", "png"):
        raise ImageError(f"compression format is {format!r}, expected jpeg or png")
    options = [cv2.IMWRITE_JPEG_QUALITY, quality] if format == "jpeg" else []
    return _encode(image, f".{format}", options)


def write_image(path: str | Path, image: AnyImage) -> None:
    """Write an image file, its kind chosen by the suffix; a file is there whole or not at all.

    Raises ImageError.
    """
    path = Path(path)
    content = _encode(image, path.suffix.lower(), [])
    try:
        write_whole(path, content)
    except OSError as error:
        raise ImageError(f"cannot write {path}: {error.strerror}") from error


def _content(data: Any) -> bytes:
    try:
        return bytes(memoryview(data))
    except TypeError as error:
        raise ImageError(f"compressed image is {type(data).__name__}, expected a byte buffer") from error


def _decode(content: bytes, source: str, max_pixels: int) -> AnyImage:
    check_declared_size(content, source, max_pixels)
    # Some OpenCV versions fill the missing rest of a JPEG with grey and say nothing.
    if content.startswith(b"\xff\xd8") and content.rfind(b"\xff\xd9") < content.rfind(b"\xff\xda"):
        raise ImageError(f"{source} is a truncated JPEG: {len(content)} bytes without its end marker")
    try:
        image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED) if content else None
    except cv2.error:
        image = None
    if image is None:
        raise ImageError(
            f"{source} cannot be decoded: {len(content)} bytes starting with {content[:8]!r}; "
            "it is damaged, truncated, or not a PNG, JPEG, WebP, TIFF or BMP"
        )
    return _to_frame_image(np.asarray(image), source)


def _to_frame_image(image: npt.NDArray[Any], source: str) -> AnyImage:
    """OpenCV's grey, BGR or BGRA -> what a Frame holds."""
    if image.dtype not in (np.uint8, np.uint16):
        raise ImageError(f"{source} has {image.dtype} pixels, expected 8 or 16 bit unsigned integers")
    if image.ndim == 2:
        return image
    if image.shape[2] not in (3, 4):
        raise ImageError(f"{source} has {image.shape[2]} channels, expected 1, 3 or 4")
    if image.dtype == np.uint16:
        image = np.asarray(cv2.convertScaleAbs(image, alpha=255 / 65535))
    code = cv2.COLOR_BGR2RGB if image.shape[2] == 3 else cv2.COLOR_BGRA2RGB
    return np.asarray(cv2.cvtColor(image, code), np.uint8)


def _encode(image: AnyImage, suffix: str, options: list[int]) -> bytes:
    if suffix not in SUFFIXES:
        raise ImageError(f"image file suffix is {suffix!r}, expected one of {', '.join(SUFFIXES)}")
    encoding = encode_image(image).encoding
    if encoding == "mono16" and suffix not in _SUFFIXES_16_BIT:
        raise ImageError(f"{suffix} holds 8 bits, the image has 16: use {' or '.join(_SUFFIXES_16_BIT)}")
    pixels = cv2.cvtColor(image, cv2.COLOR_RGB2BGR) if encoding == "rgb8" else image
    done, content = cv2.imencode(suffix, pixels, options)
    if not done:
        raise ImageError(f"OpenCV cannot write {suffix} images on this machine")
    return bytes(content)
