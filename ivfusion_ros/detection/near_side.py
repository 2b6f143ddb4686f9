"""The near side of objects in a depth image: where a robot would touch them first."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from ivfusion_ros.detection.native_boxes import pixels_in

if TYPE_CHECKING:
    from ivfusion_ros.types import DepthImage, Floats, Size

_NEAREST = 3
"""Percent of a box's pixels that may be nearer than the near side: noise, and a box that is too large."""
_GAP = 1.1
"""Surfaces are apart if their distances differ by more, as a factor, and nothing is between them."""
_ROWS = 0.9
"""Share of a box, from above, that is looked at: below, a box that is too large shows the ground."""


def near_sides(depth: DepthImage, boxes: Floats, size: Size) -> tuple[Floats, Floats]:
    """Distances of objects' near sides, and of what the middles of their boxes show, (N,) metres each.

    NaN where no pixel in the middle knows. The near side is the nearest surface of what reaches from the
    middle towards the camera without a gap; what hides a part of the object is beyond such a gap.
    boxes: (N, 4), in an image of size (width, height); the depth image may have another one.
    """
    scale = np.array([depth.shape[1], depth.shape[0]]) / size
    unit = 0.001 if depth.dtype == np.uint16 else 1.0
    found = np.full((2, len(boxes)), np.nan)
    for index, box in enumerate(boxes):
        low, high = box[:2] * scale, box[2:] * scale
        quarter = (high - low) / 4
        middle = _known(depth, np.concatenate([low + quarter, high - quarter]))
        if middle.size:
            shown = low + (high - low) * (1, _ROWS)
            surface = float(np.median(middle))
            found[:, index] = _nearest(_known(depth, np.concatenate([low, shown])), surface), surface
    return found[0] * unit, found[1] * unit


def _known(depth: DepthImage, box_xyxy: Floats) -> Floats:
    """The distances in a box, (M,), in the image's unit; smoothed by medians, which make no new ones."""
    patch = depth[pixels_in(box_xyxy, depth.shape)]
    smooth = cv2.medianBlur(np.nan_to_num(patch, nan=0.0, posinf=0.0, neginf=0.0), 3)
    return np.asarray(smooth[smooth > 0], np.float64)


def _nearest(distances: Floats, surface: float) -> float:
    """Of what is connected with a surface, by percentiles, which single wrong pixels do not move."""
    levels = np.percentile(distances, np.arange(101))
    inner = int(np.searchsorted(levels, surface))
    gaps = np.flatnonzero(levels[1 : inner + 1] > _GAP * levels[:inner])
    first = 0 if not gaps.size else int(gaps[-1]) + 1
    return float(min(levels[min(first + _NEAREST, 100)], surface))
