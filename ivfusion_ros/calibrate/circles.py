"""Finding a board of circles: round spots that form the board's grid, and the centres of its circles."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ivfusion_ros.calibrate.blobs import Blobs, find_blobs
from ivfusion_ros.calibrate.corners import Corners
from ivfusion_ros.calibrate.lattice import Cells, GridSearch, Indices
from ivfusion_ros.calibrate.plane import find_board_grid, find_homography, lengths_px, projected
from ivfusion_ros.calibrate.rims import rim_ellipses

if TYPE_CHECKING:
    from ivfusion_ros.calibrate.boards import Board
    from ivfusion_ros.types import AnyImage, Floats, Floats32, Image

_LIKE = 2.5
_LONGEST_STEP_RADII = 8.0
_MOST_MOVED = 0.2
_ROUNDS = 3


def find_circles(board: Board, picture: Image) -> Corners | None:
    """The centres of a board's circles, dark or bright, in a picture (H, W) uint8 with any clutter.

    A tenth of them may be hidden, though no outer row or column.
    """
    blobs = find_blobs(picture)
    size = picture.shape[1], picture.shape[0]
    for dark in (True, False):
        spots = blobs.of(blobs.dark == dark)
        larger = spots.areas[:, None] / spots.areas
        reach = _LONGEST_STEP_RADII * np.sqrt(spots.areas / np.pi)
        search = GridSearch(spots.centres, (larger < _LIKE) & (larger > 1 / _LIKE), reach)
        at = find_board_grid(board, grid_cells(board), search, size)
        if at is not None:
            return _centres(board, spots, at)
    return None


def grid_cells(board: Board) -> Cells:
    """(N, 2) of a board's circles, by the shortest steps between them."""
    rows, columns = np.mgrid[: board.rows, : board.columns]
    if board.kind == "asymmetric_circles":
        columns = 2 * columns + rows % 2
        # Steps along both diagonals.
        columns, rows = (columns + rows) // 2, (rows - columns) // 2
    return np.stack([columns, rows], axis=-1).reshape(-1, 2)


def _centres(board: Board, spots: Blobs, at: Indices) -> Corners:
    ids = np.flatnonzero(at >= 0)
    plane, middles = board.points[ids, :2].astype(np.float64), spots.centres[at[ids]]
    lengths = lengths_px(find_homography(plane, middles), plane, 1.0)
    radius = float(np.median(np.sqrt(spots.areas[at[ids]] / np.pi) / lengths))
    return Corners(ids, _put_right(plane, middles, radius))


def refine_circles(board: Board, grey: AnyImage, corners: Corners) -> Corners:
    """Centres on the image as it came, of full depth."""
    plane, pixels = board.points[corners.ids, :2].astype(np.float64), corners.pixels.astype(np.float64)
    distance = board.size_m * (np.sqrt(2.0) if board.kind == "asymmetric_circles" else 1.0)
    middles, radius = rim_ellipses(grey, plane, pixels, distance)
    centres = _put_right(plane, middles, radius)
    # Where a lens bends the board so much that a rim is sought in a wrong place, the spot is better.
    most_px = _MOST_MOVED * radius * lengths_px(find_homography(plane, pixels), plane, 1.0)
    near = np.linalg.norm(centres - corners.pixels, axis=1) < most_px
    return Corners(corners.ids, np.where(near[:, None], centres, corners.pixels))


def _put_right(plane: Floats, middles: Floats, radius: float) -> Floats32:
    """(N, 2) centres of circles, which in a tilted view do not lie where their ellipses have theirs."""
    centres = middles
    for _ in range(_ROUNDS):
        homography = find_homography(plane, centres)
        centres = middles - (_ellipse_middles(homography, plane, radius) - projected(homography, plane))
    return centres.astype(np.float32)


def _ellipse_middles(homography: Floats, plane: Floats, radius: float) -> Floats:
    """(N, 2) centres of the ellipses that circles of a radius around points (N, 2) become."""
    x, y = plane.T
    one, none = np.ones_like(x), np.zeros_like(x)
    circles = np.array([[one, none, -x], [none, one, -y], [-x, -y, x * x + y * y - radius**2]])
    back = np.linalg.inv(homography)
    ellipses = back.T @ circles.transpose(2, 0, 1) @ back
    return np.asarray(np.linalg.solve(ellipses[:, :2, :2], -ellipses[:, :2, 2:])[..., 0], np.float64)
