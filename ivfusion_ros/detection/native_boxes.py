"""Boxes of one camera's view in another camera's own image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from ivfusion_ros.types import Boxes, DepthImage, Floats, Size


_SAMPLES = 32
"""Points of each box that are mapped; a multiple of 4, so that the middles of its sides are among them."""


def map_boxes(boxes: Boxes, map_points: Callable[[Floats], Floats], size: Size) -> Boxes:
    """The upright boxes around the same objects in another image.

    An object is taken for the ellipse in its box: corners, which it does not fill, would make boxes grow
    where the cameras are rolled. map_points: pixels (M, 2) with integers at centres to the other image's,
    NaN for none; each box has as many points, box by box. size: (width, height) of the other image; boxes
    are cut at its border. NaN for a box that lies outside.
    """
    if not len(boxes):
        return boxes.copy()
    angles = np.linspace(0, 2 * np.pi, _SAMPLES, endpoint=False)
    shares = 0.5 + 0.5 * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    corners = boxes.astype(np.float64)
    points = corners[:, None, :2] + shares * (corners[:, None, 2:] - corners[:, None, :2])
    mapped = map_points(points.reshape(-1, 2) - 0.5).reshape(points.shape) + 0.5
    low = np.where(np.isnan(mapped), np.inf, mapped).min(axis=1)
    high = np.where(np.isnan(mapped), -np.inf, mapped).max(axis=1)
    found = np.concatenate([np.clip(low, 0, size), np.clip(high, 0, size)], axis=1)
    found[(found[:, 2:] <= found[:, :2]).any(axis=1)] = np.nan
    return found.astype(np.float32)


def box_depths(depth: DepthImage, boxes: Boxes, size: Size) -> Floats:
    """Median distance in the middle of each box, (N,) metres; NaN where no pixel knows it.

    size: (width, height) of the image that the boxes belong to; the depth image may have another one.
    """
    scale = np.array([depth.shape[1], depth.shape[0]]) / size
    unit = 0.001 if depth.dtype == np.uint16 else 1.0
    found = np.full(len(boxes), np.nan)
    for index, box in enumerate(boxes.astype(np.float64)):
        centre, half = (box[:2] + box[2:]) / 2 * scale, (box[2:] - box[:2]) / 4 * scale
        patch = depth[pixels_in(np.concatenate([centre - half, centre + half]), depth.shape)]
        known = patch[(patch > 0) & np.isfinite(patch)]
        if known.size:
            found[index] = float(np.median(known)) * unit
    return found


def pixels_in(box_xyxy: Floats, shape: tuple[int, ...]) -> tuple[slice, slice]:
    """Rows and columns whose centres a box contains, at least the pixel in its middle; cut at the border.

    shape: the image's, (H, W).
    """
    low, high = np.ceil(box_xyxy[:2] - 0.5), np.ceil(box_xyxy[2:] - 0.5)
    middle = np.floor((box_xyxy[:2] + box_xyxy[2:]) / 2)
    low, high = np.where(high > low, low, middle), np.where(high > low, high, middle + 1)
    (left, top), (right, bottom) = (
        np.clip(ends, 0, shape[1::-1]).astype(int).tolist() for ends in (low, high)
    )
    return slice(top, bottom), slice(left, right)
