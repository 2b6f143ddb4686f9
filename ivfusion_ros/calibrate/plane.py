"""The grid of a flat board among points: flat but for the bend of a lens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from ivfusion_ros.calibrate.boards import Board
from ivfusion_ros.calibrate.lattice import place
from ivfusion_ros.types import Floats, Size

if TYPE_CHECKING:
    from ivfusion_ros.calibrate.lattice import Cells, GridSearch, Indices

_MOST_MISSING = 0.1
_MOST_BENT = 1.0
_MOST_UNEVEN = 0.1
_LEAST_STRAY, _STRAY_TIMES = 0.03, 3.5
_MOST_OWN = 0.9


def find_board_grid(board: Board, cells: Cells, search: GridSearch, size: Size) -> Indices | None:
    """Which point is which of a board's cells (N, 2) in an image of a size: (N,), -1 for a missing one.

    None where the board is not seen. A tenth of it may be missing, but no whole outer row or column.
    """
    check = PlaneCheck(board, search.points, size)
    for grown in search.grids(len(cells) - _most_missing(board)):
        at = place(cells, grown, search.points, _most_missing(board))
        kept = None if at is None else check.without_strays(at)
        if kept is not None:
            return kept
    return None


def _most_missing(board: Board) -> int:
    return min(round(_MOST_MISSING * len(board.points)), board.columns - 1, board.rows - 1)


@dataclass(frozen=True, eq=False)
class PlaneCheck:
    """For points (M, 2) of an image of a size, pixels."""

    board: Board
    points: Floats
    size: Size

    def without_strays(self, at: Indices) -> Indices | None:
        """Which point is which of the board's (N,), -1 for a stray: half hidden, or its neighbour.

        None where the points lie on no plane, or too many are missing.
        """
        kept, least = at.copy(), len(at) - _most_missing(self.board)
        while np.count_nonzero(kept >= 0) >= least:
            bend, stray = self._off_steps(kept)
            if bend.max() > _MOST_BENT or np.median(stray) > _MOST_UNEVEN:
                return None
            if stray.max() <= max(_LEAST_STRAY, _STRAY_TIMES * float(np.median(stray))):
                return kept
            kept[np.flatnonzero(kept >= 0)[stray.argmax()]] = -1
        return None

    def _off_steps(self, at: Indices) -> tuple[Floats, Floats]:
        """How far each lies off the plane, and off the plane's smooth bend, in steps of the board."""
        plane = self.board.points[at >= 0, :2].astype(np.float64)
        middles = self.points[at[at >= 0]]
        homography = find_homography(plane, middles)
        off = middles - projected(homography, plane)
        off /= lengths_px(homography, plane, self.board.size_m)[:, None]
        from_axis = middles / max(self.size) - np.array(self.size) / max(self.size) / 2
        radial = from_axis * np.square(from_axis).sum(axis=1, keepdims=True)
        left = [_unsmooth(plane, *parts) for parts in zip(radial.T, off.T, strict=True)]
        return np.linalg.norm(off, axis=1), np.linalg.norm(np.stack(left), axis=0)


def _unsmooth(plane: Floats, radial: Floats, off: Floats) -> Floats:
    """What of (N,) values the other points do not explain, by a parabola on the board and a lens's bend."""
    x, y = ((plane - plane.mean(axis=0)) / np.ptp(plane, axis=0)).T
    basis = np.linalg.qr(np.stack([np.ones_like(x), x, y, x * x, x * y, y * y, radial], axis=1))[0]
    own_share = np.square(basis).sum(axis=1)
    return np.asarray((off - basis @ (basis.T @ off)) / (1 - np.minimum(own_share, _MOST_OWN)), np.float64)


def find_homography(plane: Floats, pixels: Floats) -> Floats:
    """(3, 3) from points (N, 2) of a board to pixels (N, 2)."""
    return np.asarray(cv2.findHomography(plane, pixels)[0], np.float64)


def projected(homography: Floats, plane: Floats) -> Floats:
    """Pixels (N, 2) of points (N, 2) of a board."""
    pixels = cv2.perspectiveTransform(plane.reshape(-1, 1, 2), homography)
    return np.asarray(pixels.reshape(-1, 2), np.float64)


def lengths_px(homography: Floats, plane: Floats, length: float) -> Floats:
    """(N,) how long a length on the board is in the image at points (N, 2), the mean of all directions."""
    depth = plane @ homography[2, :2] + homography[2, 2]
    return np.asarray(length * np.sqrt(np.abs(np.linalg.det(homography) / depth**3)), np.float64)
