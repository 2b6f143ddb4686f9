"""Images and intrinsics -> messages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ivfusion_ros.images.encodings import encode_image, natural_encoding
from ivfusion_ros.images.files import JPEG_QUALITY, encode_compressed
from ivfusion_ros.messages.make import make_header
from ivfusion_ros.messages.type_names import CAMERA_INFO, COMPRESSED_IMAGE, IMAGE

if TYPE_CHECKING:
    from ivfusion_ros.messages.make import Make
    from ivfusion_ros.types import AnyImage, CameraInfo, Header

_CODECS = {
    "rgb8": ("jpeg", "bgr8"),
    "rgb16": ("png", "bgr16"),
    "mono8": ("png", ""),
    "mono16": ("png", ""),
    "16SC1": ("tiff", ""),
    "32FC1": ("tiff", ""),
}
"""By encoding: the codec, and what image_transport says of the pixels in it."""


def make_image(make: Make, header: Header, image: AnyImage) -> Any:
    """sensor_msgs/Image of an image as a Frame holds it. Raises ImageError."""
    raw = encode_image(image)
    return make(
        IMAGE,
        header=make_header(make, header),
        height=raw.height,
        width=raw.width,
        encoding=raw.encoding,
        is_bigendian=int(raw.is_bigendian),
        step=raw.step,
        data=np.frombuffer(raw.data, np.uint8),
    )


def make_compressed_image(make: Make, header: Header, image: AnyImage, quality: int = JPEG_QUALITY) -> Any:
    """sensor_msgs/CompressedImage: colour of 8 bits as JPEG, all else without loss. Raises ImageError.

    image: as for make_image. quality: of the JPEG, 1 to 100. Without loss is PNG, or TIFF for what PNG
    cannot hold.
    """
    encoding = natural_encoding(image)
    codec, note = _CODECS[encoding]
    format_ = f"{encoding}; {codec} compressed {note}"
    data = np.frombuffer(encode_compressed(image, codec, quality), np.uint8)
    return make(COMPRESSED_IMAGE, header=make_header(make, header), format=format_, data=data)


def make_camera_info(make: Make, header: Header, info: CameraInfo) -> Any:
    """sensor_msgs/CameraInfo without binning or region of interest."""
    roi = make(
        "sensor_msgs/msg/RegionOfInterest", x_offset=0, y_offset=0, height=0, width=0, do_rectify=False
    )
    return make(
        CAMERA_INFO,
        header=make_header(make, header),
        height=info.height,
        width=info.width,
        distortion_model=info.distortion_model,
        **{name: np.array(getattr(info, name), np.float64) for name in ("d", "k", "r", "p")},
        binning_x=0,
        binning_y=0,
        roi=roi,
    )
