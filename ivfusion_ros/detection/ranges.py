"""How far away objects are along the camera's optical axis: by a depth image, or by the ground."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ivfusion_ros.detection.near_side import near_sides
from ivfusion_ros.types import Floats

if TYPE_CHECKING:
    from collections import Counter

    from ivfusion_ros.geometry.camera import CameraModel
    from ivfusion_ros.geometry.ground import GroundPlane
    from ivfusion_ros.types import DepthImage, Size

BY_DEPTH = "by depth"
BY_GROUND = "by the ground"
CUT_AT_A_SIDE = "by the ground (cut at a side)"
METHODS = (BY_DEPTH, BY_GROUND, CUT_AT_A_SIDE)

NO_DEPTH_IMAGE = "no depth image"
NO_DEPTH = "no distance in the depth image"
NO_GROUND = "the lower edge is above the horizon, or more than 200 m away"
CUT_BELOW = "cut by the lower border"

_DEPTH_SHARE = 0.02
"""Standard deviation of a depth camera's distance, as a share of it."""
_HEIGHT_SHARE = 0.02
"""Standard deviation of the camera's height: a vehicle's springs, a load."""
_EDGE_PX = 1.5
_EDGE_SHARE = 0.02
"""Standard deviation of a detected box's side: pixels, and a share of the box."""
_HIDDEN_M = 2.0
"""Half of a car's length: how far what a side border hides may reach towards the camera."""


def by_method(ways: Counter[str]) -> tuple[dict[str, int], dict[str, int]]:
    """Counts of the METHODS, and of why there was none, the most frequent first."""
    found, missing = (
        {way: count for way, count in ways.most_common() if (way in METHODS) is known}
        for known in (True, False)
    )
    return found, missing


@dataclass(frozen=True, eq=False)
class Ranges:
    """Of each object's near side, (N,) each.

    depths_m and their standard deviations errors_m: NaN where not known. ways: of str, how each is
    known, one of METHODS, or why it is not.
    """

    depths_m: Floats
    errors_m: Floats
    ways: npt.NDArray[np.object_]

    def or_else(self, other: Ranges) -> Ranges:
        """The others' where these are not known."""
        unknown = np.isnan(self.depths_m)
        return Ranges(
            np.where(unknown, other.depths_m, self.depths_m),
            np.where(unknown, other.errors_m, self.errors_m),
            np.where(unknown, other.ways, self.ways),
        )


def unknown(count: int, why: str) -> Ranges:
    """Of objects whose distances are all not known."""
    return Ranges(np.full(count, np.nan), np.full(count, np.nan), np.full(count, why, object))


def by_depth(boxes: Floats, size: Size, depth: DepthImage) -> Ranges:
    """Of the near sides, uncertain by as much as the middle of the box is farther away.

    boxes: (N, 4), in an image of size (width, height).
    """
    near, middle = near_sides(depth, boxes, size)
    ways = np.where(np.isnan(near), NO_DEPTH, BY_DEPTH).astype(object)
    return Ranges(near, np.hypot(_DEPTH_SHARE * near, middle - near), ways)


def by_ground(
    boxes: Floats, size: Size, camera: CameraModel, ground: GroundPlane, tilt_error_rad: float
) -> Ranges:
    """Of where the boxes' lower edges meet the ground; not known where the lower border may cut them.

    Where a side border may cut an object, what it hides may be nearer than what is seen of it.
    """
    feet = np.stack([(boxes[:, 0] + boxes[:, 2]) / 2, boxes[:, 3]], axis=1) - 0.5
    depths = ground.depths(camera.slopes(feet))
    off_px = edge_errors(boxes[:, 2:] - boxes[:, :2])
    edges = off_px[:, 1] / camera.matrix[1, 1]
    errors = np.hypot(ground.depth_errors(depths, edges, tilt_error_rad), _HEIGHT_SHARE * depths)
    at_a_side = (boxes[:, 0] <= off_px[:, 0]) | (boxes[:, 2] >= size[0] - off_px[:, 0])
    errors = np.where(at_a_side, np.hypot(errors, _HIDDEN_M), errors)
    ways = np.where(at_a_side, CUT_AT_A_SIDE, BY_GROUND).astype(object)
    ways[np.isnan(depths)] = NO_GROUND
    below = boxes[:, 3] >= size[1] - off_px[:, 1]
    depths[below] = errors[below] = np.nan
    ways[below] = CUT_BELOW
    return Ranges(depths, errors, ways)


def edge_errors(sides_px: Floats) -> Floats:
    """Standard deviations of boxes' edges, pixels, by the boxes' widths or heights."""
    return np.hypot(_EDGE_PX, _EDGE_SHARE * sides_px)
