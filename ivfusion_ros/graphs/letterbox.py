"""Fitting an image into a network's input without distorting it, and boxes back into the image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from ivfusion_ros.types import Boxes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ivfusion_ros.types import Boxes, Image, Size

GREY = 114
"""Padding that YOLO networks are trained with."""

_FREE_SIDE = 640
"""Long side, in pixels, that a model of free input size is given."""


def stride_of(metadata: Mapping[str, str]) -> int:
    """Largest stride of a model with this metadata: the sides of its input are multiples of it."""
    return 64 if metadata.get("stride") == "64" else 32


def network_size(size: Size, stride: int) -> Size:
    """Network size (width, height) for an image size where the model leaves it free."""
    scale = _FREE_SIDE / max(size)
    width, height = (max(1, -(-round(side * scale) // stride)) * stride for side in size)
    return width, height


@dataclass(frozen=True)
class Letterbox:
    """Scale to (scaled_width, scaled_height), then pad to (out_width, out_height), all in pixels."""

    width: int
    height: int
    scaled_width: int
    scaled_height: int
    out_width: int
    out_height: int

    @classmethod
    def fit(cls, size: Size, out_size: Size) -> Letterbox:
        """The largest centred fit of an image of size (width, height) into out_size."""
        scale = min(out_size[0] / size[0], out_size[1] / size[1])
        scaled_width, scaled_height = (max(1, round(side * scale)) for side in size)
        return cls(*size, scaled_width, scaled_height, *out_size)

    @property
    def left(self) -> int:
        """Columns of padding before the image."""
        return (self.out_width - self.scaled_width) // 2

    @property
    def top(self) -> int:
        """Rows of padding above the image."""
        return (self.out_height - self.scaled_height) // 2

    def apply(self, image: Image) -> Image:
        """(height, width[, 3]) uint8 -> (out_height, out_width[, 3]) uint8; the image itself if it fits."""
        if (self.scaled_width, self.scaled_height) != (self.width, self.height):
            size = (self.scaled_width, self.scaled_height)
            image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_LINEAR), np.uint8)
        if image.shape[:2] == (self.out_height, self.out_width):
            return image
        canvas = np.full((self.out_height, self.out_width, *image.shape[2:]), GREY, np.uint8)
        canvas[self.top : self.top + self.scaled_height, self.left : self.left + self.scaled_width] = image
        return canvas

    def to_image(self, boxes_xyxy: Boxes) -> Boxes:
        """(N, 4) boxes in network pixels -> in image pixels, clipped to the image."""
        offset = np.array([self.left, self.top] * 2, np.float32)
        scale = np.array([self.width / self.scaled_width, self.height / self.scaled_height] * 2, np.float32)
        limit = np.array([self.width, self.height] * 2, np.float32)
        boxes: Boxes = np.clip((boxes_xyxy - offset) * scale, np.float32(0), limit)
        return boxes
