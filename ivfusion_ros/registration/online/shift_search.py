"""A wide, coarse search for the shift between two edge structures, averaged over time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from ivfusion_ros.registration.online.edges import Structure
    from ivfusion_ros.types import Floats, Floats32

STEP_PX = 4
"""Pixels of the structures per step of the search."""

_REACH = 4
"""Steps to each side; the outermost only show that a peak ends."""


class ShiftSearch:
    """Correlation of two structures for shifts of up to 16 px, kept while the images move."""

    def __init__(self) -> None:
        self._surface: Floats32 | None = None

    def observe(self, still: Structure, moving: Structure, share: float) -> None:
        """Add a frame with a share in [0, 1].

        moving: (2, h, w); still may have fewer rows of as many, and is zero where it shall not count.
        """
        size = (moving.shape[2] // STEP_PX, moving.shape[1] // STEP_PX)
        fixed, other = (
            cv2.merge([cv2.resize(plane, size, interpolation=cv2.INTER_AREA) for plane in image])
            for image in (still, moving)
        )
        inner = np.ascontiguousarray(np.asarray(fixed)[_REACH:-_REACH, _REACH:-_REACH])
        power = float(np.vdot(inner, inner)) * float(np.vdot(other, other))
        surface = np.asarray(cv2.matchTemplate(other, inner, cv2.TM_CCORR), np.float32)
        surface /= np.float32(max(power, 1e-12) ** 0.5)
        old = self._surface
        self._surface = surface if old is None else old + np.float32(share) * (surface - old)

    def content_moved(self, displacement: Floats) -> None:
        """The moving image is warped by another (2,) px more from now on."""
        if self._surface is not None:
            (x, y), side = displacement / STEP_PX, 2 * _REACH + 1
            shift = np.array([[1.0, 0.0, x], [0.0, 1.0, y]])
            self._surface = np.asarray(
                cv2.warpAffine(self._surface, shift, (side, side), borderMode=cv2.BORDER_REPLICATE),
                np.float32,
            )

    def best(self) -> tuple[Floats, float]:
        """By how much the moving image's content must move to fit, (2,) px, and the peak's contrast.

        Contrast is the peak's correlation above the median one: 0 for none, about 0.2 for a true match.
        """
        surface = self._surface
        if surface is None:
            return np.zeros(2), 0.0
        row, column = divmod(int(surface.argmax()), 2 * _REACH + 1)
        if not (0 < row < 2 * _REACH and 0 < column < 2 * _REACH):
            return np.zeros(2), 0.0
        around = surface[row - 1 : row + 2, column - 1 : column + 2].astype(np.float64)
        peak = np.array([column, row]) - _REACH + [_vertex(around[1]), _vertex(around[:, 1])]
        return -peak * STEP_PX, float(around[1, 1]) - _median(surface)

    def contrast_here(self) -> float:
        """Of the place where the images are, peak or not."""
        surface = self._surface
        return 0.0 if surface is None else float(surface[_REACH, _REACH]) - _median(surface)


def _median(surface: Floats32) -> float:
    # Of an odd number of values; np.median takes several times as long.
    return float(np.partition(surface.ravel(), surface.size // 2)[surface.size // 2])


def _vertex(values: Floats) -> float:
    """Place of a parabola's top through values at -1, 0 and 1."""
    curvature = 2 * values[1] - values[0] - values[2]
    return float((values[2] - values[0]) / (2 * curvature)) if curvature > 0 else 0.0
