"""One look of both cameras at the board, and which looks are worth solving for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING

import cv2
import numpy as np

from ivfusion_ros.calibrate.corners import Corners

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ivfusion_ros.calibrate.boards import Board
    from ivfusion_ros.types import Floats, Floats32, Size


MAX_SLIP_PX = 0.5
_NEIGHBOURS_NS = 1_000_000_000


@dataclass(frozen=True, eq=False)
class BoardView:
    """What was found in a pair of frames.

    name: of the pair, for people. thermal, rgb: None where the board was not found.
    stamp_ns, skew_ns: of the RGB frame, and thermal minus RGB; 0 for pairs without time.
    slip_px: how far the board moved in the RGB image between the two exposures, pixels.
    """

    name: str
    thermal: Corners | None
    rgb: Corners | None
    stamp_ns: int = 0
    skew_ns: int = 0
    slip_px: float = 0.0


def same_order(board: Board, corners: Corners, other: Corners) -> Corners:
    """Corners in that order of a symmetric board in which they lie as the other camera's do.

    The cameras must be turned against each other by less than 45 degrees around their axes.
    """
    if len(board.symmetries) == 1:
        return corners
    pixels = np.full((len(board.points), 2), np.nan, np.float32)
    pixels[corners.ids] = corners.pixels
    ways = [pixels[order] for order in board.symmetries]
    best = min(ways, key=lambda way: _unlike(way, other))
    ids = np.flatnonzero(np.isfinite(best[:, 0]))
    return Corners(ids, best[ids])


def _unlike(pixels: Floats32, other: Corners) -> float:
    """How differently the points (N, 2) lie that are seen (not NaN), and that the other camera sees."""
    both = np.isfinite(pixels[other.ids, 0])
    return float(np.square(_centred(pixels[other.ids][both]) - _centred(other.pixels[both])).mean())


def _centred(pixels: Floats32) -> Floats:
    middle = pixels - pixels.mean(axis=0, dtype=np.float64)
    return np.asarray(middle / np.sqrt(np.square(middle).mean()), np.float64)


def with_slips(views: Sequence[BoardView]) -> list[BoardView]:
    """Views in the order of time with slip_px, from where the board was shortly before and after."""
    speeds = [0.0] * len(views)
    for index, (before, after) in enumerate(pairwise(views)):
        speed = _speed(before, after)
        speeds[index], speeds[index + 1] = max(speeds[index], speed), max(speeds[index + 1], speed)
    return [
        replace(view, slip_px=speed * abs(view.skew_ns) / 1e9)
        for view, speed in zip(views, speeds, strict=True)
    ]


def _speed(before: BoardView, after: BoardView) -> float:
    """Of the board in the RGB image, pixels a second; 0 where unknown."""
    if before.rgb is None or after.rgb is None:
        return 0.0
    elapsed_ns = after.stamp_ns - before.stamp_ns
    common, first, second = np.intersect1d(before.rgb.ids, after.rgb.ids, return_indices=True)
    if not 0 < elapsed_ns <= _NEIGHBOURS_NS or not len(common):
        return 0.0
    moved = np.linalg.norm(after.rgb.pixels[second] - before.rgb.pixels[first], axis=1)
    return float(np.median(moved)) / (elapsed_ns / 1e9)


def choose_various(board: Board, corners: Sequence[Corners], size: Size, count: int) -> list[int]:
    """Rising indices of at most `count` looks that differ most in place, size and tilt."""
    if len(corners) <= count:
        return list(range(len(corners)))
    traits = np.array([_traits(board, found, size) for found in corners])
    chosen = [int(np.argmin(np.linalg.norm(traits - np.median(traits, axis=0), axis=1)))]
    nearest = np.full(len(traits), np.inf)
    while len(chosen) < count:
        nearest = np.minimum(nearest, np.linalg.norm(traits - traits[chosen[-1]], axis=1))
        chosen.append(int(nearest.argmax()))
    return sorted(chosen)


def _traits(board: Board, corners: Corners, size: Size) -> Floats:
    """Where the board's rectangle appears: place, size, stretch and perspective, each about 0 to 1."""
    homography, _ = cv2.findHomography(board.points[corners.ids, :2], corners.pixels)
    (left, top), (right, bottom) = board.points[:, :2].min(axis=0), board.points[:, :2].max(axis=0)
    edges = np.array([[left, top], [right, top], [right, bottom], [left, bottom]], np.float64)
    four = cv2.perspectiveTransform(edges.reshape(-1, 1, 2), homography).reshape(4, 2) / size[0]
    sides = np.maximum(np.linalg.norm(np.roll(four, -1, axis=0) - four, axis=1), 1e-3)
    place = four.mean(axis=0)
    stretch = np.log(sides[:2].sum() / sides[1:3].sum())
    taper = np.log([sides[0] / sides[2], sides[1] / sides[3]])
    return np.array([*place, np.log(sides.sum()) / 2, stretch, *(2 * taper)])


def coverage(corners: Sequence[Corners], size: Size) -> float:
    """Share of an 8x6 grid of image cells in which a corner was seen, in [0, 1]."""
    seen = np.zeros((6, 8), np.bool_)
    for found in corners:
        column, row = (found.pixels / np.array(size, np.float32) * np.array([8, 6], np.float32)).T
        seen[np.clip(row, 0, 5).astype(int), np.clip(column, 0, 7).astype(int)] = True
    return float(seen.mean())
