"""What is in a scene: from what lies beside its images, or from what a teacher finds."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from ivfusion_ros.detection.given import Objects, given_objects
from ivfusion_ros.errors import DataError
from ivfusion_ros.graphs.yolo import box_iou

if TYPE_CHECKING:
    import numpy.typing as npt

    from ivfusion_ros.detection.classes import ClassMap
    from ivfusion_ros.sources.scenes import Scene
    from ivfusion_ros.training.detector.teacher import Teacher
    from ivfusion_ros.types import Boxes, Floats32, Image

_APART = 0.4
"""Share of the smaller of two boxes from which on they may be one object."""
_AGREED = 0.5
"""Overlap from which on a labelled and a found box of one class are the same object's."""


def label(
    scene: Scene,
    images: list[Image],
    teacher: Teacher | None,
    class_map: ClassMap,
    *,
    complete: bool,
) -> Objects:
    """The objects in a scene; images: (H, W, 3) RGB views of it for the teacher. Raises DataError.

    complete: whether the teacher mends what a map of labels says, where it is sure: a map's outlines are
    coarse (people end at their ankles, vans begin beside their roofs), and it leaves objects out. Nobody
    should be judged by what a teacher found.
    """
    size = images[0].shape[1], images[0].shape[0]
    divides = teacher is not None and scene.boxes is None and scene.labels is not None
    given = given_objects(scene, size, class_map, teacher(images) if teacher and divides else None)
    if given is not None:
        if teacher is None or not (divides and complete):
            return given
        found = teacher.objects(images)
        return _with_missed(_outlined(given, *found), *found)
    if teacher is None:
        raise DataError(
            f"nothing says what is in {scene.image}: no map of it in labels/, no file of boxes; give a "
            "detector as --teacher to label it"
        )
    return Objects(*teacher.objects(images), Counter())


def _outlined(given: Objects, boxes: Boxes, class_ids: npt.NDArray[np.int64]) -> Objects:
    """Given objects, with the found box those that were found too: each is the other's best match."""
    overlaps = box_iou(given.boxes[:, None], boxes) * (given.class_ids[:, None] == class_ids)
    outlined = given.boxes.copy()
    for number, row in enumerate(overlaps):
        best = row.argmax() if row.size else 0
        if row.max(initial=0) > _AGREED and overlaps[:, best].argmax() == number:
            outlined[number] = boxes[best]
    return Objects(outlined, given.class_ids, given.left_out)


def _with_missed(given: Objects, boxes: Boxes, class_ids: npt.NDArray[np.int64]) -> Objects:
    """Given objects, and those found that none of the given ones is a part of or has as a part."""
    apart = np.array([_shared(box, given.boxes).max(initial=0) < _APART for box in boxes], bool)
    return Objects(
        np.concatenate([given.boxes, boxes[apart]]),
        np.concatenate([given.class_ids, class_ids[apart]]),
        given.left_out,
    )


def _shared(box: Boxes, others: Boxes) -> Floats32:
    """(N,) areas that a box shares with others, over the smaller area of the two."""
    sides = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])
    areas = np.minimum((box[2:] - box[:2]).prod(), (others[:, 2:] - others[:, :2]).prod(1))
    shares: Floats32 = np.clip(sides, 0, None).prod(1) / np.maximum(areas, 1e-6)
    return shares
