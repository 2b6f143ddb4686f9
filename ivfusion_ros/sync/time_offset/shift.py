"""How far a small picture has moved since a reference picture, to hundredths of a pixel."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from ivfusion_ros.types import Floats, Floats32

_BORDER = 6
_STEPS = 15
_CONVERGED_PX = 0.0002
"""A descent that stops early stops behind the picture: 0.002 px made a slow motion lag by 1 to 2 ms."""
_FLAT = 1e-6


class Reference:
    """A picture (H, W) float32 against which later ones of the same camera are measured."""

    def __init__(self, picture: Floats32) -> None:
        self._picture = picture
        self._gradient_x = _inside(cv2.Sobel(picture, cv2.CV_32F, 1, 0, scale=1 / 8))
        self._gradient_y = _inside(cv2.Sobel(picture, cv2.CV_32F, 0, 1, scale=1 / 8))
        self._small = _halved(picture)
        self._window = cv2.createHanningWindow(self._small.shape[::-1], cv2.CV_32F)

    def shift(self, picture: Floats32, guess: Floats) -> Floats:
        """(2,) x and y in pixels by which the content of `picture` lies further right and down.

        Things that move by themselves and a change of brightness are left aside as far as most of the
        picture agrees. guess: a shift to start from, e.g. that of the frame before.
        """
        peak, _ = cv2.phaseCorrelate(self._small, _halved(picture), self._window)
        start = 2.0 * np.array(peak)
        # Not a tie-break in favour of the guess: a descent that begins at the last place lags behind.
        if self._misfit(picture, guess) < 0.9 * self._misfit(picture, start):
            start = guess
        return self._descend(picture, start)

    def _residual(self, picture: Floats32, shift: Floats) -> Floats32:
        matrix = np.array([[1, 0, shift[0]], [0, 1, shift[1]]], np.float32)
        height, width = picture.shape
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        moved = cv2.warpAffine(
            picture, matrix, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE
        )
        residual = np.asarray(cv2.subtract(self._picture, moved), np.float32)
        residual -= _median(residual[::4, ::4])
        return residual

    def _misfit(self, picture: Floats32, shift: Floats) -> float:
        return float(np.mean(np.sqrt(np.abs(self._residual(picture, shift)[::2, ::2]))))

    def _descend(self, picture: Floats32, start: Floats) -> Floats:
        """Least squares with Cauchy weights."""
        shift = start.copy()
        for _ in range(_STEPS):
            residual = self._residual(picture, shift)
            scale = 2.0 * _median(np.abs(residual[::4, ::4])) + _FLAT
            weight = 1.0 / (1.0 + np.square(residual / scale))
            weighted_x, weighted_y = weight * self._gradient_x, weight * self._gradient_y
            cross = float(np.vdot(weighted_x, self._gradient_y))
            normal = np.array(
                [
                    [float(np.vdot(weighted_x, self._gradient_x)) + _FLAT, cross],
                    [cross, float(np.vdot(weighted_y, self._gradient_y)) + _FLAT],
                ]
            )
            target = np.array([np.vdot(weighted_x, residual), np.vdot(weighted_y, residual)], np.float64)
            step = np.linalg.solve(normal, target)
            shift += step
            if np.abs(step).max() < _CONVERGED_PX:
                break
        # A picture without a gradient sends the descent anywhere.
        return shift if np.abs(shift - start).max() < 4.0 else start


def _median(values: Floats32) -> float:
    """Of an even number of values the upper one of the two middle ones; np.median takes 3 times as long."""
    flat = values.ravel()
    return float(np.partition(flat, flat.size // 2)[flat.size // 2])


def _inside(gradient: npt.NDArray[np.generic]) -> Floats32:
    inner = np.zeros(gradient.shape, np.float32)
    middle = slice(_BORDER, -_BORDER)
    inner[middle, middle] = gradient[middle, middle]
    return inner


def _halved(picture: Floats32) -> Floats32:
    height, width = picture.shape
    size = (width // 2, height // 2)
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    gradient_x, gradient_y = cv2.Sobel(small, cv2.CV_32F, 1, 0), cv2.Sobel(small, cv2.CV_32F, 0, 1)
    edges = np.asarray(cv2.magnitude(gradient_x, gradient_y), np.float32)
    # A few bright lights must not outweigh the street.
    return np.asarray(np.minimum(edges, 4.0 * edges.mean()), np.float32)
