"""A thermal image laid over a visible one at a small working size, as features."""

from __future__ import annotations

from typing import TypeVar, cast

import cv2
import numpy as np

from ivfusion_ros.registration.scene.features import content_mask, orientation_features
from ivfusion_ros.registration.scene.score_volume import ScoreVolume, score_volume
from ivfusion_ros.types import Floats, Floats32, Image, Size

Pixels = TypeVar("Pixels", Image, Floats32)


def scaling(factor: float) -> Floats:
    """3x3 from pixels to those of an image `factor` times as large; integers are pixel centres."""
    return np.array([[factor, 0, (factor - 1) / 2], [0, factor, (factor - 1) / 2], [0, 0, 1]])


class Overlay:
    """One pair at a working size: the visible image's longer side is side_px (never enlarged).

    thermal: (H, W) uint8; visible: (H2, W2) uint8 luminance. The sizes may differ.
    """

    def __init__(self, thermal: Image, visible: Image, side_px: int) -> None:
        self.factor = min(1.0, side_px / max(visible.shape))
        self.visible = resized(visible, self.factor)
        self.fixed = orientation_features(self.visible)
        self._thermal, self._content = thermal, content_mask(thermal)

    @property
    def size(self) -> Size:
        """(width, height) at the working size."""
        return int(self.visible.shape[1]), int(self.visible.shape[0])

    def lay(self, rgb_from_thermal: Floats) -> tuple[Floats32, Floats32]:
        """The thermal image's features (4, h, w) in the visible view, and where it has content (h, w)."""
        to_working = scaling(self.factor) @ rgb_from_thermal
        magnification = float(np.sqrt(abs(np.linalg.det(to_working[:2, :2]))))
        # Shrinking before the warp keeps its interpolation from skipping pixels.
        shrink = min(1.0, 1.25 * magnification)
        matrix = to_working @ np.linalg.inv(scaling(shrink))
        thermal = cv2.warpPerspective(resized(self._thermal, shrink), matrix, self.size)
        content = cv2.warpPerspective(resized(self._content, shrink), matrix, self.size)
        inside = cv2.erode((content > 0.99).astype(np.float32), np.ones((3, 3)), borderValue=0)
        mask = np.asarray(inside, np.float32)
        return orientation_features(np.asarray(thermal, np.uint8), mask), mask

    def compare(self, rgb_from_thermal: Floats, reach: int, cell_px: int, window_px: float) -> ScoreVolume:
        """Scores of small further shifts after this alignment, in pixels of the working size."""
        moving, content = self.lay(rgb_from_thermal)
        return score_volume(moving, self.fixed, content, reach, cell_px, window_px)


def resized(image: Pixels, factor: float) -> Pixels:
    """The image shrunk by averaging; the same image for a factor of 1."""
    if factor >= 1:
        return image
    size = max(1, round(image.shape[1] * factor)), max(1, round(image.shape[0] * factor))
    return cast("Pixels", cv2.resize(image, size, interpolation=cv2.INTER_AREA))
