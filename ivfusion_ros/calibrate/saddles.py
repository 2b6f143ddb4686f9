"""Places where two dark and two bright fields meet, at any contrast."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from ivfusion_ros.types import Floats, Floats32

_SIGMA = 1.6
_MIN_RESPONSE = 0.25
_MOST = 500
_MOST_SLOPE = 0.9
_FLAT = 1e-3


@dataclass(frozen=True, eq=False)
class Saddles:
    """Saddles of the grey levels, the clearest first.

    points: (N, 2) pixels, integers are pixel centres. angles: (N,) radians, direction of the valley's
    steepest walls; those of two neighbours on a checkerboard are at right angles.
    strengths: (N,) curvature, grey levels.
    """

    points: Floats
    angles: Floats
    strengths: Floats

    def __len__(self) -> int:
        return len(self.points)


def find_saddles(levels: Floats32) -> Saddles:
    """Saddles of grey levels (H, W) float32; at most 500, so that a search among them ends.

    The response of a corner between four fields is about 0.6, whatever their contrast, of white noise
    less than 0.2: the curvature is taken in units of the deviation around.
    """
    smooth = np.asarray(cv2.GaussianBlur(levels, (0, 0), _SIGMA), np.float32)
    x, y, xx, yy, xy = (_derivative(smooth, *orders) for orders in ((1, 0), (0, 1), (2, 0), (0, 2), (1, 1)))
    curvature = np.sqrt(np.maximum(xy * xy - xx * yy, 0.0)) * _SIGMA**2
    response = curvature / (_deviation(levels) + _FLAT)
    # The corner of a single field has curvature as well, but on a slope.
    response[np.hypot(x, y) * _SIGMA > _MOST_SLOPE * curvature] = 0.0
    nearby = cv2.dilate(response, np.ones((5, 5), np.uint8))
    rows, columns = np.nonzero((response >= nearby) & (response > _MIN_RESPONSE))
    clearest = np.argsort(-response[rows, columns])[:_MOST]
    at = rows[clearest], columns[clearest]
    angles = 0.5 * np.arctan2(2 * xy[at], xx[at] - yy[at])
    points = np.stack(at[::-1], axis=1).astype(np.float64)
    return Saddles(points, angles.astype(np.float64), curvature[at].astype(np.float64))


def _derivative(smooth: Floats32, across: int, down: int) -> Floats32:
    """So many derivatives along x and y, levels a pixel or a square pixel."""
    kernels = {0: [0.0, 1.0, 0.0], 1: [-0.5, 0.0, 0.5], 2: [1.0, -2.0, 1.0]}
    x, y = (np.array(kernels[order], np.float32) for order in (across, down))
    return np.asarray(cv2.sepFilter2D(smooth, cv2.CV_32F, x, y), np.float32)


def _deviation(levels: Floats32) -> Floats32:
    """Standard deviation of the levels around each pixel."""
    # Of differences from the mean, for the precision of float32 at 16 bits.
    off = levels - float(levels.mean())
    mean, square = (cv2.GaussianBlur(part, (0, 0), 2 * _SIGMA) for part in (off, off * off))
    return np.asarray(np.sqrt(np.maximum(square - mean * mean, 0.0)), np.float32)
