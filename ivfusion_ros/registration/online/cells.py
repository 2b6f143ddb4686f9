"""How far two edge structures are apart, cell by cell: what online refinement measures in each frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from ivfusion_ros.types import Floats, Size

if TYPE_CHECKING:
    from ivfusion_ros.registration.online.edges import Structure

CELL_PX = 16

_DERIVATIVES = ((1, 0, 1 / 8), (0, 1, 1 / 8), (2, 0, 1 / 4), (1, 1, 1 / 4), (0, 2, 1 / 4))
"""Orders in x and y, and the scale that makes OpenCV's 3x3 operator a derivative per pixel."""


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
        shift = np.einsum("nij,nj->ni", self.stiffness, displacements)
        return CellMoments(self.pull + shift, self.stiffness, self.likeness)

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


def measure_cells(still: Structure, moving: Structure) -> CellMoments:
    """Moments of moving against still, (h, w, 2) each; still is zero where it shall not count."""
    x, y, xx, xy, yy = (
        _cell_means(still, cv2.Sobel(moving, cv2.CV_32F, right, down, ksize=3, scale=scale))
        for right, down, scale in _DERIVATIVES
    )
    # The correlation's slope is for sampling further right, that is for content that moves left.
    pull = -np.stack([x, y], axis=1)
    stiffness = -np.stack([xx, xy, xy, yy], axis=1).reshape(-1, 2, 2)
    return CellMoments(pull, stiffness, _cell_means(still, moving))


def _cell_means(still: Structure, other: cv2.typing.MatLike) -> Floats:
    columns, rows = still.shape[1] // CELL_PX, still.shape[0] // CELL_PX
    # Rows of cells by einsum, which needs no image of products.
    first, second = (
        np.asarray(image)[: rows * CELL_PX, : columns * CELL_PX].reshape(rows, CELL_PX, -1)
        for image in (still, other)
    )
    sums = np.einsum("ray,ray->ry", first, second).reshape(rows * columns, -1).sum(axis=1)
    return np.asarray(sums, np.float64) / CELL_PX**2
