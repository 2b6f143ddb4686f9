"""Detections as rows that JSON can hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ivfusion_ros.types import UNTRACKED

if TYPE_CHECKING:
    from ivfusion_ros.types import Detections


def as_rows(detections: Detections) -> list[dict[str, Any]]:
    """Detections as JSON-ready rows: class, score, box_xyxy in pixels.

    With a tracker also track, null for an object too unsure to be followed. Where they are known also
    thermal_box_xyxy and rgb_box_xyxy in the pixels of each camera's own image, max_kelvin and mean_kelvin;
    null for an object that the camera does not see.
    """
    rows: list[dict[str, Any]] = [
        {
            "class": detections.class_names[int(class_id)],
            "score": round(float(score), 4),
            "box_xyxy": [round(float(side), 2) for side in box],
        }
        for box, score, class_id in zip(
            detections.boxes_xyxy, detections.scores, detections.class_ids, strict=True
        )
    ]
    if detections.track_ids is not None:
        for row, track in zip(rows, detections.track_ids, strict=True):
            row["track"] = None if track == UNTRACKED else int(track)
    for name, values in (
        ("thermal_box_xyxy", detections.thermal_boxes_xyxy),
        ("rgb_box_xyxy", detections.rgb_boxes_xyxy),
        ("max_kelvin", detections.max_kelvin),
        ("mean_kelvin", detections.mean_kelvin),
    ):
        if values is not None:
            for row, value in zip(rows, values, strict=True):
                row[name] = (
                    np.round(value.astype(np.float64), 2).tolist() if np.isfinite(value).all() else None
                )
    return rows
