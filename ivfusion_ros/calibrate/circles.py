"""Finding a board of circles: round spots that form the board's grid, and the centres of its circles."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from ivfusion_ros.calibrate.blobs import Blobs, find_blobs
from ivfusion_ros.calibrate.corners import Corners
from ivfusion_ros.calibrate.lattice import Cells, GridSearch, Indices, place

if TYPE_CHECKING:
    from ivfusion_ros.calibrate.boards import Board
    from ivfusion_ros.types import Floats, Image

_MOST_MISSING = 0.1
_MOST_BENT = 0.3
_LEAST_STRAY, _STRAY_TIMES = 0.03, 3.5
_MOST_OWN = 0.9
_ROUNDS = 3


def find_circles(board: Board, picture: Image) -> Corners | None:
    """The centres of a board's circles, dark or bright, in a picture (H, W) uint8 with any clutter.

    A tenth of them may be hidden, though no outer row or column.
    """
    most_missing = min(round(_MOST_MISSING * len(board.points)), board.columns - 1, board.rows - 1)
    blobs = find_blobs(picture)
    cells = grid_cells(board)
    lens_middle = np.array(picture.shape[::-1]) / 2
    for dark in (True, False):
        spots = blobs.of(blobs.dark == dark)
        search = GridSearch(spots.centres, spots.areas)
        for grown in search.grids(len(cells) - most_missing):
            at = place(cells, grown, spots.centres, most_missing)
            found = None if at is None else _without_strays(board, spots, at, most_missing, lens_middle)
            if found is not None:
                return _centres(board, spots, found)
    return None


def grid_cells(board: Board) -> Cells:
    """(N, 2) of a board's circles, by the shortest steps between them."""
    rows, columns = np.mgrid[: board.rows, : board.columns]
    if board.kind == "asymmetric_circles":
        columns = 2 * columns + rows % 2
        # Steps along both diagonals.
        columns, rows = (columns + rows) // 2, (rows - columns) // 2
    return np.stack([columns, rows], axis=-1).reshape(-1, 2)


def _without_strays(
    board: Board, spots: Blobs, at: Indices, most_missing: int, lens_middle: Floats
) -> Indices | None:
    """Which spot is which circle (N,), -1 for one half hidden, whose spot lies aside; None for no plane."""
    kept = at.copy()
    while np.count_nonzero(kept < 0) <= most_missing:
        ids = np.flatnonzero(kept >= 0)
        bend, stray = _bend_steps(board, ids, spots.centres[kept[ids]], lens_middle)
        if bend.max() > _MOST_BENT:
            return None
        if stray.max() <= max(_LEAST_STRAY, _STRAY_TIMES * float(np.median(stray))):
            return kept
        kept[ids[stray.argmax()]] = -1
    return None


def _bend_steps(board: Board, ids: Indices, middles: Floats, lens_middle: Floats) -> tuple[Floats, Floats]:
    """How far points (N, 2) lie off a plane, and off its smooth bend by a lens, in steps of the board."""
    plane = board.points[ids, :2].astype(np.float64)
    homography = _homography(plane, middles)
    off = middles - _projected(homography, plane)
    off /= _lengths_px(homography, plane, board.size_m)[:, None]
    from_axis = (middles - lens_middle) / lens_middle.max()
    aside = from_axis * np.square(from_axis).sum(axis=1, keepdims=True)
    left = np.stack([_unsmooth(plane, radial, part) for radial, part in zip(aside.T, off.T, strict=True)])
    return np.linalg.norm(off, axis=1), np.linalg.norm(left, axis=0)


def _unsmooth(plane: Floats, radial: Floats, off: Floats) -> Floats:
    """What of (N,) values the other points do not explain, by a parabola on the board and a lens's bend."""
    x, y = ((plane - plane.mean(axis=0)) / np.ptp(plane, axis=0)).T
    basis = np.linalg.qr(np.stack([np.ones_like(x), x, y, x * x, x * y, y * y, radial], axis=1))[0]
    own_share = np.square(basis).sum(axis=1)
    return np.asarray((off - basis @ (basis.T @ off)) / (1 - np.minimum(own_share, _MOST_OWN)), np.float64)


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
        homography = _homography(plane, centres)
        radii = np.sqrt(areas / np.pi) / _lengths_px(homography, plane, 1.0)
        aside = _ellipse_middles(homography, plane, float(np.median(radii))) - _projected(homography, plane)
        centres = middles - aside
    return Corners(ids, centres.astype(np.float32))


def _homography(plane: Floats, pixels: Floats) -> Floats:
    return np.asarray(cv2.findHomography(plane, pixels)[0], np.float64)


def _projected(homography: Floats, plane: Floats) -> Floats:
    pixels = cv2.perspectiveTransform(plane.reshape(-1, 1, 2), homography)
    return np.asarray(pixels.reshape(-1, 2), np.float64)


def _lengths_px(homography: Floats, plane: Floats, length: float) -> Floats:
    """(N,) how long a length on the board is in the image at points (N, 2), the mean of all directions."""
    depth = plane @ homography[2, :2] + homography[2, 2]
    return np.asarray(length * np.sqrt(np.abs(np.linalg.det(homography) / depth**3)), np.float64)


def _ellipse_middles(homography: Floats, plane: Floats, radius: float) -> Floats:
    """(N, 2) centres of the ellipses that circles of a radius around points (N, 2) become."""
    x, y = plane.T
    one, none = np.ones_like(x), np.zeros_like(x)
    circles = np.array([[one, none, -x], [none, one, -y], [-x, -y, x * x + y * y - radius**2]])
    back = np.linalg.inv(homography)
    ellipses = back.T @ circles.transpose(2, 0, 1) @ back
    return np.asarray(np.linalg.solve(ellipses[:, :2, :2], -ellipses[:, :2, 2:])[..., 0], np.float64)
