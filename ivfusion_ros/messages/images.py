"""Images and intrinsics -> messages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ivfusion_ros.images.encodings import encode_image
from ivfusion_ros.images.files import encode_compressed
from ivfusion_ros.messages.make import make_header
from ivfusion_ros.messages.type_names import CAMERA_INFO, COMPRESSED_IMAGE, IMAGE

if TYPE_CHECKING:
    from ivfusion_ros.messages.make import Make
    from ivfusion_ros.types import AnyImage, CameraInfo, Header


def make_image(make: Make, header: Header, image: AnyImage) -> Any:
    """sensor_msgs/Image of an (H, W) uint8 or uint16, or (H, W, 3) uint8 RGB image. Raises ImageError."""
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


def make_compressed_image(make: Make, header: Header, image: AnyImage) -> Any:
    """sensor_msgs/CompressedImage: colour as JPEG, grey of either depth as lossless PNG. Raises ImageError.

    image: as for make_image.
    """
    if image.ndim == 3:
        codec, format_ = "jpeg", "rgb8; jpeg compressed bgr8"
    else:
        codec, format_ = "png", f"mono{8 * image.itemsize}; png compressed "
    data = np.frombuffer(encode_compressed(image, codec), np.uint8)
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
