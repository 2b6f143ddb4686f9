"""Edges as both cameras see them: direction and presence, whichever side is the bright one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from ivfusion_ros.types import Floats32

if TYPE_CHECKING:
    from ivfusion_ros.types import Image

Structure = Floats32
"""(h, w, 2) float32 in [-1, 1]: cosine and sine of twice the gradient's angle, times its presence."""

SUPPORT_PX = 4
"""A pixel of a structure depends on no image pixel further away than this."""

_HALF_PRESENT = 0.7
"""Gradient, in grey levels per pixel, at which presence is one half."""


def edge_structure(grey: Image) -> Structure:
    """Normalised gradient field, with doubled angles, of a (h, w) uint8 image.

    Doubling makes dark on bright and bright on dark the same, which differ between thermal and visible;
    normalising makes a faint edge in one camera count as much as a strong one in the other.
    """
    smooth = cv2.GaussianBlur(grey.astype(np.float32), (5, 5), 0.8)
    right = np.asarray(cv2.Sobel(smooth, cv2.CV_32F, 1, 0, scale=1 / 8), np.float32)
    down = np.asarray(cv2.Sobel(smooth, cv2.CV_32F, 0, 1, scale=1 / 8), np.float32)
    sine = right * down
    sine *= 2
    # In place: fresh temporaries of this size cost more than the arithmetic.
    right *= right
    down *= down
    total = right + down
    total += np.float32(_HALF_PRESENT**2)
    right -= down
    right /= total
    sine /= total
    return np.asarray(cv2.GaussianBlur(cv2.merge([right, sine]), (3, 3), 0.8), np.float32)
