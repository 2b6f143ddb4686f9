"""Raw image encodings of sensor_msgs/Image <-> numpy, and grey <-> colour.

No encoding passes through fewer bits than it has: counts stay counts, and colour of 16 bits stays so until
a network looks at it.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import numpy.typing as npt

from ivfusion_ros.errors import ImageError
from ivfusion_ros.images.packed import PACKINGS, unpack

if TYPE_CHECKING:
    from ivfusion_ros.types import AnyImage, DepthImage, Image


@dataclass(frozen=True)
class _Layout:
    """How the bytes of an image lie.

    to_rgb: cv2 conversion to RGB; None: the pixels are final as they are. lines: rows of data for two rows
    of pixels, more than two where planes of colour follow. even: width, and height of images with such
    planes, must be. packed: name in PACKINGS of grey pixels that share bytes.
    """

    channels: int = 1
    dtype: type[np.uint8] | type[np.uint16] | type[np.int16] | type[np.float32] | type[np.float64] = (
        np.uint8
    )
    to_rgb: int | None = None
    lines: int = 2
    even: bool = False
    packed: str = ""


_MONO8 = _Layout()
_MONO16 = _Layout(dtype=np.uint16)
_RGB8 = _Layout(3)
_BGR8 = _Layout(3, to_rgb=cv2.COLOR_BGR2RGB)
_BGRA8 = _Layout(4, to_rgb=cv2.COLOR_BGRA2RGB)
_BGR16 = _Layout(3, np.uint16, cv2.COLOR_BGR2RGB)
_BGRA16 = _Layout(4, np.uint16, cv2.COLOR_BGRA2RGB)
_UYVY = _Layout(2, to_rgb=cv2.COLOR_YUV2RGB_UYVY, even=True)
_YUYV = _Layout(2, to_rgb=cv2.COLOR_YUV2RGB_YUY2, even=True)

# OpenCV names a Bayer pattern by the 2x2 block at (1, 1), ROS by the one at (0, 0).
_BAYER = {
    "rggb": cv2.COLOR_BayerBG2RGB,
    "bggr": cv2.COLOR_BayerRG2RGB,
    "gbrg": cv2.COLOR_BayerGR2RGB,
    "grbg": cv2.COLOR_BayerGB2RGB,
}

_LAYOUTS = {
    "mono8": _MONO8,
    "8UC1": _MONO8,
    "mono16": _MONO16,
    "16UC1": _MONO16,
    "16SC1": _Layout(dtype=np.int16),
    "32FC1": _Layout(dtype=np.float32),
    "64FC1": _Layout(dtype=np.float64),
    # Fewer bits in 16, as counts.
    "y16": _MONO16,
    "mono10": _MONO16,
    "mono12": _MONO16,
    "mono14": _MONO16,
    **{name: _Layout(packed=name) for name in PACKINGS},
    "rgb8": _RGB8,
    "bgr8": _BGR8,
    "8UC3": _BGR8,
    "rgba8": _Layout(4, to_rgb=cv2.COLOR_RGBA2RGB),
    "bgra8": _BGRA8,
    "8UC4": _BGRA8,
    "rgb16": _Layout(3, np.uint16),
    "bgr16": _BGR16,
    "16UC3": _BGR16,
    "rgba16": _Layout(4, np.uint16, cv2.COLOR_RGBA2RGB),
    "bgra16": _BGRA16,
    "16UC4": _BGRA16,
    **{f"bayer_{pattern}8": _Layout(to_rgb=code) for pattern, code in _BAYER.items()},
    **{f"bayer_{pattern}16": _Layout(1, np.uint16, code) for pattern, code in _BAYER.items()},
    "yuv422": _UYVY,
    "uyvy": _UYVY,
    "yuv422_yuy2": _YUYV,
    "yuyv": _YUYV,
    # What OpenCV's capture calls the YUYV of a USB camera that it does not convert.
    "8UC2": _YUYV,
    "nv12": _Layout(to_rgb=cv2.COLOR_YUV2RGB_NV12, lines=3, even=True),
    "nv21": _Layout(to_rgb=cv2.COLOR_YUV2RGB_NV21, lines=3, even=True),
    "nv24": _Layout(lines=6),
}

ENCODINGS = tuple(_LAYOUTS)
"""Names that decode_image knows."""

COLOUR_ENCODINGS = tuple(
    name
    for name, layout in _LAYOUTS.items()
    if layout.channels > 1 or layout.to_rgb is not None or layout.lines > 2
)
"""Those among them of colour images."""

_DEPTH_LAYOUTS = {name: _LAYOUTS[name] for name in ("32FC1", "16UC1", "mono16")}


def decode_image(
    data: Any, *, encoding: str, width: int, height: int, step: int, is_bigendian: bool
) -> AnyImage:
    """Pixels of a sensor_msgs/Image, as a Frame holds them (AnyImage).

    data: any contiguous buffer (bytes, array.array, memoryview, ndarray) of at least step * height
    bytes; more are ignored, as some drivers send padded buffers. mono8, rgb8, and mono16, 16SC1, 32FC1 and
    rgb16 of native byte order alias it without a copy, with padded rows as strides. step: 0 where the
    driver left it out, of data that is complete without padding. 8UC3 has no colour order of its own and
    is read as bgr8, OpenCV's habit. yuv422 is UYVY. Raises ImageError.
    """
    layout = layout_of(encoding)
    pixels = _view(_as_bytes(data), layout, encoding, width, height, step, bool(is_bigendian))
    if layout.packed:
        return unpack(pixels, layout.packed, width)
    if layout.dtype is np.float64:
        return pixels.astype(np.float32)
    if encoding == "nv24":
        return _full_chroma(pixels, width)
    if layout.to_rgb is None:
        return pixels
    if encoding.startswith("bayer_"):
        return demosaic(pixels, encoding)
    return _converted(pixels, layout.to_rgb)


def layout_of(encoding: str) -> _Layout:
    """The row of an encoding. Raises ImageError."""
    layout = _LAYOUTS.get(encoding)
    if layout is None:
        raise ImageError(f"image encoding is {encoding!r}, supported are {', '.join(ENCODINGS)}")
    return layout


def same_size_encoding(wanted: str, sent: str) -> str:
    """The wanted encoding, where its pixels take as many bytes as those that a driver names.

    Raises ImageError.
    """
    sizes = [
        (name, layout.channels * np.dtype(layout.dtype).itemsize, layout.lines, layout.packed)
        for name, layout in ((name, layout_of(name)) for name in (wanted, sent))
    ]
    if sizes[0][1:] != sizes[1][1:]:
        raise ImageError(
            f"image encoding is {sent!r}, of {sizes[1][1]} bytes a pixel, and cannot be read as {wanted}, "
            f"of {sizes[0][1]}; set thermal.encoding to one of as many bytes, or to '' for what is sent"
        )
    return wanted


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


def demosaic(mosaic: npt.NDArray[Any], encoding: str) -> AnyImage:
    """(H, W) Bayer mosaic of a bayer_* encoding, uint8 or uint16 -> (H, W, 3) RGB. Raises ImageError."""
    layout = _LAYOUTS.get(encoding)
    if layout is None or layout.to_rgb is None or not encoding.startswith("bayer_"):
        raise ImageError(f"{encoding!r} is not a Bayer encoding of 8 or 16 bits")
    if mosaic.dtype != layout.dtype or mosaic.ndim != 2 or min(mosaic.shape) < 4:
        raise ImageError(
            f"Bayer image is {mosaic.dtype} {mosaic.shape}, expected {np.dtype(layout.dtype)} (H, W) of at "
            "least 4x4 pixels"
        )
    return _converted(mosaic, layout.to_rgb)


def _converted(pixels: npt.NDArray[Any], code: int) -> AnyImage:
    """Of the same dtype, which OpenCV's types do not tell."""
    converted: npt.NDArray[Any] = np.asarray(cv2.cvtColor(pixels, code))
    return converted


