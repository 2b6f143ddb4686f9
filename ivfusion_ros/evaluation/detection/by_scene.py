"""What each method's image of each scene showed the detector, scene by scene; JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ivfusion_ros.evaluation.detection.precision import false_alarms, missed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ivfusion_ros.evaluation.detection.find import Found
    from ivfusion_ros.evaluation.detection.scenes import Truth
    from ivfusion_ros.evaluation.fusion.tables import Row
    from ivfusion_ros.types import Boxes, Floats


def scene_rows(
    truths: Sequence[Truth],
    found: Mapping[str, list[Found]],
    class_names: Sequence[str],
    thresholds: Floats,
) -> list[Row]:
    """A row a scene and method: objects, those missed, false alarms, boxes of what is reported and missed.

    truths[i] belongs to found[method][i]. thresholds: (classes,) scores from which objects are
    reported.
    """
    rows = []
    for method, items in found.items():
        misses = missed(truths, items, class_names, thresholds)
        alarms = false_alarms(truths, items, class_names, thresholds)
        for truth, item, places, wrong in zip(truths, items, misses, alarms, strict=True):
            rows.append(
                {
                    "data": item.scene.pair.data,
                    "scene": item.scene.pair.stem,
                    "images": method,
                    "size": list(item.size),
                    "objects": len(truth.class_ids),
                    "missed": len(places),
                    "false_alarms": wrong,
                    "boxes": _reported(item, thresholds),
                    "missed_boxes": [
                        {
                            "class": class_names[truth.class_ids[place]],
                            "box_xyxy": _box(truth.boxes_xyxy[place]),
                        }
                        for place in places
                    ],
                }
            )
    return rows


def _reported(item: Found, thresholds: Floats) -> list[Row]:
    every = item.detections
    return [
        {"class": every.class_names[class_id], "score": round(float(score), 3), "box_xyxy": _box(box)}
        for box, score, class_id in zip(every.boxes_xyxy, every.scores, every.class_ids, strict=True)
        if score >= thresholds[class_id]
    ]


def _box(box: Boxes) -> list[float]:
    return [round(float(side), 1) for side in box]
