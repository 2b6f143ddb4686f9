"""Finding a calibration board in an RGB or a thermal image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import numpy.typing as npt

from ivfusion_ros.calibrate.enhance import Look, looks_for
from ivfusion_ros.calibrate.subpixel import Pixels, saddle_points, tag_corners
from ivfusion_ros.images.encodings import to_grey

if TYPE_CHECKING:
    from ivfusion_ros.calibrate.boards import Board
    from ivfusion_ros.types import AnyImage, Image

_MIN_MARKER_CORNERS = 8
_MARKER_CORNERS_SHARE = 0.2


@dataclass(frozen=True, eq=False)
class Corners:
    """What was found of a board in one image.

    ids: (N,) rising indices into the board's points. pixels: (N, 2) float32, integers are centres.
    """

    ids: npt.NDArray[np.intp]
    pixels: Pixels

    def __len__(self) -> int:
        return len(self.ids)


class BoardFinder:
    """Finds one board in the images of one camera; what worked for the last image is tried first."""

    def __init__(self, board: Board) -> None:
        self.board = board
        self._looks: list[Look] = []
        self._width = 0

    def find(self, image: AnyImage) -> Corners | None:
        """The board in an image, (H, W) uint8 or uint16 or (H, W, 3) uint8; None where it is not seen.

        A board without markers must be seen as a whole, one with markers by a fifth of its corners.
        """
        grey = to_grey(image)
        if grey.shape[1] != self._width:
            self._width = grey.shape[1]
            self._looks = looks_for(self._width)
        for look in list(self._looks):
            found = _search(self.board, look.apply(grey))
            if found is not None:
                self._looks.remove(look)
                self._looks.insert(0, look)
                corners = Corners(found.ids, look.original_pixels(found.pixels))
                return _refine(self.board, grey, corners)
        return None


def _search(board: Board, picture: Image) -> Corners | None:
    if board.kind == "apriltag":
        return _enough(board, _find_tags(board, picture))
    if board.kind == "charuco":
        return _enough(board, _find_charuco(board, picture))
    found = (
        _find_checkerboard(board, picture)
        if board.kind == "checkerboard"
        else _find_circles(board, picture)
    )
    return None if found is None else Corners(np.arange(len(found)), found)


def _find_checkerboard(board: Board, picture: Image) -> Pixels | None:
    done, found = cv2.findChessboardCornersSB(picture, (board.columns, board.rows))
    return np.asarray(found, np.float32).reshape(-1, 2) if done else None


def _find_circles(board: Board, picture: Image) -> Pixels | None:
    grid = (
        cv2.CALIB_CB_ASYMMETRIC_GRID if board.kind == "asymmetric_circles" else cv2.CALIB_CB_SYMMETRIC_GRID
    )
    size, blobs = (board.columns, board.rows), _blob_detector(picture)
    # The search takes minutes among many other blobs, such as noise.
    if not len(board.points) <= len(blobs.detect(picture)) <= 1.5 * len(board.points) + 5:
        return None
    done, found = cv2.findCirclesGrid(picture, size, flags=grid, blobDetector=blobs)
    return np.asarray(found, np.float32).reshape(-1, 2) if done else None


def _blob_detector(picture: Image) -> cv2.SimpleBlobDetector:
    parameters = cv2.SimpleBlobDetector.Params()
    parameters.minArea = 12.0
    parameters.maxArea = picture.size / 30
    parameters.minDistBetweenBlobs = 4.0
    parameters.filterByConvexity = True
    parameters.minConvexity = 0.85
    parameters.filterByInertia = True
    parameters.minInertiaRatio = 0.2
    return cv2.SimpleBlobDetector.create(parameters)


def _find_tags(board: Board, picture: Image) -> Corners | None:
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
    return Corners(corner_ids, np.concatenate([seen[place] for place in order]).astype(np.float32))


def _tag_parameters() -> cv2.aruco.DetectorParameters:
    parameters = cv2.aruco.DetectorParameters()
    # Straight lines along the contour, the best start for the refinement on the edges.
    parameters.cornerRefinementMethod = cv2.aruco.CORNER_REFINE_CONTOUR
    return parameters


def _find_charuco(board: Board, picture: Image) -> Corners | None:
    # The stubs do not know that nothing found is None.
    result: tuple[Any, ...] = cv2.aruco.CharucoDetector(board.charuco).detectBoard(picture)
    found, ids = result[:2]
    if found is None or ids is None:
        return None
    order = np.argsort(np.ravel(ids))
    return Corners(
        np.ravel(ids)[order].astype(np.intp), np.reshape(found, (-1, 2))[order].astype(np.float32)
    )


def _enough(board: Board, corners: Corners | None) -> Corners | None:
    least = max(_MIN_MARKER_CORNERS, round(_MARKER_CORNERS_SHARE * len(board.points)))
    if corners is None or len(corners) < min(least, len(board.points)):
        return None
    # Corners on one line fix no plane.
    spread = np.linalg.svd(board.points[corners.ids, :2] - board.points[corners.ids, :2].mean(axis=0))[1]
    return corners if spread[1] > 0.5 * board.size_m else None


def _refine(board: Board, grey: AnyImage, corners: Corners) -> Corners:
    """On the image as it came, of full depth; circles are exact already."""
    if board.kind == "apriltag":
        quads = corners.pixels.reshape(-1, 4, 2)
        modules = board.tag_grid.getDictionary().markerSize + 2
        return Corners(corners.ids, tag_corners(grey, quads, modules).reshape(-1, 2))
    if board.kind in ("checkerboard", "charuco"):
        return Corners(corners.ids, saddle_points(grey, corners.pixels, _window_px(board, corners)))
    return corners


def _window_px(board: Board, corners: Corners) -> int:
    """Half of the side within which nothing but a corner's own four fields lies."""
    share = 0.25
    if board.kind == "charuco":
        share = min(share, 0.45 * (1 - board.second_m / board.size_m))
    homography, _ = cv2.findHomography(board.points[corners.ids, :2], corners.pixels)
    middle = board.points[corners.ids, :2].mean(axis=0)
    steps = middle + np.array([[0, 0], [board.size_m, 0], [0, board.size_m]], np.float32)
    at = cv2.perspectiveTransform(steps.reshape(-1, 1, 2).astype(np.float64), homography).reshape(-1, 2)
    square_px = float(np.linalg.norm(at[1:] - at[0], axis=1).min())
    return int(np.clip(round(share * square_px), 2, 11))
