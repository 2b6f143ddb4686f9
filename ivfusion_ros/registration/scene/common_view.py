"""The part of the visible images in which a thermal camera of a narrower view is to be looked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ivfusion_ros.registration.scene.motion import moved_points

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ivfusion_ros.types import Floats, Image

_MARGIN = 0.15
"""On either side, of the thermal image as it lies in the visible one: as far as shifts are searched."""
_WORTH = 0.6
"""A part of more than this, of the image's width or height, is looked at as a whole image."""
_MIN_SIDE_PX = 64


def common_view(
    pairs: Sequence[tuple[Image, Image]], rgb_from_thermal: Floats
) -> tuple[Sequence[tuple[Image, Image]], Floats]:
    """Pairs with visible images cut to what the thermal camera may see, and the way back.

    rgb_from_thermal: 3x3, about where thermal pixels lie. The way back: 3x3, from pixels of the cut images
    to those of the whole ones; the identity where most of the image is common.
    """
    thermal, visible = pairs[0]
    height, width = visible.shape
    right, bottom = thermal.shape[1] - 1.0, thermal.shape[0] - 1.0
    corners = np.array([[0.0, 0.0], [right, 0.0], [0.0, bottom], [right, bottom]])
    seen = moved_points(rgb_from_thermal, corners)
    margin = _MARGIN * np.ptp(seen, axis=0)
    low = np.floor(np.clip(seen.min(axis=0) - margin, 0, (width, height))).astype(int)
    high = np.ceil(np.clip(seen.max(axis=0) + margin + 1, 0, (width, height))).astype(int)
    across, down = (high - low).tolist()
    if max(across / width, down / height) > _WORTH or min(across, down) < _MIN_SIDE_PX:
        return pairs, np.eye(3)
    columns, rows = (slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    cut = [(thermal, np.ascontiguousarray(visible[rows, columns])) for thermal, visible in pairs]
    return cut, np.array([[1.0, 0.0, low[0]], [0.0, 1.0, low[1]], [0.0, 0.0, 1.0]])
