"""Making a board visible: pictures of the same image in other contrast, polarity and scale."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from ivfusion_ros.images.encodings import to_grey

if TYPE_CHECKING:
    from ivfusion_ros.types import AnyImage, Floats32, Image

_SMALL_WIDTH, _LARGE_WIDTH = 400, 900
_NARROW = (2.0, 90.0)


@dataclass(frozen=True)
class Look:
    """One way to look at an image.

    inverted: a heated or reflective board has its ink brighter than its paper. clip_limit, tiles: of
    the local contrast stretch (CLAHE), 0 for none; with it, what is hotter than 90% of the image is all
    white, as a lamp would else leave no contrast to the board. scale: of the image's sides; smaller is
    less noise.
    """

    inverted: bool = False
    clip_limit: float = 0.0
    tiles: int = 8
    scale: float = 1.0

    def apply(self, grey: AnyImage) -> Image:
        """(H, W) uint8 or uint16 -> the picture to search, (scale H, scale W) uint8."""
        picture = stretch_to_8_bit(grey, _NARROW) if self.clip_limit else stretch_to_8_bit(grey)
        if self.scale != 1.0:
            method = cv2.INTER_AREA if self.scale < 1 else cv2.INTER_CUBIC
            picture = np.asarray(
                cv2.resize(picture, None, fx=self.scale, fy=self.scale, interpolation=method)
            )
        if self.clip_limit:
            smooth = cv2.GaussianBlur(picture, (0, 0), 1.0)
            picture = np.asarray(cv2.createCLAHE(self.clip_limit, (self.tiles, self.tiles)).apply(smooth))
        return np.asarray(cv2.bitwise_not(picture) if self.inverted else picture, np.uint8)

    def original_pixels(self, pixels: Floats32) -> Floats32:
        """Pixels (N, 2) of the searched picture as pixels of the image; integers are centres in both."""
        return np.asarray((pixels + 0.5) / self.scale - 0.5, np.float32)


def looks_for(width: int, for_circles: bool = False) -> list[Look]:
    """Ways to look at an image of a width in pixels, the likeliest first.

    for_circles: both polarities are searched at once there, and a large image in small is enough.
    """
    if for_circles:
        scales = [_LARGE_WIDTH / width, 1.0] if width > _LARGE_WIDTH else [1.0]
        return [Look(False, limit, 8, scale) for scale in scales for limit in (0.0, 3.0)]
    other = 2.0 if width < _SMALL_WIDTH else _LARGE_WIDTH / width if width > _LARGE_WIDTH else 0.5
    ways = [(0.0, 8, 1.0), (3.0, 8, 1.0), (3.0, 8, other), (8.0, 4, 1.0)]
    return [Look(inverted, *way) for way in ways for inverted in (False, True)]


def stretch_to_8_bit(image: AnyImage, percentiles: tuple[float, float] = (1.0, 99.0)) -> Image:
    """An image of any kind as grey (H, W) uint8, stretched between two of its percentiles."""
    grey = to_grey(image)
    low, high = np.percentile(grey[::2, ::2], percentiles)
    scale = 255.0 / max(float(high - low), 1.0)
    stretched = cv2.addWeighted(grey, scale, grey, 0.0, -float(low) * scale, dtype=cv2.CV_8U)
    return np.asarray(stretched, np.uint8)
