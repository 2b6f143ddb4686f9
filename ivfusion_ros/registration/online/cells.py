"""How far two edge structures are apart, cell by cell: what online refinement measures in each frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from ivfusion_ros.types import Floats, Floats32, Size

if TYPE_CHECKING:
    from ivfusion_ros.registration.online.edges import Structure

CELL_PX = 16

EVERY = 2
"""One of so many rows of the still image is compared, in each frame others: edges are wider than that."""

SUPPORT_PX = 4
"""What lies further from a pixel than this has next to no part in what is compared there."""

_SOFT_PX, _SOFT_TAPS = 1.0, (5, 5)

_FIRST, _SECOND, _MEAN = (np.array(taps) for taps in ((-0.5, 0, 0.5), (1, -2, 1), (0.25, 0.5, 0.25)))
_OPERATORS = np.stack(
    [
        np.outer(down, right).ravel()
        for down, right in (
            (_MEAN, _FIRST),
            (_FIRST, _MEAN),
            (_MEAN, _SECOND),
            (_FIRST, _FIRST),
            (_SECOND, _MEAN),
        )
    ]
)
"""(5, 9): x, y, xx, xy and yy from a function's values at a pixel and its neighbours; Sobel's operators."""


@dataclass(frozen=True, eq=False)
class CellMoments:
    """Slope and curvature of the correlation with a displacement of the moving image, a row per cell.

    pull: (N, 2), slope when its content moves to the right and down. stiffness: (N, 2, 2), the negative
    curvature, so that stiffness @ displacement = pull where both fit. likeness: (N,), the correlation.
    """

    pull: Floats
    stiffness: Floats
    likeness: Floats

    def scaled(self, scale: Floats) -> CellMoments:
        """With displacements in larger pixels, each (2,) scale of the old ones wide and high."""
        stiffness = self.stiffness / (scale[:, None] * scale)
        return CellMoments(self.pull / scale, stiffness, self.likeness)

    def about(self, displacements: Floats) -> CellMoments:
        """For (N, 2) displacements counted from where the content would be without those given."""
        shift = self.stiffness @ displacements[:, :, None]
        return CellMoments(self.pull + shift[:, :, 0], self.stiffness, self.likeness)

    def blended(self, newer: CellMoments, share: float) -> CellMoments:
        """This, with a share in [0, 1] of a newer one."""
        keep = 1.0 - share
        return CellMoments(
            keep * self.pull + share * newer.pull,
            keep * self.stiffness + share * newer.stiffness,
            keep * self.likeness + share * newer.likeness,
        )


def cell_centres(size: Size) -> Floats:
    """(N, 2) pixel x, y of the cells' centres in an image of (width, height), row by row."""
    x, y = np.meshgrid(np.arange(size[0] // CELL_PX), np.arange(size[1] // CELL_PX))
    cells = np.stack([x.ravel(), y.ravel()], axis=1).astype(np.float64)
    return np.asarray(cells * CELL_PX + (CELL_PX - 1) / 2, np.float64)


def compared_rows(first: int) -> slice:
    """One of EVERY rows; first: the number of the first one, below EVERY."""
    return slice(first, None, EVERY)


def measure_cells(still: Structure, moving: Structure, first: int) -> CellMoments:
    """Moments of moving (2, h, w) against still, which has its compared_rows(first) alone.

    Still is zero where it shall not count, as at the border.
    """
    scores = _shifted_scores(still, _softened(moving), first)
    x, y, xx, xy, yy = np.asarray(_OPERATORS @ scores, np.float64)
    # The correlation's slope is for sampling further right, that is for content that moves left.
    pull = -np.stack([x, y], axis=1)
    stiffness = -np.stack([xx, xy, xy, yy], axis=1).reshape(-1, 2, 2)
    return CellMoments(pull, stiffness, scores[4].astype(np.float64))


def _softened(structure: Structure) -> Structure:
    """Blurred, so that correlation has slopes that reach further; in a frame of zeros, one pixel wide."""
    count, height, width = structure.shape
    soft = np.zeros((count, height + 2, width + 2), np.float32)
    for plane, blurred in zip(structure, soft, strict=True):
        cv2.GaussianBlur(plane, _SOFT_TAPS, _SOFT_PX, dst=blurred[1:-1, 1:-1])
    return soft


def _shifted_scores(still: Structure, framed: Structure, first: int) -> Floats32:
    """(9, N) each cell's correlation with what lies up to a pixel aside, row by row.

    To weigh these nine costs less than derivatives of images.
    """
    height, width = framed.shape[1] - 2, framed.shape[2] - 2
    rows, columns = height // CELL_PX, width // CELL_PX
    shape = 2, rows, CELL_PX // EVERY, width
    fixed = still[:, : rows * CELL_PX // EVERY]
    sums = np.empty((9, rows, width), np.float32)
    for place, (down, across) in zip(sums, np.ndindex(3, 3), strict=True):
        seen = framed[:, first + down :: EVERY, across : across + width][:, : fixed.shape[1]]
        np.einsum("crkw,crkw->rw", fixed.reshape(shape), seen.reshape(shape), out=place)
    used = sums.reshape(9 * rows, width)[:, : columns * CELL_PX]
    means = cv2.resize(used, (columns, 9 * rows), interpolation=cv2.INTER_AREA)
    return np.asarray(means, np.float32).reshape(9, -1) * np.float32(EVERY / CELL_PX)
