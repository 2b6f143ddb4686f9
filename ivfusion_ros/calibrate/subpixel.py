"""Corners to hundredths of a pixel: where four fields meet, and where two edges of a tag do."""

from __future__ import annotations

import cv2
import numpy as np

from ivfusion_ros.types import AnyImage, Floats, Floats32

Pixels = Floats32
"""(N, 2) or (N, corners, 2) in pixels; integers are pixel centres."""

_STEPS = 4
_CONVERGED_PX = 0.01
_MAX_MOVE_PX = 3.0
_EDGE_SAMPLES = 16
_EDGE_PART = 0.8
_SUBSTEPS = 4


def saddle_points(grey: Floats32, corners: Pixels, window: int, slopes: Floats | None = None) -> Pixels:
    """Corners (N, 2) moved to the saddle of the paraboloid that fits best around each.

    window: half of the side of what is fitted, pixels; nothing but the corner's four fields may lie in
    it. Steadier in noise than cv2.cornerSubPix. A corner without a saddle nearby stays.
    slopes: (N, 2) how the grey level rises around each beside the fields' own steps, a pixel.
    """
    smooth = np.asarray(cv2.GaussianBlur(grey, (0, 0), 1.0), np.float32)
    x, y = np.meshgrid(*[np.arange(-window, window + 1, dtype=np.float64)] * 2)
    weight = np.sqrt(np.maximum(0.0, 1.0 - np.hypot(x, y) / (window + 1)))
    terms = np.stack([x * x, x * y, y * y, x, y, np.ones_like(x)], axis=-1) * weight[..., None]
    solver = np.linalg.pinv(terms.reshape(-1, 6)) * weight.reshape(1, -1)
    slopes = np.zeros((len(corners), 2)) if slopes is None else slopes
    moved = [
        _saddle(smooth, corner.astype(np.float64), window, solver, slope)
        for corner, slope in zip(corners, slopes, strict=True)
    ]
    return np.array(moved, np.float32).reshape(-1, 2)


def _saddle(smooth: Floats32, start: Floats, window: int, solver: Floats, slope: Floats) -> Floats:
    at, side = start.copy(), 2 * window + 1
    for _ in range(_STEPS):
        patch = cv2.getRectSubPix(smooth, (side, side), (float(at[0]), float(at[1])))
        xx, xy, yy, x, y, _ = solver @ patch.ravel()
        determinant = 4 * xx * yy - xy * xy
        if determinant >= 0:
            return start
        x, y = x - slope[0], y - slope[1]
        step = np.array([xy * y - 2 * yy * x, xy * x - 2 * xx * y]) / determinant
        at += step
        if np.hypot(*(at - start)) > _MAX_MOVE_PX:
            return start
        if np.abs(step).max() < _CONVERGED_PX:
            break
    return at


def tag_corners(grey: AnyImage, quads: Pixels, modules: int) -> Pixels:
    """Corners (N, 4, 2) of tags, moved to where the lines through their edges meet.

    modules: along a side of the tag, black border included.
    """
    smooth = np.asarray(cv2.GaussianBlur(grey.astype(np.float32), (0, 0), 0.7), np.float32)
    refined = [_tag(smooth, quad.astype(np.float64), modules) for quad in quads]
    return np.array(refined, np.float32).reshape(-1, 4, 2)


def _tag(smooth: Floats32, quad: Floats, modules: int) -> Floats:
    along = np.roll(quad, -1, axis=0) - quad
    lengths = np.linalg.norm(along, axis=1, keepdims=True)
    reach = float(np.clip(0.7 * lengths.min() / modules, 1.5, 5.0))
    outward = np.stack([along[:, 1], -along[:, 0]], axis=1) / np.maximum(lengths, 1e-6)
    inside_out = np.linalg.det(np.stack([along[0], along[1]])) < 0
    outward = -outward if inside_out else outward
    at = 0.5 + _EDGE_PART * (np.linspace(0, 1, _EDGE_SAMPLES) - 0.5)
    starts = quad[:, None] + at[:, None] * along[:, None]
    offsets = _edge_offsets(smooth, starts, outward, reach)
    edges = starts + offsets[..., None] * outward[:, None]
    lines = [_line(points) for points in edges]
    # Corner i ends side i - 1 and starts side i.
    corners = np.array([_crossing(lines[index - 1], lines[index]) for index in range(4)])
    moved = np.linalg.norm(corners - quad, axis=1, keepdims=True)
    return np.where(moved < _MAX_MOVE_PX, corners, quad)


def _edge_offsets(smooth: Floats32, starts: Floats, outward: Floats, reach: float) -> Floats:
    """(4, samples) distance outward from starts (4, samples, 2) at which the grey level steps."""
    steps = np.linspace(-reach, reach, 2 * _SUBSTEPS * max(2, round(reach)) + 1)
    places = starts[:, :, None] + steps[:, None] * outward[:, None, None]
    flat = places.reshape(len(starts), -1, 2).astype(np.float32)
    levels = cv2.remap(
        smooth, flat[..., 0], flat[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    slopes = np.diff(levels.reshape(*places.shape[:3]), axis=2)
    slopes = np.maximum(slopes * np.sign(slopes.sum()), 0.0)
    # What noise gives is a broad carpet below the step.
    slopes = np.maximum(slopes - 0.25 * slopes.max(axis=2, keepdims=True), 0.0)
    middles = (steps[1:] + steps[:-1]) / 2
    return np.asarray((slopes @ middles) / np.maximum(slopes.sum(axis=2), 1e-6), np.float64)


def _line(points: Floats) -> Floats:
    """Homogeneous line (3,) through points (N, 2), by weights that leave out strays."""
    x, y, middle_x, middle_y = cv2.fitLine(points.astype(np.float32), cv2.DIST_HUBER, 0, 0.01, 0.01).ravel()
    return np.array([y, -x, x * middle_y - y * middle_x], np.float64)


def _crossing(first: Floats, second: Floats) -> Floats:
    x, y, w = np.cross(first, second)
    return np.array([x, y]) / w if abs(w) > 1e-9 else np.array([np.inf, np.inf])
