"""How far the picture moves because the camera turns."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from ivfusion_ros.types import Floats, Floats32, Image

_SIZE = 128, 96
"""Pixels of the small pictures that are compared: a fifth of 640x480, and lengths that an FFT likes."""
_MIN_AGREEMENT = 0.5
"""Correlation of two pictures, one shifted, from which the shift is believed. Turning cameras give 0.64 and
more; a colour picture after a thermal one, as when a camera falls silent, up to 0.3."""
_MIN_OVERLAP = 0.3
"""Share of the picture that must be left to compare."""


class CameraMotion:
    """Shifts between successive images, by phase correlation (Kuglin and Hines, 1975) of small copies.

    One shift for the whole picture: a camera's roll and approach are left to the tracks' own motion.
    """

    def __init__(self) -> None:
        self._window = cv2.createHanningWindow(_SIZE, cv2.CV_32F)
        self._last: Floats32 | None = None

    def __call__(self, image: Image) -> Floats:
        """The shift from the last image to this one, (2,) pixels x and y; zero where it cannot be told.

        image: (H, W, 3), any size.
        """
        height, width = image.shape[:2]
        small = cv2.resize(image, _SIZE, interpolation=cv2.INTER_AREA)
        grey = np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), np.float32)
        grey -= grey.mean()  # brightness under the window would be structure that stands still
        last, self._last = self._last, grey
        if last is None:
            return np.zeros(2)
        (x, y), _ = cv2.phaseCorrelate(last, grey, self._window)
        found = _agreement(last, grey, round(x), round(y))
        if found < max(_MIN_AGREEMENT, _agreement(last, grey, 0, 0)):
            return np.zeros(2)
        return np.array([x * width, y * height]) / _SIZE


def _agreement(last: Floats32, grey: Floats32, x: int, y: int) -> float:
    """Correlation coefficient of two pictures where the first, moved by x and y, covers the second.

    0 where that is little or featureless.
    """
    height, width = last.shape
    if max(0, width - abs(x)) * max(0, height - abs(y)) < _MIN_OVERLAP * last.size:
        return 0.0
    first = last[max(0, -y) : height - max(0, y), max(0, -x) : width - max(0, x)]
    second = grey[max(0, y) : height + min(0, y), max(0, x) : width + min(0, x)]
    first, second = first - first.mean(), second - second.mean()
    power = float(np.vdot(first, first)) * float(np.vdot(second, second))
    return float(np.vdot(first, second)) / np.sqrt(power) if power > 0 else 0.0
