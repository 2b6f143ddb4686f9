"""Circles to hundredths of a pixel: ellipses through where their rims are steepest."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from ivfusion_ros.calibrate.plane import find_homography, projected

if TYPE_CHECKING:
    from ivfusion_ros.types import AnyImage, Floats, Floats32

_RAYS, _SAMPLES = 48, 40
_REACH = (0.15, 0.5)
"""Where rims are sought first, as shares of the distance of two circles."""
_NEAR_RIM = (0.8, 1.2)
_LEAST_SIGMA, _SIGMA_SHARE, _MOST_SIGMA = 1.0, 0.12, 3.0
_ROUNDS, _STRAY_TIMES, _LEAST_STRAY = 3, 2.5, 0.01


def rim_ellipses(grey: AnyImage, plane: Floats, pixels: Floats, distance: float) -> tuple[Floats, float]:
    """Centres (N, 2) in pixels of the ellipses of circles on a board, and the circles' radius there.

    plane: (N, 2) their centres on the board. pixels: about where they are seen. distance: of two circles.
    Unlike an outline at one grey level, the steepest place does not shift where heat is uneven.
    """
    levels = grey.astype(np.float32)
    homography = find_homography(plane, pixels)
    shares = _steepest(
        _smooth(levels, _LEAST_SIGMA), _rims(homography, plane, pixels, distance), pixels, _REACH
    )
    radius = distance * float(np.median(shares))
    rims = _rims(homography, plane, pixels, radius)
    radius_px = float(np.linalg.norm(rims - pixels[:, None], axis=2).mean())
    sigma = float(np.clip(_SIGMA_SHARE * radius_px, _LEAST_SIGMA, _MOST_SIGMA))
    shares = _steepest(_smooth(levels, sigma), rims, pixels, _NEAR_RIM)
    edges = pixels[:, None] + shares[..., None] * (rims - pixels[:, None])
    return np.array([_ellipse_middle(edge) for edge in edges]), radius * float(np.median(shares))


def _smooth(levels: Floats32, sigma: float) -> Floats32:
    return np.asarray(cv2.GaussianBlur(levels, (0, 0), sigma), np.float32)


def _rims(homography: Floats, plane: Floats, pixels: Floats, radius: float) -> Floats:
    """(N, rays, 2) pixels of circles around points (N, 2) of a board, moved to where these are seen."""
    angles = np.arange(_RAYS) / _RAYS * 2 * np.pi
    ring = radius * np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    rims = projected(homography, (plane[:, None] + ring).reshape(-1, 2)).reshape(len(plane), _RAYS, 2)
    return np.asarray(rims + (pixels - projected(homography, plane))[:, None], np.float64)


def _steepest(smooth: Floats32, rims: Floats, pixels: Floats, reach: tuple[float, float]) -> Floats:
    """(N, rays) where between the centre (0) and the rim (1) the level changes most, within a reach."""
    at = np.linspace(*reach, _SAMPLES)
    places = pixels[:, None, None] + at[:, None] * (rims - pixels[:, None])[:, :, None]
    flat = places.reshape(len(pixels), -1, 2).astype(np.float32)
    levels = cv2.remap(
        smooth, flat[..., 0], flat[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    slopes = np.diff(levels.reshape(*places.shape[:3]), axis=2)
    # All circles of a board are darker than what is around them, or all are brighter.
    slopes *= np.sign(np.median(slopes.sum(axis=2)))
    best = slopes[..., 1:-1].argmax(axis=2)[..., None] + 1
    before, here, after = (np.take_along_axis(slopes, best + step, 2)[..., 0] for step in (-1, 0, 1))
    bend = before - 2 * here + after
    fraction = np.where(bend < 0, (before - after) / (2 * np.where(bend < 0, bend, 1)), 0.0)
    step = at[1] - at[0]
    return np.asarray(at[0] + step * (best[..., 0] + 0.5 + fraction), np.float64)


def _ellipse_middle(edge: Floats) -> Floats:
    """(2,) centre of the ellipse through points (N, 2), without those that lie aside of it."""
    for _ in range(_ROUNDS):
        middle, (width, height), degrees = cv2.fitEllipseDirect(edge.astype(np.float32).reshape(-1, 1, 2))
        cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
        along = (edge - middle) @ np.array([[cosine, -sine], [sine, cosine]]) / (width / 2, height / 2)
        stray = np.abs(np.linalg.norm(along, axis=1) - 1)
        good = stray <= max(_LEAST_STRAY, _STRAY_TIMES * float(np.median(stray)))
        if good.all():
            break
        edge = edge[good]
    return np.array(middle, np.float64)
