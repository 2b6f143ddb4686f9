"""A small smooth displacement of an image, as displacements of its corners and as a 3x3 matrix."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ivfusion_ros.types import Floats, Size

if TYPE_CHECKING:
    from ivfusion_ros.registration.online.cells import CellMoments

PARAMETERS = {"shift": 2, "affine": 6, "homography": 8}
"""Unknowns of each model: the shift; what grows with x and y; what grows with their squares."""

_OUTLIER_PX = 1.0
_DEFORMATION_PX = (0.3, 0.15)
"""Affine and projective parts that are to be expected at the image border, standard deviations."""
_ITERATIONS = 2
"""Each frame starts where the last one ended."""
_MIN_CELLS = 8
_MAX_RATIO = 0.02


@dataclass(frozen=True, eq=False)
class Fit:
    """A displacement field that explains many cells' moments.

    parameters: (P,) pixels, for field_basis. covariance: (P, P), from how much the cells disagree.
    """

    parameters: Floats
    covariance: Floats

    def sigma_px(self, basis: Floats) -> float:
        """Standard deviation of the displacement at some points, given by their basis (N, 2, P)."""
        variances = (basis @ self.covariance * basis).sum(axis=(1, 2))
        return float(np.sqrt(variances.mean()))


def image_corners(size: Size) -> Floats:
    """(4, 2) centres of the corner pixels of an image of (width, height)."""
    right, bottom = size[0] - 1.0, size[1] - 1.0
    return np.array([[0.0, 0.0], [right, 0.0], [0.0, bottom], [right, bottom]])


def field_basis(points: Floats, size: Size, model: str) -> Floats:
    """(N, 2, P): displacements at points (N, 2) = basis @ parameters; each is in pixels at the border."""
    half = max(size) / 2.0
    x, y = ((points - (np.array(size) - 1.0) / 2.0) / half).T
    one, zero = np.ones_like(x), np.zeros_like(x)
    columns = [(one, zero), (zero, one), (x, zero), (zero, x), (y, zero), (zero, y), (x * x, x * y)]
    columns.append((x * y, y * y))
    return np.stack([np.stack(column, axis=1) for column in columns[: PARAMETERS[model]]], axis=2)


def fit_field(moments: CellMoments, basis: Floats, scale: float, start: Floats) -> Fit | None:
    """Robust least squares over cells: those that disagree with most (near or moving objects) fade out.

    basis: (N, 2, P) at the cells; scale: pixels of the basis per pixel in which the moments were measured;
    start: (P,) parameters that say at first who disagrees, the last ones of a sequence. None where the
    cells do not determine a shift.
    """
    firmness = moments.stiffness[:, 0, 0] + moments.stiffness[:, 1, 1]
    usable = (firmness > 0) & (moments.likeness > 0)
    if np.count_nonzero(usable) < _MIN_CELLS:
        return None
    reach = (np.maximum(firmness, 0) + 0.25 * firmness[usable].mean()) * (_OUTLIER_PX * scale)
    reach_squared = reach * reach
    # A row for x and one for y of each cell: products of two plain matrices take the least time. Those with
    # a vector are left to einsum, as a BLAS would start threads that cost more than the work.
    rows = basis.reshape(-1, basis.shape[2])
    stiff_rows = (moments.stiffness @ basis).reshape(rows.shape)
    pull, prior = moments.pull.ravel(), _prior(len(start), scale)
    parameters = start
    for _ in range(_ITERATIONS):
        rest = pull - _times(stiff_rows, parameters)
        squares = rest * rest
        weights = usable / (1 + (squares[::2] + squares[1::2]) / reach_squared)
        weighted_rows = np.repeat(weights, 2)[:, None] * rows
        information = weighted_rows.T @ stiff_rows
        if not _determines_shift(information):
            return None
        scatter = _scatter(weighted_rows, rest)
        inverse = np.linalg.inv(information + prior * _inflation(information, scatter))
        parameters = inverse @ _times(weighted_rows.T, pull)
    scatter = _scatter(weighted_rows, pull - _times(stiff_rows, parameters))
    return Fit(parameters, inverse @ scatter @ inverse)


def _times(matrix: Floats, vector: Floats) -> Floats:
    return np.asarray(np.einsum("rp,p->r", matrix, vector), np.float64)


def _scatter(weighted_rows: Floats, rest: Floats) -> Floats:
    """(P, P) covariance of the sum of the cells' disagreement, each cell an independent witness."""
    scores = weighted_rows * rest[:, None]
    scores = scores[::2] + scores[1::2]
    return np.asarray(scores.T @ scores)


def _determines_shift(information: Floats) -> bool:
    (xx, xy), (_, yy) = information[:2, :2].tolist()
    spread = math.hypot(xx - yy, 2 * xy)
    return bool(xx + yy - spread > _MAX_RATIO * (xx + yy + spread) > 0)


def _inflation(information: Floats, scatter: Floats) -> float:
    """Variance of the disagreement in units of the information, as the cells' units mean nothing."""
    return float((scatter[0, 0] + scatter[1, 1]) / (information[0, 0] + information[1, 1]))


def _prior(count: int, scale: float) -> Floats:
    affine, projective = ((deviation * scale) ** -2 for deviation in _DEFORMATION_PX)
    return np.diag([0.0, 0.0, *[affine] * 4, *[projective] * 2][:count])


def matrix_from_corners(size: Size, displacements: Floats) -> Floats:
    """3x3 that brings to each corner what is by its displacement (4, 2) left and above of it, in pixels."""
    corners = image_corners(size)
    matrix = np.linalg.inv(_homography(corners, corners - displacements))
    matrix /= matrix[2, 2]
    # An affine shall look like one.
    matrix[2] = matrix[2].round(12)
    return np.asarray(matrix, np.float64)


def _homography(sources: Floats, targets: Floats) -> Floats:
    """3x3 of four points (4, 2) and their images."""
    zero, one = np.zeros((4, 3)), np.ones((4, 1))
    homogeneous = np.hstack([sources, one])
    rows_x = np.hstack([homogeneous, zero, -targets[:, :1] * sources])
    rows_y = np.hstack([zero, homogeneous, -targets[:, 1:] * sources])
    solution: Floats = np.linalg.solve(np.vstack([rows_x, rows_y]), targets.T.ravel())
    return np.append(solution, 1.0).reshape(3, 3)
