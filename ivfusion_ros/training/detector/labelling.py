"""What is in a scene: from what lies beside its images, or from what a teacher finds."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from ivfusion_ros.detection.given import Objects, given_objects
from ivfusion_ros.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ivfusion_ros.sources.scenes import Scene
    from ivfusion_ros.training.detector.teacher import Teacher
    from ivfusion_ros.types import Image


def label(
    scene: Scene, images: list[Image], teacher: Teacher | None, class_map: Mapping[int | str, int]
) -> Objects:
    """The objects in a scene; images: (H, W, 3) RGB views of it for the teacher. Raises DataError."""
    size = images[0].shape[1], images[0].shape[0]
    divides = teacher is not None and scene.boxes is None and scene.labels is not None
    given = given_objects(scene, size, class_map, teacher(images) if teacher and divides else None)
    if given is not None:
        return given
    if teacher is None:
        raise DataError(
            f"nothing says what is in {scene.image}: no map of it in labels/, no file of boxes; give a "
            "detector as --teacher to label it"
        )
    return Objects(*teacher.objects(images), Counter())
