"""Finding a checkerboard: OpenCV's sector-based search, then the saddle at each corner."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from ivfusion_ros.calibrate.corners import Corners
from ivfusion_ros.calibrate.subpixel import saddle_points

if TYPE_CHECKING:
    from ivfusion_ros.calibrate.boards import Board
    from ivfusion_ros.types import AnyImage, Image

_FREE_SHARE = 0.25


def find_checkerboard(board: Board, picture: Image) -> Corners | None:
    """All of its inner corners in a picture (H, W) uint8."""
    done, found = cv2.findChessboardCornersSB(picture, (board.columns, board.rows))
    if not done:
        return None
    pixels = np.asarray(found, np.float32).reshape(-1, 2)
    return Corners(np.arange(len(pixels)), pixels)


def refine_saddles(board: Board, grey: AnyImage, corners: Corners) -> Corners:
    """Corners on the image as it came, of full depth."""
    return Corners(corners.ids, saddle_points(grey, corners.pixels, _window_px(board, corners)))


def _window_px(board: Board, corners: Corners) -> int:
    """Half of the side within which nothing but a corner's own four fields lies."""
    share = _FREE_SHARE
    if board.kind == "charuco":
        share = min(share, 0.45 * (1 - board.second_m / board.size_m))
    homography, _ = cv2.findHomography(board.points[corners.ids, :2], corners.pixels)
    middle = board.points[corners.ids, :2].mean(axis=0)
    steps = middle + np.array([[0, 0], [board.size_m, 0], [0, board.size_m]], np.float32)
    at = cv2.perspectiveTransform(steps.reshape(-1, 1, 2).astype(np.float64), homography).reshape(-1, 2)
    square_px = float(np.linalg.norm(at[1:] - at[0], axis=1).min())
    return int(np.clip(round(share * square_px), 2, 11))
