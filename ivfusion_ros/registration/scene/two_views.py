"""How two cameras with known lenses stand to each other, from places that both see at unknown distances.

A place that both see lies on its epipolar line however far away it is. So near and far ones together tell
the rotation and the direction of the baseline, where a plane fitted to them would lie somewhere between.
Sampson's distance to that line (Hartley and Zisserman, Multiple View Geometry, 2nd ed., equation 11.9),
with Cauchy's weights against wrong matches.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from ivfusion_ros.errors import DataError
from ivfusion_ros.types import Floats, Mask

_NEAR_PX = (3.0, 3.0, 3.0, 1.5, 1.5, 1.5) + 16 * (0.7,)
"""Scale of the Cauchy weights in each step."""
_DELTA = 1e-6
_STIFFNESS = 1e-4, 1e-3, 1e-6
"""Of the rotation, of the baseline's direction, and of that where the baseline is too short to tell."""
_FORWARD_PX2 = 0.25
"""What a baseline along the axis costs for each place: as much as an error of 0.1 px where it is a fifth of
the whole. Cameras sit side by side, and errors of 0.1 px that all places share look like a step forward.
"""
_MIN_SHARED = 50
_FARTHEST = 1e5
"""Baselines; also where the cameras are in one place."""


@dataclass(frozen=True, eq=False)
class Sightings:
    """Places that both cameras see.

    thermal, rgb: (N, 2) float64, where their rays meet the plane z = 1 of each camera's frame.
    weights: (N,) float64, how far to trust them.
    """

    thermal: Floats
    rgb: Floats
    weights: Floats

    def part(self, chosen: Mask) -> Sightings:
        """Those that a mask (N,) chooses."""
        return Sightings(self.thermal[chosen], self.rgb[chosen], self.weights[chosen])


@dataclass(frozen=True, eq=False)
class TwoViews:
    """The thermal camera in the RGB camera's frame, but for the scale, which images do not tell.

    rotation: 3x3, rgb_from_thermal. direction: (3,), the translation of rgb_from_thermal at length 1.
    distance: along the RGB camera's axis, of the weighted median of the places, in lengths of the baseline.
    across_px: median distance of the places from their epipolar lines, pixels of the focal length given.
    """

    rotation: Floats
    direction: Floats
    distance: float
    across_px: float


def fit_two_views(sightings: Sightings, rotation: Floats, focal_px: float) -> TwoViews:
    """The rotation and baseline that most places agree with.

    rotation: 3x3 to start from, within a few degrees. focal_px: of the image in which pixels are meant,
    such as the one that was matched. Raises DataError for too few places.
    """
    kept = sightings.part(sightings.weights > 0)
    if len(kept.weights) < _MIN_SHARED:
        raise DataError(
            f"both cameras see only {len(kept.weights)} places in common, expected {_MIN_SHARED} or more"
        )
    problem = _Epipolar(kept, focal_px)
    fits = [problem.solve(rotation, start) for start in np.eye(3)[:2]]
    found, direction = min(fits, key=lambda fit: problem.cost(*fit))
    inverse = _inverse_distances(kept, found, direction)
    median = weighted_median(inverse, kept.weights)
    if median < 0:
        median, direction = -median, -direction
    across = np.abs(problem.across(found, direction))
    distance = 1 / max(median, 1 / _FARTHEST)
    return TwoViews(found, direction, distance, weighted_median(across, kept.weights))


def nearest_rotation(matrix: Floats) -> Floats:
    """The 3x3 rotation that comes closest to a 3x3 homography between rays."""
    left, _, right = np.linalg.svd(matrix / np.cbrt(np.linalg.det(matrix)))
    return np.asarray(left @ right, np.float64)


def weighted_median(values: Floats, weights: Floats) -> float:
    """Half of the weights (N,) belong to values (N,) up to this one."""
    order = np.argsort(values)
    total = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(total, total[-1] / 2)])


class _Epipolar:
    def __init__(self, sightings: Sightings, focal_px: float) -> None:
        self._thermal, self._rgb = _rays(sightings.thermal), _rays(sightings.rgb)
        self._weights = sightings.weights / sightings.weights.mean()
        self._focal_px = focal_px

    def across(self, rotation: Floats, direction: Floats) -> Floats:
        """Signed distances (N,) from the epipolar lines, pixels."""
        essential = np.cross(direction, rotation, axisb=0, axisc=0)
        lines, back = self._thermal @ essential.T, self._rgb @ essential
        steepness = (lines[:, :2] ** 2).sum(axis=1) + (back[:, :2] ** 2).sum(axis=1)
        # Times the root of two: all of it in one image.
        scale = self._focal_px * np.sqrt(2 / (steepness + 1e-18))
        return np.asarray((self._rgb * lines).sum(axis=1) * scale, np.float64)

    def cost(self, rotation: Floats, direction: Floats) -> float:
        across = self.across(rotation, direction)
        return float((self._weights * np.log1p((across / _NEAR_PX[-1]) ** 2)).sum())

    def solve(self, rotation: Floats, direction: Floats) -> tuple[Floats, Floats]:
        """By damped Gauss-Newton steps with ever narrower weights."""
        for near_px in _NEAR_PX:
            across = self.across(rotation, direction)
            weights = self._weights / (1 + (across / near_px) ** 2)
            moved = [self.across(*_moved(rotation, direction, step)) for step in _DELTA * np.eye(5)]
            slopes = (np.stack(moved, axis=1) - across[:, None]) / _DELTA
            normal = slopes.T @ (weights[:, None] * slopes)
            turning, shifting = np.trace(normal[:3, :3]) / 3, np.trace(normal[3:, 3:]) / 2
            stiff, soft, least = _STIFFNESS
            normal += np.diag([stiff * turning] * 3 + [soft * shifting + least * turning] * 2)
            pull = slopes.T @ (weights * across)
            forward, cost = _aside(direction)[:, 2], _FORWARD_PX2 * weights.sum()
            normal[3:, 3:] += cost * np.outer(forward, forward)
            pull[3:] += cost * direction[2] * forward
            step = -np.linalg.solve(normal, pull)
            rotation, direction = _moved(rotation, direction, step)
        return rotation, direction


def _moved(rotation: Floats, direction: Floats, step: Floats) -> tuple[Floats, Floats]:
    """step: (5,), a rotation vector and two components across the direction."""
    changed = direction + step[3:] @ _aside(direction)
    turn = np.asarray(cv2.Rodrigues(step[:3])[0], np.float64)
    return turn @ rotation, np.asarray(changed / np.linalg.norm(changed), np.float64)


def _aside(direction: Floats) -> Floats:
    """(2, 3) unit vectors across a direction and each other."""
    return np.asarray(np.linalg.svd(direction[None])[2][1:], np.float64)


def _inverse_distances(sightings: Sightings, rotation: Floats, direction: Floats) -> Floats:
    """(N,) along the RGB camera's axis, of the baseline's length; negative for rays that part."""
    thermal, rgb = _rays(sightings.thermal) @ rotation.T, _rays(sightings.rgb)
    shift = np.cross(thermal, direction)
    return np.asarray((np.cross(thermal, rgb) * shift).sum(axis=1) / (shift**2).sum(axis=1), np.float64)


def _rays(slopes: Floats) -> Floats:
    return np.concatenate([slopes, np.ones((len(slopes), 1))], axis=1)
