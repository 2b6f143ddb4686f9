"""Finding a checkerboard: a grid of saddles, which no lack of contrast hides."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from ivfusion_ros.calibrate.corners import Corners
from ivfusion_ros.calibrate.lattice import GridSearch
from ivfusion_ros.calibrate.plane import find_board_grid, find_homography, projected
from ivfusion_ros.calibrate.saddles import find_saddles
from ivfusion_ros.calibrate.subpixel import saddle_points

if TYPE_CHECKING:
    from ivfusion_ros.calibrate.boards import Board
    from ivfusion_ros.types import AnyImage, Floats, Floats32

_USUAL_WIDTH = 900
_LIKE = 0.5
_MOST_STRONGER = 3.0
_FREE_SHARE = 0.25
_FIELD_SHARE = 0.4


def find_checkerboard(board: Board, grey: AnyImage) -> Corners | None:
    """Its inner corners in an image (H, W) of any depth, at any contrast; a tenth of them may be hidden.

    Small pictures of the image are searched first: they are fast, and have less noise.
    """
    scale = min(1.0, _USUAL_WIDTH / grey.shape[1])
    for smaller in dict.fromkeys((scale, scale / 2, 1.0)):
        found = _find(board, _resized(grey, smaller))
        if found is not None:
            pixels = (found.pixels + 0.5) / smaller - 0.5
            return refine_saddles(board, grey, Corners(found.ids, pixels.astype(np.float32)))
    return None


def _resized(grey: AnyImage, scale: float) -> Floats32:
    levels = grey.astype(np.float32)
    if scale == 1.0:
        return levels
    return np.asarray(
        cv2.resize(levels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.float32
    )


def _find(board: Board, picture: Floats32) -> Corners | None:
    saddles = find_saddles(picture)
    # From corner to corner, dark and bright fields change places.
    like = np.cos(2 * (saddles.angles[:, None] - saddles.angles)) < -_LIKE
    stronger = saddles.strengths[:, None] / saddles.strengths
    like &= (stronger < _MOST_STRONGER) & (stronger > 1 / _MOST_STRONGER)
    search = GridSearch(saddles.points, like, np.full(len(saddles), np.inf))
    rows, columns = np.mgrid[: board.rows, : board.columns]
    cells = np.stack([columns, rows], axis=-1).reshape(-1, 2)
    at = find_board_grid(board, cells, search, (picture.shape[1], picture.shape[0]))
    if at is None:
        return None
    ids = np.flatnonzero(at >= 0)
    return Corners(ids, saddles.points[at[ids]].astype(np.float32))


def refine_saddles(board: Board, grey: AnyImage, corners: Corners) -> Corners:
    """Corners on the image as it came, of full depth."""
    levels = grey.astype(np.float32)
    square_px = _square_px(board, corners)
    share, slopes = _FREE_SHARE, None
    if board.kind == "charuco":
        share = min(share, 0.45 * (1 - board.second_m / board.size_m))
    else:
        slopes = _slopes(board, levels, corners, square_px)
    # Half of the side within which nothing but a corner's own four fields lies.
    window = int(np.clip(round(share * square_px), 2, 11))
    return Corners(corners.ids, saddle_points(levels, corners.pixels, window, slopes))


def _slopes(board: Board, levels: Floats32, corners: Corners, square_px: float) -> Floats:
    """(N, 2) how the level rises around each corner, a pixel: from field to field of one colour.

    A lamp heats a board unevenly, and on a slope a saddle lies aside of its corner.
    """
    plane = board.points[corners.ids, :2].astype(np.float64)
    homography = find_homography(plane, corners.pixels.astype(np.float64))
    half = board.size_m / 2
    around = np.array([[half, half], [-half, -half], [half, -half], [-half, half]])
    fields = projected(homography, (plane[:, None] + around).reshape(-1, 2)).reshape(-1, 4, 2)
    # A lens that bends the board moves a corner and its fields alike.
    fields += (corners.pixels - projected(homography, plane))[:, None]
    side = max(1, round(_FIELD_SHARE * square_px))
    means = cv2.blur(levels, (side, side))
    at = fields.astype(np.float32)
    seen = cv2.remap(means, at[..., 0], at[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    diagonals = np.stack([fields[:, 0] - fields[:, 1], fields[:, 2] - fields[:, 3]], axis=1)
    rises = np.stack([seen[:, 0] - seen[:, 1], seen[:, 2] - seen[:, 3]], axis=1).astype(np.float64)
    return np.asarray(np.linalg.solve(diagonals, rises[..., None])[..., 0], np.float64)


def _square_px(board: Board, corners: Corners) -> float:
    """The shorter side of a square in the middle of what is seen, pixels."""
    plane = board.points[corners.ids, :2].astype(np.float64)
    homography = find_homography(plane, corners.pixels.astype(np.float64))
    steps = plane.mean(axis=0) + np.array([[0, 0], [board.size_m, 0], [0, board.size_m]])
    at = projected(homography, steps)
    return float(np.linalg.norm(at[1:] - at[0], axis=1).min())
