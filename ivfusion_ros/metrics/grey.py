"""What a metric accepts: grey images 0..255, all of one size."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ivfusion_ros.errors import ImageError
from ivfusion_ros.types import Floats, Image

GreyImage = Image | npt.NDArray[np.floating[Any]]
"""(H, W) uint8 or floating point, values 0..255."""

FloatImage = Floats
"""(H, W) float64, values 0..255."""


def as_float(image: GreyImage, min_side: int = 1) -> FloatImage:
    """Check one grey image and return it as (H, W) float64; ImageError otherwise."""
    if not isinstance(image, np.ndarray) or image.ndim != 2:
        found = f"shape {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
        raise ImageError(
            f"metrics compare grey (H, W) images, found {found}; convert it to luminance first"
        )
    if image.dtype != np.uint8 and not np.issubdtype(image.dtype, np.floating):
        raise ImageError(
            f"metrics take uint8 or float images 0..255, found {image.dtype}; scale and convert it"
        )
    if min(image.shape) < min_side:
        raise ImageError(
            f"image of shape {image.shape} is too small, this metric needs {min_side} pixels or more a side"
        )
    if image.dtype != np.uint8:
        low, high = float(image.min()), float(image.max())
        if not (low >= 0 and high <= 255):  # also catches NaN
            raise ImageError(
                f"metrics take values 0..255, found {low:g}..{high:g}; clip or scale the image"
            )
    return image.astype(np.float64)


def as_floats(
    source_a: GreyImage, source_b: GreyImage, fused: GreyImage, min_side: int = 1
) -> tuple[FloatImage, FloatImage, FloatImage]:
    """Check three grey images of one shape and return them as (H, W) float64; ImageError otherwise."""
    images = as_float(source_a, min_side), as_float(source_b, min_side), as_float(fused, min_side)
    shapes = [image.shape for image in images]
    if len(set(shapes)) != 1:
        raise ImageError(
            f"source_a, source_b and fused have shapes {shapes[0]}, {shapes[1]} and {shapes[2]}, "
            "expected one shape; register and resize them first"
        )
    return images


def grey_levels(image: FloatImage) -> npt.NDArray[np.intp]:
    """Round to the 256 grey levels; (H * W,) integers."""
    return np.rint(image).astype(np.intp).ravel()
