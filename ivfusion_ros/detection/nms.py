"""Non-maximum suppression per class, in numpy: small, deterministic, the same on every machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ivfusion_ros.graphs.yolo import box_iou

if TYPE_CHECKING:
    from ivfusion_ros.types import Boxes, Floats32

MAX_CANDIDATES = 4096
"""Boxes looked at, best first: bounds the time where the confidence is set to nothing."""


def suppress(
    boxes_xyxy: Boxes,
    scores: Floats32,
    class_ids: npt.NDArray[np.int64],
    iou: float,
    limit: int,
) -> npt.NDArray[np.int64]:
    """Indices of the boxes to keep, best score first, at most `limit`; ties keep their input order.

    A box goes if it overlaps a better one of its class with an intersection over union above iou.
    """
    order = np.argsort(-scores, kind="stable")[:MAX_CANDIDATES]
    boxes, classes = boxes_xyxy[order], class_ids[order]
    keep: list[int] = []
    remaining = np.arange(len(order))
    while remaining.size and len(keep) < limit:
        best, others = remaining[0], remaining[1:]
        keep.append(int(best))
        apart = box_iou(boxes[best], boxes[others]) <= iou
        remaining = others[apart | (classes[others] != classes[best])]
    return order[keep].astype(np.int64)
