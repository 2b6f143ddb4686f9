"""Round spots in a picture, dark or bright, each at the grey level at which it stands out by itself."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from ivfusion_ros.types import Floats, Image

_LEVEL_STEP = 8
_MIN_PERIMETER_PX = 14
_MIN_AREA_PX = 14.0
_MAX_AREA_SHARE = 1 / 30
_ROUNDNESS = (0.93, 1.05)
_MIN_AXES_RATIO = 0.35
_MIN_LEVELS = 3
_MOST = 400
_SAME_PLACE = 0.3
_SAME_SIZE = 1.5
_DOUBLE = 2.5

_Ellipse = tuple[float, float, float, float]
"""An outline's middle x and y in pixels, area in square pixels, and 1 for dark or 0 for bright."""


@dataclass(frozen=True, eq=False)
class Blobs:
    """Spots that are ellipses, those that stand out most first.

    centres: (N, 2) pixels, integers are pixel centres. areas: (N,) square pixels. dark: (N,) bool.
    """

    centres: Floats
    areas: Floats
    dark: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.areas)

    def of(self, chosen: npt.NDArray[np.bool_]) -> Blobs:
        """Those that a mask (N,) names."""
        return Blobs(self.centres[chosen], self.areas[chosen], self.dark[chosen])


def find_blobs(picture: Image) -> Blobs:
    """Spots of a picture (H, W) uint8; at most 400, so that a search among them ends.

    The picture is cut at many grey levels. A spot is an outline that stays elliptic over some of them, so
    spots of different warmth on one board are found, each at levels of its own.
    """
    smooth = np.asarray(cv2.GaussianBlur(picture, (0, 0), 1.0), np.uint8)
    spots: list[list[_Ellipse]] = []
    growing: list[list[_Ellipse]] = []
    for level in range(_LEVEL_STEP, 256, _LEVEL_STEP):
        growing = _continued(growing, _ellipses(smooth, level))
        spots += [spot for spot in growing if len(spot) == 1]
    spots = sorted((spot for spot in spots if len(spot) >= _MIN_LEVELS), key=len, reverse=True)[:_MOST]
    return _without_doubles(np.array([_clearest(spot) for spot in spots], np.float64).reshape(-1, 4))


def _ellipses(picture: Image, level: int) -> list[_Ellipse]:
    """The elliptic outlines at a grey level."""
    mask = cv2.compare(picture, np.full((1, 1), level, np.uint8), cv2.CMP_GE)
    outlines, tree = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    found = []
    for index, outline in enumerate(outlines):
        if len(outline) >= _MIN_PERIMETER_PX:
            spot = _ellipse(outline, picture.size * _MAX_AREA_SHARE)
            if spot is not None:
                # What lies within a bright outline's hole is dark.
                found.append((*spot, float(tree[0, index, 3] >= 0)))
    return found


def _ellipse(outline: cv2.typing.MatLike, most_area: float) -> tuple[float, float, float] | None:
    sums = cv2.moments(outline)
    area = sums["m00"]
    if not _MIN_AREA_PX < area < most_area:
        return None
    xx, xy, yy = sums["mu20"] / area, sums["mu11"] / area, sums["mu02"] / area
    determinant, mean = xx * yy - xy * xy, (xx + yy) / 2
    # Of an ellipse, the area is 4 pi times the root of the determinant.
    if (
        determinant <= 0
        or not _ROUNDNESS[0] < area / (4 * math.pi * math.sqrt(determinant)) < _ROUNDNESS[1]
    ):
        return None
    spread = math.sqrt(max(mean * mean - determinant, 0.0))
    if mean - spread < _MIN_AXES_RATIO**2 * (mean + spread):
        return None
    return sums["m10"] / area, sums["m01"] / area, area


def _continued(growing: list[list[_Ellipse]], found: list[_Ellipse]) -> list[list[_Ellipse]]:
    """The spots that go on at the next level, each with its outline there, and those that start."""
    last = np.array([spot[-1] for spot in growing]).reshape(-1, 4)
    goes_on: list[list[_Ellipse]] = []
    for ellipse in found:
        x, y, area, dark = ellipse
        apart = np.hypot(last[:, 0] - x, last[:, 1] - y)
        size = last[:, 2] / area
        same = (apart < _SAME_PLACE * math.sqrt(area / math.pi)) & (last[:, 3] == dark)
        same &= (size < _SAME_SIZE) & (size > 1 / _SAME_SIZE)
        if same.any():
            spot = growing[int(np.where(same, apart, np.inf).argmin())]
            spot.append(ellipse)
            goes_on.append(spot)
        else:
            goes_on.append([ellipse])
    return goes_on


def _clearest(spot: list[_Ellipse]) -> _Ellipse:
    """Where the area changes least from level to level, the outline lies on the spot's edge."""
    areas = np.array([ellipse[2] for ellipse in spot])
    change = np.abs(areas[2:] - areas[:-2]) / areas[1:-1]
    return spot[1 + int(change.argmin())]


def _without_doubles(spots: Floats) -> Blobs:
    """Of spots (N, 4) with nearly one centre and size, the first."""
    x, y, area, dark = spots.T
    apart = np.hypot(x[:, None] - x, y[:, None] - y)
    size = area[:, None] / area
    double = (apart < _SAME_PLACE * np.sqrt(area / np.pi)) & (size < _DOUBLE) & (size > 1 / _DOUBLE)
    double &= dark[:, None] == dark
    first = ~np.tril(double, -1).any(axis=1)
    return Blobs(spots[first, :2], area[first], dark[first] > 0)
