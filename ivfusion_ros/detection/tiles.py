"""Looking at an image in overlapping tiles, for objects too small for the network's input."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ivfusion_ros.types import Boxes, Mask, Size

OVERLAP = 0.2
"""Share of a tile that its neighbour shows too: an object up to this size is whole in one of them."""
_AT_BORDER_PX = 2.0

Window = tuple[int, int, int, int]
"""Left, top, right, bottom in pixels."""


def tile_windows(size: Size, count: int) -> list[Window]:
    """Tiles of one size that cover an image of (width, height), row by row.

    count: tiles along the longer side; along the shorter one as many as leave them about square.
    """
    short = max(1, round(count * min(size) / max(size)))
    counts = (count, short) if size[0] >= size[1] else (short, count)
    columns, rows = (_spans(side, number) for side, number in zip(size, counts, strict=True))
    return [(left, top, right, bottom) for top, bottom in rows for left, right in columns]


def _spans(side: int, count: int) -> list[tuple[int, int]]:
    """So many stretches of one length, that overlap by OVERLAP, over a side in pixels."""
    length = min(side, int(np.ceil(side / (count - (count - 1) * OVERLAP))))
    starts = np.linspace(0, side - length, count).round().astype(int).tolist()
    return [(start, start + length) for start in starts]


def whole_in(window: Window, boxes: Boxes, size: Size) -> Mask:
    """(N,) bool, boxes in a tile's pixels that are not cut by a side of it inside the image.

    A neighbour, or the whole image, shows what is cut here.
    """
    left, top, right, bottom = window
    cut = (boxes[:, 0] < _AT_BORDER_PX) & (left > 0)
    cut |= (boxes[:, 1] < _AT_BORDER_PX) & (top > 0)
    cut |= (boxes[:, 2] > right - left - _AT_BORDER_PX) & (right < size[0])
    cut |= (boxes[:, 3] > bottom - top - _AT_BORDER_PX) & (bottom < size[1])
    return np.asarray(~cut)
