"""Images and masks at the size at which the online refinement works."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from ivfusion_ros.registration.luminance import luminance
from ivfusion_ros.registration.online.cells import SUPPORT_PX

if TYPE_CHECKING:
    from ivfusion_ros.types import Floats32, Image, Size

WORKING_WIDTH = 320


def working_size(size: Size) -> Size:
    """Of the structures, for a reference image of (width, height)."""
    factor = max(1.0, size[0] / WORKING_WIDTH)
    return round(size[0] / factor), round(size[1] / factor)


def shrunk(image: Image, size: Size) -> Image:
    """The luminance of an image, averaged to (width, height)."""
    return np.asarray(cv2.resize(luminance(image), size, interpolation=cv2.INTER_AREA), np.uint8)


def compared(valid: Image | None, size: Size) -> Floats32:
    """(h, w), 1 where what is compared is of the warped image alone; valid: as it is given to update."""
    width, height = size
    whole = np.full((height, width), 255, np.uint8) if valid is None else shrunk(valid, size)
    side = 2 * SUPPORT_PX + 1
    kernel = np.ones((side, side), np.uint8)
    shown = np.where(whole == 255, np.uint8(1), np.uint8(0))
    inner = cv2.erode(shown, kernel, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    return np.asarray(inner, np.float32)
