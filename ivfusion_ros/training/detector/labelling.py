"""What is in a scene: from a file of boxes, from a map of class ids, or from what a teacher finds."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from ivfusion_ros.errors import DataError
from ivfusion_ros.images.files import read_image
from ivfusion_ros.images.labels import read_boxes, read_voc
from ivfusion_ros.images.objects import boxes_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from ivfusion_ros.training.detector.sources import Scene
    from ivfusion_ros.training.detector.teacher import Teacher
    from ivfusion_ros.types import Boxes, Image, Size


class Objects(NamedTuple):
    """boxes: (N, 4) float32, left, top, right, bottom in pixels. class_ids: (N,) of the data set's classes.

    left_out: objects of classes that the class map does not have.
    """

    boxes: Boxes
    class_ids: npt.NDArray[np.int64]
    left_out: int = 0


def label(
    scene: Scene,
    images: list[Image],
    teacher: Teacher | None,
    class_map: Mapping[int, int],
    class_names: Sequence[str],
) -> Objects:
    """The objects in a scene; images: (H, W, 3) RGB views of it for the teacher. Raises DataError."""
    size = images[0].shape[1], images[0].shape[0]
    if scene.boxes is not None and scene.boxes.suffix == ".xml":
        return _named(scene.boxes, class_names)
    if scene.boxes is not None:
        return _mapped(scene.boxes, size, class_map)
    if scene.labels is not None:
        labels = _read_map(scene.labels, images[0].shape[:2])
        return Objects(*boxes_of(labels, teacher(images) if teacher is not None else {}))
    if teacher is None:
        raise DataError(
            f"nothing says what is in {scene.image}: no map of it in labels/, no folder boxes/; give a "
            "detector as --teacher to label it"
        )
    return Objects(*teacher.objects(images))


def _mapped(path: Path, size: Size, class_map: Mapping[int, int]) -> Objects:
    if not path.exists():
        # As ultralytics has it: an image without a file shows nothing.
        return Objects(np.zeros((0, 4), np.float32), np.zeros(0, np.int64))
    boxes, numbers = read_boxes(path, size)
    known = np.array([number in class_map for number in numbers.tolist()], bool)
    class_ids = np.array([class_map[number] for number in numbers[known].tolist()], np.int64)
    return Objects(boxes[known], class_ids, int(np.count_nonzero(~known)))


def _named(path: Path, class_names: Sequence[str]) -> Objects:
    boxes, words = read_voc(path)
    known = np.array([word in class_names for word in words], bool)
    class_ids = np.array([class_names.index(word) for word in words if word in class_names], np.int64)
    return Objects(boxes[known], class_ids, int(np.count_nonzero(~known)))


def _read_map(path: Path, shape: tuple[int, ...]) -> npt.NDArray[np.uint8]:
    labels = read_image(path)
    if labels.shape != shape or labels.dtype != np.uint8:
        raise DataError(
            f"{path} is {labels.dtype} {labels.shape}, expected class ids as uint8 of the RGB image's "
            f"shape, {shape}"
        )
    return np.asarray(labels, np.uint8)
