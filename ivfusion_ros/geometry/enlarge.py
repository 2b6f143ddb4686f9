"""Enlarging by a whole factor, so that the picture reduced again is the one that came in.

A thermal pixel is the mean over its area. Bicubic interpolation takes it for a point: the means of what it
gives are too flat, by half a decibel on MSRS at a factor of 4. So it interpolates pixels that were
steepened before, such that its means are the pixels that were measured. That is back-projection (Irani and
Peleg 1991), solved on the small image, where it costs next to nothing.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from ivfusion_ros.types import Floats32, Image

_ITERATIONS = 6
"""What is left after them is below a hundredth of a grey level in nearly all pixels."""
_TAPS = 7
"""A mean of bicubic values hangs on the two next pixels on either side, and the kernel has one to spare."""


def enlarged(image: Image, factor: int) -> Image:
    """(H, W) uint8 -> (H x factor, W x factor) uint8 whose area means are the image, but for rounding."""
    values = from_means(image, factor)
    # Rounded, and cut at 0 and 255, in one pass.
    return np.asarray(cv2.addWeighted(values, 1, values, 0, 0, dtype=cv2.CV_8U), np.uint8)


def from_means(means: Image | Floats32, factor: int) -> Floats32:
    """(H, W) -> (H x factor, W x factor) float32, smooth, whose area means are those given; any values."""
    wanted = np.asarray(means, np.float32)
    taps, steep = _means_of_bicubic(factor), wanted
    for _ in range(_ITERATIONS):
        found = cv2.sepFilter2D(steep, cv2.CV_32F, taps, taps, borderType=cv2.BORDER_REPLICATE)
        steep = steep + (wanted - found)
    size = means.shape[1] * factor, means.shape[0] * factor
    return np.asarray(cv2.resize(steep, size, interpolation=cv2.INTER_CUBIC), np.float32)


@lru_cache
def _means_of_bicubic(factor: int) -> Floats32:
    """(7,) weights of the neighbours in the area means of a bicubic enlargement along one axis."""
    impulse = np.zeros((_TAPS, _TAPS), np.float32)
    impulse[:, _TAPS // 2] = 1.0
    size = _TAPS * factor
    large = cv2.resize(impulse, (size, size), interpolation=cv2.INTER_CUBIC)
    small = cv2.resize(large, (_TAPS, _TAPS), interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(small[_TAPS // 2])
