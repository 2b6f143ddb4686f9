"""What is in a scene by what lies beside its images: a file of boxes, or a map of class ids."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from ivfusion_ros.detection.classes import class_ids_of
from ivfusion_ros.errors import DataError
from ivfusion_ros.images.files import read_image
from ivfusion_ros.images.labels import read_objects
from ivfusion_ros.images.objects import Hints, boxes_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from ivfusion_ros.sources.scenes import Scene
    from ivfusion_ros.types import Boxes, Size


class Objects(NamedTuple):
    """boxes: (N, 4) float32, left, top, right, bottom in pixels. class_ids: (N,) of the data set's classes.

    left_out: objects that are none of them, by the reason.
    """

    boxes: Boxes
    class_ids: npt.NDArray[np.int64]
    left_out: Counter[str]


def given_objects(
    scene: Scene,
    size: Size,
    class_map: Mapping[int | str, int],
    hints: Mapping[int, Hints] | None = None,
) -> Objects | None:
    """The objects in a scene of (width, height); None where nothing lies beside its images.

    hints: a teacher's boxes by class id, which divide regions of a map. Raises DataError.
    """
    if scene.boxes is not None:
        boxes, words = read_objects(scene.boxes, scene.images, size, scene.names)
        return _known(boxes, words, size, class_map)
    if scene.labels is not None:
        return Objects(*boxes_of(_read_map(scene.labels, size), hints or {}), Counter())
    return None


def told(left_out: Counter[str]) -> str:
    """`2 boxes are left out: 1 of class dog, 1 without area in the image`."""
    reasons = ", ".join(f"{count} {reason}" for reason, count in left_out.most_common())
    return f"{left_out.total()} boxes are left out: {reasons}"


def _known(
    boxes: Boxes, words: Sequence[int | str], size: Size, class_map: Mapping[int | str, int]
) -> Objects:
    """Boxes of known classes, cut at the image's border."""
    class_ids = class_ids_of(words, class_map)
    cut = np.clip(boxes, 0, np.array([*size, *size], np.float32)).astype(np.float32)
    inside = np.logical_and.reduce(cut[:, 2:] > cut[:, :2], axis=1)
    left_out = Counter(
        f"of class {word}" for word, class_id in zip(words, class_ids, strict=True) if class_id < 0
    )
    known = class_ids >= 0
    if not inside[known].all():
        left_out["without area in the image"] = int(np.count_nonzero(~inside & known))
    return Objects(cut[known & inside], class_ids[known & inside], left_out)


def _read_map(path: Path, size: Size) -> npt.NDArray[np.uint8]:
    labels, shape = read_image(path), (size[1], size[0])
    if labels.shape != shape or labels.dtype != np.uint8:
        raise DataError(
            f"{path} is {labels.dtype} {labels.shape}, expected class ids as uint8 of the RGB image's "
            f"shape, {shape}"
        )
    return np.asarray(labels, np.uint8)
