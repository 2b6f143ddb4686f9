"""How hot detected objects are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ivfusion_ros.detection.native_boxes import pixels_in

if TYPE_CHECKING:
    from collections.abc import Callable

    from ivfusion_ros.types import AnyImage, Boxes, Floats32


def box_temperatures(
    counts: AnyImage, boxes: Boxes, kelvin: Callable[[AnyImage], Floats32]
) -> tuple[Floats32, Floats32]:
    """Maximum and mean over all pixels of each box, (N,) kelvin each; NaN for a box without pixels.

    counts: (H, W) thermal image as sent, radiometric. boxes: in its pixels. kelvin: counts to kelvin. The
    mean includes the background that the box shows around the object.
    """
    hottest, mean = np.full(len(boxes), np.nan, np.float32), np.full(len(boxes), np.nan, np.float32)
    for index in np.flatnonzero(np.isfinite(boxes).all(axis=1)):
        patch = kelvin(counts[pixels_in(boxes[index].astype(np.float64), counts.shape)])
        if patch.size:
            hottest[index] = patch.max()
            mean[index] = patch.mean(dtype=np.float64)
    return hottest, mean
