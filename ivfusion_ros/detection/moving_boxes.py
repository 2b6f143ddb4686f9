"""Boxes that move: where each is expected, and what a detection tells of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from ivfusion_ros.types import Boxes, Floats

_DETECTION = 0.1
"""Standard deviation of a detected box's centre and sides. Here and below in units of the box's own scale,
the square root of its area: near objects move by more pixels and are found less exactly than far ones."""
_ACCELERATION = np.array([0.7, 0.7, 0.25, 0.25])
"""Standard deviation of the change of speed, of centre and sides, per second squared. A person walks at
about 1.5 scales a second."""
_FIRST_SPEED = np.array([1.0, 1.0, 0.3, 0.3])
"""Standard deviation of an object's speed before it was seen twice, per second."""


class MovingBoxes:
    """N boxes by Kalman filters of constant speed, one for each of a box's centre x, y, width and height.

    The four numbers are taken for independent, so that all filters run at once in arrays of (N, 4).
    """

    def __init__(self) -> None:
        self._state, self._speed = np.zeros((0, 4)), np.zeros((0, 4))
        self._state_variance, self._covariance, self._speed_variance = (np.zeros((0, 4)) for _ in range(3))

    def __len__(self) -> int:
        return len(self._state)

    @property
    def boxes_xyxy(self) -> Boxes:
        """Where they are expected, (N, 4) float32 pixels."""
        centres, half = self._state[:, :2], self._state[:, 2:] / 2
        return np.hstack([centres - half, centres + half]).astype(np.float32)

    def predict(self, seconds: float) -> None:
        """Move all by their speeds."""
        noise = (_ACCELERATION * _scales(self._state)) ** 2
        self._state += self._speed * seconds
        self._state[:, 2:] = np.maximum(self._state[:, 2:], 1.0)
        growth = 2 * seconds * self._covariance + seconds**2 * self._speed_variance
        self._state_variance += growth + noise * seconds**4 / 4
        self._covariance += seconds * self._speed_variance + noise * seconds**3 / 2
        self._speed_variance += noise * seconds**2

    def shift(self, pixels: Floats) -> None:
        """Move all by (2,) x and y, as the picture did."""
        self._state[:, :2] += pixels

    def correct(self, indices: npt.NDArray[np.intp], boxes_xyxy: Boxes) -> None:
        """Take over where these boxes were detected."""
        seen = _centres_and_sides(boxes_xyxy)
        variance, covariance = self._state_variance[indices], self._covariance[indices]
        total = variance + (_DETECTION * _scales(seen)) ** 2
        error = seen - self._state[indices]
        self._state[indices] += variance / total * error
        self._speed[indices] += covariance / total * error
        self._speed_variance[indices] -= covariance**2 / total
        self._covariance[indices] -= covariance * variance / total
        self._state_variance[indices] -= variance**2 / total

    def add(self, boxes_xyxy: Boxes) -> None:
        """More boxes, at the end, seen for the first time."""
        seen = _centres_and_sides(boxes_xyxy)
        still = np.zeros_like(seen)
        self._state, self._speed = np.vstack([self._state, seen]), np.vstack([self._speed, still])
        self._state_variance = np.vstack([self._state_variance, still + (_DETECTION * _scales(seen)) ** 2])
        self._covariance = np.vstack([self._covariance, still])
        self._speed_variance = np.vstack([self._speed_variance, (_FIRST_SPEED * _scales(seen)) ** 2])

    def keep(self, chosen: npt.NDArray[np.bool_]) -> None:
        """Forget all but the chosen (N,)."""
        self._state, self._speed = self._state[chosen], self._speed[chosen]
        self._state_variance = self._state_variance[chosen]
        self._covariance, self._speed_variance = self._covariance[chosen], self._speed_variance[chosen]


def _centres_and_sides(boxes_xyxy: Boxes) -> Floats:
    boxes = boxes_xyxy.astype(np.float64)
    return np.hstack([(boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]])


def _scales(state: Floats) -> Floats:
    """(N, 1), square roots of areas, pixels."""
    areas: Floats = np.prod(np.maximum(state[:, 2:], 1.0), axis=1, keepdims=True)
    return np.sqrt(areas)
