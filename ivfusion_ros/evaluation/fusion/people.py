"""The people in a pair, and whether its fused image still shows them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from ivfusion_ros.errors import DataError
from ivfusion_ros.evaluation.fusion.names import FADED, FAINT, PEOPLE
from ivfusion_ros.images.files import read_image
from ivfusion_ros.images.labels import read_boxes
from ivfusion_ros.images.objects import boxes_of
from ivfusion_ros.metrics.eye import contrasts, target_contrast

if TYPE_CHECKING:
    from pathlib import Path

    from ivfusion_ros.metrics.flicker import Moment
    from ivfusion_ros.types import Boxes

MIN_RATIO, MIN_LEVELS = 0.8, 10.0
"""Of the better source's contrast, below which one has faded; grey levels, below which one is faint."""

_PERSON = 0
"""The class id of a person, in boxes of YOLO's form and in those of a map of MSRS's class ids."""


def people_scores(moment: Moment, path: Path | None) -> dict[str, float]:
    """PEOPLE, FADED and FAINT of a fused image; NaN where nobody is there, or no file says who.

    path: as in read_people. Raises ImageError and DataError.
    """
    boxes = np.zeros((0, 4), np.float32) if path is None else read_people(path, moment[2].shape)
    ratios, levels = target_contrast(*moment, boxes), contrasts(moment[2], boxes)
    known = np.isfinite(ratios)
    if not known.any():
        return dict.fromkeys((PEOPLE, FADED, FAINT), math.nan)
    return {
        PEOPLE: float(np.count_nonzero(known)),
        FADED: float(np.mean(ratios[known] < MIN_RATIO)),
        FAINT: float(np.mean(levels[known] < MIN_LEVELS)),
    }


def read_people(path: Path, shape: tuple[int, ...]) -> Boxes:
    """(N, 4) boxes in pixels of an image of (height, width), from a file of boxes or a map of class ids.

    Raises ImageError and DataError.
    """
    if path.suffix == ".txt":
        boxes, class_ids = read_boxes(path, (shape[1], shape[0]))
    else:
        labels = read_image(path)
        if labels.shape != shape or labels.dtype != np.uint8:
            raise DataError(
                f"{path} is {labels.dtype} {labels.shape}, expected class ids as uint8 of the images' "
                f"shape, {shape}"
            )
        boxes, class_ids = boxes_of(np.asarray(labels, np.uint8), {})
    return np.asarray(boxes[class_ids == _PERSON], np.float32)
