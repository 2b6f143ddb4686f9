"""The pixels of an image that is to be warped, brought to about the size of the reference camera's before.

The warp interpolates between neighbours. Where a pixel covers many of the reference's, as those of a small
thermal image do, that is too coarse; where many fall into one of the reference's, as those of a narrow or a
fine camera in a wide or a coarse one's view, it would pick some of them and leave out the rest, which
flickers.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import cv2
import numpy as np

from ivfusion_ros.geometry.enlarge import enlarged

if TYPE_CHECKING:
    from ivfusion_ros.types import Image, Size, Window

_ENLARGED_FROM, _MAX_FACTOR = 2.5, 4
"""Pixels of the reference along one of the image: bilinear interpolation does for fewer, and for the rest.

On thermal images of MSRS and HIT-UAV that were reduced by 8 and 16 and enlarged again, by 4 and then by the
warp is 0.01 dB worse than by all, and takes a third of the time for an image in 3840x2160.
"""
_SHRUNK_FROM = 2
_ASPECT_TOLERANCE = 0.005
"""A calibration takes images of another size as scaled as a whole."""


def pixel_scale(magnification: float, size: Size, *, enlarge: bool) -> Fraction:
    """By how much an image is scaled before it is warped: n, 1 or 1/n.

    magnification: pixels of the reference along one of the image. size: its (width, height). enlarge:
    whether to do so at all.
    """
    if magnification >= _ENLARGED_FROM and enlarge:
        return Fraction(min(round(magnification), _MAX_FACTOR))
    largest = int(min(1 / magnification, min(size))) if magnification < 1 else 1
    for factor in range(largest, _SHRUNK_FROM - 1, -1):
        width, height = scaled_size(size, Fraction(1, factor))
        if abs(width * size[1] / (height * size[0]) - 1) <= _ASPECT_TOLERANCE:
            return Fraction(1, factor)
    return Fraction(1)


def scaled_size(size: Size, scale: Fraction) -> Size:
    """(width, height) of an image after scaling."""
    return round(size[0] * scale), round(size[1] * scale)


def scaled_image(image: Image, scale: Fraction) -> Image:
    """(H, W) or (H, W, 3) uint8, scaled such that the means of areas stay; (H, W) to be enlarged."""
    if scale > 1:
        return enlarged(image, int(scale))
    if scale == 1:
        return image
    size = scaled_size((image.shape[1], image.shape[0]), scale)
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def scaled_window(window: Window, scale: Fraction) -> Window:
    """A window of an image in the scaled one; what is partly outside of it is left out."""
    left, top, right, bottom = window
    return -(-left * scale // 1), -(-top * scale // 1), int(right * scale), int(bottom * scale)
