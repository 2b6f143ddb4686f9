"""Black bars around a camera's images: a letterbox of its driver, or an empty border by an earlier warp."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ivfusion_ros.types import AnyImage, Mask, Window

_DARKEST = 8
"""Counts: what compression spills from the picture into a bar."""
_SPILL_PX, _SPILL_PART = 7, 32
"""How far: a block of JPEG, but no more than this part of the picture."""
_MIN_LIT = 0.75
"""The share of a line beside a bar that is lit; a head on black has no such line."""

Widths = tuple[int, int, int, int]
"""Left, top, right and bottom, pixels."""


class Bars:
    """Watches the images of one camera; a bar that has shown something is no bar from there on.

    A bar begins with a line of zeros along a whole side, and ends with a line of the picture. Of 2196
    thermal images of MSRS, RoadScene, M3SVD and HIT-UAV none has one.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget what was seen."""
        self._known: tuple[tuple[int, ...], Widths] | None = None
        """the shape of the images, and the widths of their bars"""

    def __call__(self, image: AnyImage) -> Window | None:
        """What is within the bars of an (H, W) or (H, W, 3) image; None where it has none, or is all black.

        The first image decides where bars are; one of another size is a first one again.
        """
        widths = _dark(image)
        if widths is None:
            return None
        if self._known is None or self._known[0] != image.shape:
            widths = _bars(image, widths)
        else:
            left, top, right, bottom = map(min, self._known[1], widths)
            widths = left, top, right, bottom
        self._known = image.shape, widths
        return _within(image, widths) if any(widths) else None


def _dark(image: AnyImage) -> Widths | None:
    """How far it is dark from the sides that are black; None for an image that is dark everywhere."""
    sides = image[:, 0], image[0], image[:, -1], image[-1]
    black = [not side.any() for side in sides]
    if not any(black):
        return 0, 0, 0, 0
    pixels = image if image.ndim == 2 else image.max(2)
    columns, rows = (np.flatnonzero(pixels.max(axis) > _DARKEST) for axis in (0, 1))
    if not len(rows):
        return None
    ends = columns[0], rows[0], image.shape[1] - 1 - columns[-1], image.shape[0] - 1 - rows[-1]
    left, top, right, bottom = (int(end) if side else 0 for end, side in zip(ends, black, strict=True))
    return left, top, right, bottom


def _bars(image: AnyImage, dark: Widths) -> Widths:
    """Which of the dark sides are bars."""
    left, top, right, bottom = _within(image, dark)
    lit = np.asarray(np.atleast_3d(image)[top:bottom, left:right].any(2), np.bool_)
    shares = [_straight(lines) for lines in (lit.T, lit, lit.T[::-1], lit[::-1])]
    left, top, right, bottom = (
        width if share >= _MIN_LIT else 0 for width, share in zip(dark, shares, strict=True)
    )
    return left, top, right, bottom


def _straight(lit: Mask) -> float:
    """Which share of a line is lit, of those near the first row where compression spills none."""
    near = lit[: 1 + min(_SPILL_PX, len(lit) // _SPILL_PART)]
    return float(near.mean(axis=1).max())


def _within(image: AnyImage, widths: Widths) -> Window:
    left, top, right, bottom = widths
    return left, top, image.shape[1] - right, image.shape[0] - bottom