_RGB_OF_YUV = np.array(
    [[1.164383, 0.0, 1.596027], [1.164383, -0.391762, -0.812968], [1.164383, 2.017232, 0.0]]
)
"""BT.601, limited range, as OpenCV converts the other YUV encodings."""
_BLACK_YUV = np.array([16.0, 128.0, 128.0])


def _full_chroma(planes: npt.NDArray[Any], width: int) -> Image:
    """Semi-planar 4:4:4: H rows of Y, then as many of U and V in turn, each two rows long -> (H, W, 3)."""
    height, step = len(planes) // 3, planes.strides[0]
    rows = np.lib.stride_tricks.as_strided(planes[height:], (height, width, 2), (2 * step, 2, 1))
    yuv = np.dstack([planes[:height], rows])
    shift = -_RGB_OF_YUV @ _BLACK_YUV
    return np.asarray(cv2.transform(yuv, np.column_stack([_RGB_OF_YUV, shift])), np.uint8)


def _as_bytes(data: Any) -> memoryview:
    try:
        return memoryview(data).cast("B")
    except (TypeError, ValueError) as error:
        raise ImageError(
            f"image data is {type(data).__name__}, expected a contiguous, non-empty buffer ({error})"
        ) from error


def _why_short(layout: _Layout, height: int, found: int, step: int) -> str:
    rows = height * 2 // layout.lines
    if layout.lines > 2 and found == step * height:
        return f"does its driver count the rows of colour in the height? The image's own may be {rows}"
    return "is it truncated?"


