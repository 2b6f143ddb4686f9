"""Finding a board of circles: round spots that form the board's grid, and the centres of its circles."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ivfusion_ros.calibrate.blobs import Blobs, find_blobs
from ivfusion_ros.calibrate.corners import Corners
from ivfusion_ros.calibrate.lattice import Cells, GridSearch, Indices
from ivfusion_ros.calibrate.plane import find_board_grid, find_homography, lengths_px, projected

if TYPE_CHECKING:
    from ivfusion_ros.calibrate.boards import Board
    from ivfusion_ros.types import Floats, Image

_LIKE = 2.5
_LONGEST_STEP_RADII = 8.0
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
    """Of circles, which in a tilted view do not lie where their ellipses have their own centres."""
    ids = np.flatnonzero(at >= 0)
    plane, middles, areas = (
        board.points[ids, :2].astype(np.float64),
        spots.centres[at[ids]],
        spots.areas[at[ids]],
    )
    centres = middles
    for _ in range(_ROUNDS):
        homography = find_homography(plane, centres)
        radii = np.sqrt(areas / np.pi) / lengths_px(homography, plane, 1.0)
        aside = _ellipse_middles(homography, plane, float(np.median(radii))) - projected(homography, plane)
        centres = middles - aside
    return Corners(ids, centres.astype(np.float32))


def _ellipse_middles(homography: Floats, plane: Floats, radius: float) -> Floats:
    """(N, 2) centres of the ellipses that circles of a radius around points (N, 2) become."""
    x, y = plane.T
    one, none = np.ones_like(x), np.zeros_like(x)
    circles = np.array([[one, none, -x], [none, one, -y], [-x, -y, x * x + y * y - radius**2]])
    back = np.linalg.inv(homography)
    ellipses = back.T @ circles.transpose(2, 0, 1) @ back
    return np.asarray(np.linalg.solve(ellipses[:, :2, :2], -ellipses[:, :2, 2:])[..., 0], np.float64)
