"""Finding boards of markers, AprilTag grids and ChArUco boards, of which a part is enough."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from ivfusion_ros.calibrate.corners import Corners
from ivfusion_ros.calibrate.subpixel import tag_corners

if TYPE_CHECKING:
    from ivfusion_ros.calibrate.boards import Board
    from ivfusion_ros.types import AnyImage, Image

_MIN_CORNERS = 8
_MIN_CORNERS_SHARE = 0.2


def find_tags(board: Board, picture: Image) -> Corners | None:
    """The corners of an AprilTag grid's tags in a picture (H, W) uint8."""
    grid = board.tag_grid
    detector = cv2.aruco.ArucoDetector(grid.getDictionary(), _tag_parameters())
    found, ids, _ = detector.detectMarkers(picture)
    if not len(found):
        return None
    places = {int(tag): place for place, tag in enumerate(np.ravel(grid.getIds()))}
    tags = zip(map(int, np.ravel(ids)), found, strict=True)
    seen = {places[tag]: np.reshape(four, (4, 2)) for tag, four in tags if tag in places}
    if not seen:
        return None
    order = sorted(seen)
    corner_ids = np.concatenate([4 * place + np.arange(4) for place in order])
    pixels = np.concatenate([seen[place] for place in order]).astype(np.float32)
    return _enough(board, Corners(corner_ids, pixels))


def refine_tags(board: Board, grey: AnyImage, corners: Corners) -> Corners:
    """Tags' corners on the image as it came, of full depth."""
    quads = corners.pixels.reshape(-1, 4, 2)
    modules = board.tag_grid.getDictionary().markerSize + 2
    return Corners(corners.ids, tag_corners(grey, quads, modules).reshape(-1, 2))


def _tag_parameters() -> cv2.aruco.DetectorParameters:
    parameters = cv2.aruco.DetectorParameters()
    # Straight lines along the contour, the best start for the refinement on the edges.
    parameters.cornerRefinementMethod = cv2.aruco.CORNER_REFINE_CONTOUR
    return parameters


def find_charuco(board: Board, picture: Image) -> Corners | None:
    """The inner corners of a ChArUco board in a picture (H, W) uint8."""
    # The stubs do not know that nothing found is None.
    result: tuple[Any, ...] = cv2.aruco.CharucoDetector(board.charuco).detectBoard(picture)
    found, ids = result[:2]
    if found is None or ids is None:
        return None
    order = np.argsort(np.ravel(ids))
    pixels = np.reshape(found, (-1, 2))[order].astype(np.float32)
    return _enough(board, Corners(np.ravel(ids)[order].astype(np.intp), pixels))


def _enough(board: Board, corners: Corners) -> Corners | None:
    least = max(_MIN_CORNERS, round(_MIN_CORNERS_SHARE * len(board.points)))
    if len(corners) < min(least, len(board.points)):
        return None
    # Corners on one line fix no plane.
    spread = np.linalg.svd(board.points[corners.ids, :2] - board.points[corners.ids, :2].mean(axis=0))[1]
    return corners if spread[1] > 0.5 * board.size_m else None
