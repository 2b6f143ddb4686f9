"""A plane motion (shift, affine, homography) that fits the score volumes of all cells at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import cv2
import numpy as np

if TYPE_CHECKING:
    from ivfusion_ros.registration.scene.score_volume import ScoreVolume
    from ivfusion_ros.types import Floats

MotionModel = Literal["shift", "affine", "homography"]

_STEPS = 12
_SHARPNESS = 15.0
_OUTLIER_SHARE, _OUTLIER_LAG = 0.02, 0.15
_ASPECT, _SHEAR = (0, 0, 1, 0, 0, -1, 0, 0), (0, 0, 0, 1, 1, 0, 0, 0)
_STIFFNESS = np.diag([1e-9] * 2 + [1e-3] * 4 + [1.1e-2] * 2) + 5e-3 * (
    np.outer(_ASPECT, _ASPECT) + np.outer(_SHEAR, _SHEAR)
)
"""A trace for what the cells do not determine; more for what no two cameras side by side differ by much,
and parallax in one corner of the image fakes: aspect, shear, and what grows with squares.
"""
_PARAMETERS: dict[MotionModel, int] = {"shift": 2, "affine": 6, "homography": 8}


def fit_motion(volume: ScoreVolume, model: MotionModel, from_px: float, to_px: float) -> Floats:
    """3x3 that maps a pixel of the moving image to that of the fixed image; the volume's scale.

    Each cell votes with all its shifts near the motion found so far, and "near" shrinks from from_px to
    to_px (standard deviations). Along an edge, where shifts are equally good, a cell so has no say.
    """
    centres, voting = volume.centres(), Voting(volume)
    motion = np.eye(3)
    for near_px in np.geomspace(from_px, to_px, _STEPS):
        wanted, trust = voting.near(moved_points(motion, centres) - centres, float(near_px))
        if trust.sum() <= 0:
            break
        motion = _least_squares(centres, wanted, trust, model)
    return motion


class Voting:
    """What shift each cell of a volume wants, given about where to look."""

    def __init__(self, volume: ScoreVolume) -> None:
        self._reach = volume.reach
        self._shifts = np.arange(-volume.reach, volume.reach + 1.0, dtype=np.float32)
        self._weights = volume.weights()
        flat = volume.scores.reshape(len(self._shifts), len(self._shifts), -1)
        self._likelihood = np.exp(_SHARPNESS * (flat - flat.max(axis=(0, 1))))

    def near(self, shifts: Floats, near_px: float) -> tuple[Floats, Floats]:
        """Mean shift (h w, 2) within about near_px of `shifts` (h w, 2), and how far to trust it (h w,)."""
        # Each axis in one piece, which halves the time of what follows.
        places = np.ascontiguousarray(shifts.T, np.float32)
        offsets = self._shifts[:, None] - places[:, None]
        across, down = np.exp(offsets**2 / np.float32(-2 * near_px**2))
        rows = np.einsum("dac,ac->dc", self._likelihood, across)
        columns = np.einsum("dac,dc->ac", self._likelihood, down)
        mass = (rows * down).sum(axis=0) + 1e-12
        wanted = [
            (self._shifts[:, None] * part).sum(axis=0) / mass for part in (columns * across, rows * down)
        ]
        # A cell whose good shifts all lie elsewhere is an outlier: a near object, a moving shadow.
        outlying = _OUTLIER_SHARE * 2 * np.pi * near_px**2 * np.exp(-_SHARPNESS * _OUTLIER_LAG)
        within = (np.abs(places) <= self._reach).all(axis=0)
        trust = self._weights * mass / (mass + outlying) * within
        return np.stack(wanted, axis=1).astype(np.float64), np.asarray(trust, np.float64)


def moved_points(motion: Floats, points: Floats) -> Floats:
    """(N, 2) points through a 3x3."""
    return np.asarray(cv2.perspectiveTransform(points[None], motion)[0], np.float64)


def _least_squares(points: Floats, shifts: Floats, weights: Floats, model: MotionModel) -> Floats:
    """The motion, of first order in its parameters, nearest to shifts (N, 2) at points (N, 2)."""
    centre = points.mean(axis=0)
    extent = float(np.abs(points - centre).max())
    x, y = (points - centre).T / extent
    one, none = np.ones_like(x), np.zeros_like(x)
    along_x = np.stack([one, none, x, y, none, none, x * x, x * y], axis=1)
    along_y = np.stack([none, one, none, none, x, y, x * y, y * y], axis=1)
    count = _PARAMETERS[model]
    design = np.concatenate([along_x, along_y])[:, :count]
    weighted = design * np.concatenate([weights, weights])[:, None]
    normal = weighted.T @ design + _STIFFNESS[:count, :count] * weights.sum()
    solved = np.linalg.solve(normal, weighted.T @ (shifts.T.ravel() / extent))
    dx, dy, xx, xy, yx, yy, px, py = np.pad(solved, (0, 8 - count))
    motion = np.array([[1 + xx, xy, dx], [yx, 1 + yy, dy], [-px, -py, 1]])
    unit = np.array([[1 / extent, 0, -centre[0] / extent], [0, 1 / extent, -centre[1] / extent], [0, 0, 1]])
    return np.asarray(np.linalg.inv(unit) @ motion @ unit, np.float64)
