"""Raw image encodings of sensor_msgs/Image <-> numpy, and grey <-> colour."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import numpy.typing as npt

from ivfusion_ros.errors import ImageError

if TYPE_CHECKING:
    from ivfusion_ros.types import AnyImage, DepthImage, Image


@dataclass(frozen=True)
class _Layout:
    channels: int
    dtype: type[np.uint8] | type[np.uint16] | type[np.float32] = np.uint8
    to_rgb: int | None = None
    """cv2 conversion to RGB; None: the pixels are final as they are"""


_MONO8 = _Layout(1)
_MONO16 = _Layout(1, np.uint16)
_RGB8 = _Layout(3)
_BGR8 = _Layout(3, to_rgb=cv2.COLOR_BGR2RGB)
_UYVY = _Layout(2, to_rgb=cv2.COLOR_YUV2RGB_UYVY)
_YUYV = _Layout(2, to_rgb=cv2.COLOR_YUV2RGB_YUY2)

# OpenCV names a Bayer pattern by the 2x2 block at (1, 1), ROS by the one at (0, 0).
_LAYOUTS = {
    "mono8": _MONO8,
    "8UC1": _MONO8,
    "mono16": _MONO16,
    "16UC1": _MONO16,
    "rgb8": _RGB8,
    "bgr8": _BGR8,
    "8UC3": _BGR8,
    "rgba8": _Layout(4, to_rgb=cv2.COLOR_RGBA2RGB),
    "bgra8": _Layout(4, to_rgb=cv2.COLOR_BGRA2RGB),
    "bayer_rggb8": _Layout(1, to_rgb=cv2.COLOR_BayerBG2RGB),
    "bayer_bggr8": _Layout(1, to_rgb=cv2.COLOR_BayerRG2RGB),
    "bayer_gbrg8": _Layout(1, to_rgb=cv2.COLOR_BayerGR2RGB),
    "bayer_grbg8": _Layout(1, to_rgb=cv2.COLOR_BayerGB2RGB),
    "yuv422": _UYVY,
    "uyvy": _UYVY,
    "yuv422_yuy2": _YUYV,
    "yuyv": _YUYV,
}

ENCODINGS = tuple(_LAYOUTS)
"""Names that decode_image knows."""

COLOUR_ENCODINGS = tuple(
    name for name, layout in _LAYOUTS.items() if layout.channels > 1 or layout.to_rgb is not None
)
"""Those among them of colour images."""

_DEPTH_LAYOUTS = {"32FC1": _Layout(1, np.float32), "16UC1": _MONO16, "mono16": _MONO16}


def decode_image(
    data: Any, *, encoding: str, width: int, height: int, step: int, is_bigendian: bool
) -> AnyImage:
    """Pixels of a sensor_msgs/Image: (H, W) uint8 or uint16, or (H, W, 3) uint8 RGB.

    data: any contiguous buffer (bytes, array.array, memoryview, ndarray) of at least step * height
    bytes; more are ignored, as some drivers send padded buffers. mono8, native-endian mono16 and
    rgb8 alias it without a copy, with padded rows as strides. 8UC3 has no colour order of its own and
    is read as bgr8, OpenCV's habit. yuv422 is UYVY. Raises ImageError.
    """
    layout = _LAYOUTS.get(encoding)
    if layout is None:
        raise ImageError(f"image encoding is {encoding!r}, supported are {', '.join(ENCODINGS)}")
    pixels = _view(_as_bytes(data), layout, encoding, width, height, step, bool(is_bigendian))
    if layout.to_rgb is None:
        return pixels
    if encoding.startswith("bayer_"):
        return demosaic(pixels, encoding)
    if layout.channels == 2 and width % 2:
        raise ImageError(f"{encoding} image is {width} pixels wide, expected an even width")
    return np.asarray(cv2.cvtColor(pixels, layout.to_rgb), np.uint8)


def decode_depth(
    data: Any, *, encoding: str, width: int, height: int, step: int, is_bigendian: bool
) -> DepthImage:
    """Pixels of a depth image (REP-118): 32FC1 in metres, 16UC1 (some drivers say mono16) in millimetres.

    Arguments and aliasing as in decode_image. Raises ImageError.
    """
    layout = _DEPTH_LAYOUTS.get(encoding)
    if layout is None:
        raise ImageError(
            f"depth image encoding is {encoding!r}, expected 32FC1 (metres) or 16UC1 (millimetres)"
        )
    return _view(_as_bytes(data), layout, encoding, width, height, step, bool(is_bigendian))


def demosaic(mosaic: npt.NDArray[Any], encoding: str) -> Image:
    """(H, W) uint8 Bayer mosaic of a bayer_*8 encoding -> (H, W, 3) RGB. Raises ImageError."""
    layout = _LAYOUTS.get(encoding)
    if layout is None or layout.to_rgb is None or not encoding.startswith("bayer_"):
        raise ImageError(f"{encoding!r} is not a Bayer encoding of 8 bits")
    if mosaic.dtype != np.uint8 or mosaic.ndim != 2 or min(mosaic.shape) < 4:
        raise ImageError(
            f"Bayer image is {mosaic.dtype} {mosaic.shape}, expected uint8 (H, W) of at least 4x4 pixels"
        )
    return np.asarray(cv2.cvtColor(mosaic, layout.to_rgb))


def _as_bytes(data: Any) -> memoryview:
    try:
        return memoryview(data).cast("B")
    except (TypeError, ValueError) as error:
        raise ImageError(
            f"image data is {type(data).__name__}, expected a contiguous, non-empty buffer ({error})"
        ) from error


def _view(
    data: memoryview, layout: _Layout, encoding: str, width: int, height: int, step: int, is_bigendian: bool
) -> npt.NDArray[Any]:
    """(H, W) or (H, W, C) pixels on the buffer itself where memory order allows."""
    if width <= 0 or height <= 0:
        raise ImageError(f"{encoding} image is {width}x{height}, expected a size above zero")
    dtype = np.dtype(layout.dtype)
    row_bytes = width * layout.channels * dtype.itemsize
    if step < row_bytes:
        raise ImageError(
            f"{encoding} image {width} pixels wide has steps of {step} bytes, expected {row_bytes} or more"
        )
    if data.nbytes < step * height:
        raise ImageError(
            f"{encoding} image {width}x{height} with a step of {step} has {data.nbytes} bytes of data, "
            f"expected {step * height}: is it truncated?"
        )
    rows = np.frombuffer(data, np.uint8, step * height).reshape(height, step)[:, :row_bytes]
    if dtype.itemsize > 1:
        # A view of several bytes needs rows that start on multiples of as many.
        start = rows.__array_interface__["data"][0]
        aligned = step % dtype.itemsize == 0 and start % dtype.itemsize == 0
        values = (rows if aligned else rows.copy()).view(dtype.newbyteorder(">" if is_bigendian else "<"))
        return values.astype(layout.dtype, copy=False)
    return rows if layout.channels == 1 else rows.reshape(height, width, layout.channels)


@dataclass(frozen=True, eq=False)
class EncodedImage:
    """Fields of a sensor_msgs/Image; data is a C-contiguous memoryview of step * height bytes."""

    encoding: str
    width: int
    height: int
    step: int
    is_bigendian: bool
    data: memoryview


def encode_image(image: AnyImage, encoding: str | None = None) -> EncodedImage:
    """Image -> sensor_msgs/Image fields; data aliases the image where it can.

    encoding: None takes mono8, mono16 (native byte order) or rgb8 from the array; bgr8 swaps the
    colours. Raises ImageError.
    """
    natural = _natural_encoding(image)
    encoding = encoding or natural
    pixels: npt.NDArray[Any] = image
    if encoding == "bgr8" and natural == "rgb8":
        pixels = np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    elif encoding != natural:
        raise ImageError(f"cannot encode a {image.dtype} {image.shape} image as {encoding}, only {natural}")
    pixels = np.ascontiguousarray(pixels)
    height, width = pixels.shape[:2]
    is_bigendian = encoding == "mono16" and sys.byteorder == "big"
    return EncodedImage(
        encoding, width, height, pixels.nbytes // height, is_bigendian, pixels.data.cast("B")
    )


def _natural_encoding(image: AnyImage) -> str:
    if image.size and image.ndim == 2 and image.dtype in (np.uint8, np.uint16):
        return "mono8" if image.dtype == np.uint8 else "mono16"
    if image.size and image.ndim == 3 and image.shape[2] == 3 and image.dtype == np.uint8:
        return "rgb8"
    raise ImageError(
        f"image is {image.dtype} {image.shape}, expected non-empty (H, W) uint8 or uint16, "
        "or (H, W, 3) uint8"
    )


def to_rgb(image: AnyImage) -> Image:
    """(H, W) uint8 -> (H, W, 3), all channels equal; colour passes as it is. Raises ImageError."""
    encoding = _natural_encoding(image)
    if encoding == "rgb8":
        return image.view(np.uint8)
    if encoding == "mono16":
        raise ImageError(
            f"RGB camera image is {image.dtype} {image.shape}, expected 8 bits: are the thermal and RGB "
            "inputs swapped?"
        )
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_GRAY2RGB))


def to_grey(image: AnyImage) -> AnyImage:
    """(H, W, 3) false colour -> (H, W) luminance (BT.601); grey passes as it is. Raises ImageError."""
    if _natural_encoding(image) != "rgb8":
        return image
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)
