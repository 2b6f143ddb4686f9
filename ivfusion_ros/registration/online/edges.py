"""Edges as both cameras see them: direction and presence, whichever side is the bright one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from ivfusion_ros.types import Floats32

if TYPE_CHECKING:
    from ivfusion_ros.types import Image

Structure = Floats32
"""(2, h, w) float32 in [-1, 1]: cosine and sine of twice the gradient's angle, times its presence."""

_HALF_PRESENT = 0.7
"""Gradient, in grey levels per pixel, at which presence is one half."""

_BLUR = cv2.getGaussianKernel(5, 0.8).ravel()
_SLOPE = (np.convolve(_BLUR, [-1, 0, 1]) / 2).astype(np.float32)
_ALONG = (np.convolve(_BLUR, [1, 2, 1]) / 4).astype(np.float32)
"""A Gaussian and Sobel's operator as one, which saves a pass over the image."""


def edge_structure(grey: Image, rows: slice = slice(None)) -> Structure:
    """Normalised gradient field, with doubled angles, of (some rows of) an (h, w) uint8 image.

    Doubling makes dark on bright and bright on dark the same, which differ between thermal and visible;
    normalising makes a faint edge in one camera count as much as a strong one in the other.
    """
    right, down = (
        np.ascontiguousarray(np.asarray(cv2.sepFilter2D(grey, cv2.CV_32F, *kernels), np.float32)[rows])
        for kernels in ((_SLOPE, _ALONG), (_ALONG, _SLOPE))
    )
    structure = np.empty((2, *right.shape), np.float32)
    cosine, sine = structure
    np.multiply(right, down, out=sine)
    sine *= 2
    # In place: fresh temporaries of this size cost more than the arithmetic.
    right *= right
    down *= down
    np.subtract(right, down, out=cosine)
    right += down
    right += np.float32(_HALF_PRESENT**2)
    structure /= right
    return structure
