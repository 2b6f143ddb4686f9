"""A small homography after a map, as an online refinement finds it, at little cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ivfusion_ros.geometry.calibration import Remap

if TYPE_CHECKING:
    from ivfusion_ros.types import Floats, Floats32


class Corrector:
    """Changes of a map through corrections of some pixels, by the map's slopes, which are kept."""

    def __init__(self, remap: Remap) -> None:
        self._slopes = [_slopes(values) for values in (remap.map_x, remap.map_y)]
        height, width = remap.map_x.shape
        self._x = np.arange(width, dtype=np.float32)
        self._y = np.arange(height, dtype=np.float32)[:, None]

    def __call__(self, reference_from_warped: Floats) -> Remap:
        """What to add to the map so that the warped image moves by a 3x3 homography of its pixels."""
        (a, b, c), (d, e, f), (g, h, i) = np.linalg.inv(reference_from_warped).astype(np.float32)
        shift_x, shift_y = a * self._x + (b * self._y + c), d * self._x + (e * self._y + f)
        if g or h or i != 1:
            depth = g * self._x + (h * self._y + i)
            shift_x /= depth
            shift_y /= depth
        shift_x -= self._x
        shift_y -= self._y
        (xx, xy), (yx, yy) = self._slopes
        return Remap(xx * shift_x + xy * shift_y, yx * shift_x + yy * shift_y)


def _slopes(values: Floats32) -> tuple[Floats32, Floats32]:
    """By how much a map's values grow to the right and downwards; 0 beside pixels without a value."""
    down, right = np.gradient(values)
    return np.asarray(np.nan_to_num(right), np.float32), np.asarray(np.nan_to_num(down), np.float32)