def _view(
    data: memoryview, layout: _Layout, encoding: str, width: int, height: int, step: int, is_bigendian: bool
) -> npt.NDArray[Any]:
    """(H, W), (H, W, C), or rows of bytes, on the buffer itself where memory order allows."""
    _check_size(layout, encoding, width, height)
    dtype = np.dtype(layout.dtype)
    row_bytes = width * layout.channels * dtype.itemsize
    if layout.packed:
        row_bytes = PACKINGS[layout.packed].row_bytes(width)
    lines = height * layout.lines // 2
    if step == 0 and data.nbytes == row_bytes * lines:
        step = row_bytes
    if step < row_bytes:
        raise ImageError(
            f"{encoding} image {width} pixels wide has steps of {step} bytes, expected {row_bytes} or more"
            + ("" if step else f" (or 0 with exactly {row_bytes * lines} bytes of data, not {data.nbytes})")
        )
    if data.nbytes < step * lines:
        raise ImageError(
            f"{encoding} image {width}x{height} with a step of {step} has {data.nbytes} bytes of data, "
            f"expected {step * lines}: " + _why_short(layout, height, data.nbytes, step)
        )
    rows = np.frombuffer(data, np.uint8, step * lines).reshape(lines, step)[:, :row_bytes]
    if dtype.itemsize > 1:
        # A view of several bytes needs rows that start on multiples of as many.
        start = rows.__array_interface__["data"][0]
        aligned = step % dtype.itemsize == 0 and start % dtype.itemsize == 0
        values = (rows if aligned else rows.copy()).view(dtype.newbyteorder(">" if is_bigendian else "<"))
        rows = values.astype(layout.dtype, copy=False)
    return rows if layout.channels == 1 else rows.reshape(height, width, layout.channels)


def _check_size(layout: _Layout, encoding: str, width: int, height: int) -> None:
    if width <= 0 or height <= 0:
        raise ImageError(f"{encoding} image is {width}x{height}, expected a size above zero")
    if layout.even and width % 2:
        raise ImageError(f"{encoding} image is {width} pixels wide, expected an even width")
    if layout.even and layout.lines % 2 and height % 2:
        raise ImageError(f"{encoding} image is {height} pixels high, expected an even height")


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

    encoding: None takes the one of NATURAL_ENCODINGS that the array has, in native byte order; bgr8 swaps
    the colours of rgb8. Raises ImageError.
    """
    natural = natural_encoding(image)
    encoding = encoding or natural
    pixels: npt.NDArray[Any] = image
    if encoding == "bgr8" and natural == "rgb8":
        pixels = np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    elif encoding != natural:
        raise ImageError(f"cannot encode a {image.dtype} {image.shape} image as {encoding}, only {natural}")
    pixels = np.ascontiguousarray(pixels)
    height, width = pixels.shape[:2]
    is_bigendian = pixels.itemsize > 1 and sys.byteorder == "big"
    return EncodedImage(
        encoding, width, height, pixels.nbytes // height, is_bigendian, pixels.data.cast("B")
    )


NATURAL_ENCODINGS = {
    (2, np.dtype(np.uint8)): "mono8",
    (2, np.dtype(np.uint16)): "mono16",
    (2, np.dtype(np.int16)): "16SC1",
    (2, np.dtype(np.float32)): "32FC1",
    (3, np.dtype(np.uint8)): "rgb8",
    (3, np.dtype(np.uint16)): "rgb16",
}
"""By the dimensions and dtype of what a Frame holds."""


def natural_encoding(image: AnyImage) -> str:
    """The encoding that an image has as it is. Raises ImageError for what no Frame holds."""
    encoding = NATURAL_ENCODINGS.get((image.ndim, image.dtype))
    if encoding is None or not image.size or image.shape[2:] not in ((), (3,)):
        raise ImageError(
            f"image is {image.dtype} {image.shape}, expected non-empty (H, W) uint8, uint16, int16 or "
            "float32, or (H, W, 3) uint8 or uint16"
        )
    return encoding


def to_rgb(image: AnyImage, bits: int = 16) -> Image:
    """(H, W) uint8 -> (H, W, 3), all channels equal; colour as it is, 16 bits in 8. Raises ImageError.

    bits: that colour of 16 bits uses, the lower ones.
    """
    encoding = natural_encoding(image)
    if encoding == "rgb8":
        return image.view(np.uint8)
    if encoding == "rgb16":
        return np.asarray(cv2.convertScaleAbs(image, alpha=255 / (2**bits - 1)), np.uint8)
    if encoding != "mono8":
        raise ImageError(
            f"RGB camera image is {image.dtype} {image.shape}, expected 8 bits: are the thermal and RGB "
            "inputs swapped?"
        )
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_GRAY2RGB))


def to_grey(image: AnyImage) -> AnyImage:
    """(H, W, 3) false colour -> (H, W) luminance (BT.601) of its dtype; grey passes as it is.

    Raises ImageError.
    """
    if natural_encoding(image) not in ("rgb8", "rgb16"):
        return image
    return _converted(image, cv2.COLOR_RGB2GRAY)
