"""Luminance: what alignment compares of a colour image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from ivfusion_ros.types import Image


def luminance(image: Image) -> Image:
    """(H, W, 3) uint8 RGB -> (H, W) uint8 (BT.601); a grey image passes as it is."""
    return image if image.ndim == 2 else np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)
