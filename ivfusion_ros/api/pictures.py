"""Whatever holds a picture, as a camera's image."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol, cast, runtime_checkable

import numpy as np

from ivfusion_ros.errors import ImageError
from ivfusion_ros.images.declared import MAX_PIXELS
from ivfusion_ros.images.radiometric import read_camera_image
from ivfusion_ros.types import AnyImage, CameraName


@runtime_checkable
class PilImage(Protocol):
    """An image of Pillow, which need not be installed."""

    mode: str

    def convert(self, mode: str) -> Any:
        """The same image in another mode."""


Picture = AnyImage | PilImage | str | Path
"""An array as in Frame, an image of Pillow, or an image file."""

_PLAIN = ("L", "RGB", "I;16", "F")
"""Modes of Pillow whose arrays are images of Frame as they are."""


def as_image(picture: Picture, camera: CameraName, max_pixels: int = MAX_PIXELS) -> AnyImage:
    """An image as in Frame, which checks it. Raises ImageError."""
    if isinstance(picture, (str, Path)):
        return read_camera_image(picture, camera, max_pixels)
    if isinstance(picture, np.ndarray):
        # Of a matrix, too, whose parts are matrices.
        return cast("AnyImage", np.asarray(picture))
    if not isinstance(picture, PilImage):
        raise ImageError(
            f"the {camera} image is a {type(picture).__name__}, expected an array, an image of Pillow or a "
            "path"
        )
    if picture.mode in _PLAIN:
        return np.array(picture)
    # A palette, a mask or transparency; 1 and LA are without colour.
    return np.array(picture.convert("L" if picture.mode in ("1", "LA") else "RGB"))
