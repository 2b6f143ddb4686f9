"""What is in a scene by what lies beside its images: a file of boxes, or a map of class ids."""

from __future__ import annotations

import logging
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from ivfusion_ros.detection.classes import CLASS_NAMES, LEFT_OUT, usual_map
from ivfusion_ros.errors import DataError
from ivfusion_ros.images.files import read_image
from ivfusion_ros.images.labels import numbers_of, read_objects
from ivfusion_ros.images.objects import Hints, boxes_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from ivfusion_ros.detection.classes import ClassMap
    from ivfusion_ros.sources.scenes import Scene
    from ivfusion_ros.types import Boxes, Size


log = logging.getLogger(__name__)

_ON_PURPOSE = " on purpose"
_WITHOUT_AREA = "without area in the image"
_NAMELESS = "without the name of a class"


class Objects(NamedTuple):
    """boxes: (N, 4) float32, left, top, right, bottom in pixels. class_ids: (N,) of the data set's classes.

    left_out: objects that are none of them, by the reason. keys: those of the class map that objects had.
    """

    boxes: Boxes
    class_ids: npt.NDArray[np.int64]
    left_out: Counter[str]
    keys: frozenset[int | str] = frozenset()


class Account:
    """What is left out of many scenes, and what of a class map none of them needs."""

    def __init__(self, class_map: ClassMap) -> None:
        self._map = class_map
        self._left_out: Counter[str] = Counter()
        self._keys: set[int | str] = set()
        self._scenes = 0

    def add(self, objects: Objects) -> None:
        """One more scene."""
        self._left_out += objects.left_out
        self._keys |= objects.keys
        self._scenes += 1

    def tell(self, scenes: int) -> None:
        """Log it. scenes: how many there are; a map is judged only if all of them were looked at."""
        if self._left_out:
            level = logging.INFO if _explained(self._left_out) else logging.WARNING
            log.log(level, "%s", told(self._left_out, self._map))
        unused = [str(key) for key in self._map.ids if key not in self._keys]
        if self._map.path is not None and unused and self._scenes == scenes:
            log.warning(
                "%s names %s, which no box of these %d scenes is", self._map.path, ", ".join(unused), scenes
            )


def given_objects(
    scene: Scene, size: Size, class_map: ClassMap, hints: Mapping[int, Hints] | None = None
) -> Objects | None:
    """The objects in a scene of (width, height); None where nothing lies beside its images.

    hints: a teacher's boxes by class id, which divide regions of a map. Raises DataError.
    """
    if scene.boxes is not None:
        boxes, words = read_objects(scene.boxes, scene.images, size, scene.names)
        return known_objects(boxes, words, size, class_map, numbers_of(scene.boxes, scene.names))
    if scene.labels is not None:
        boxes, class_ids = boxes_of(_read_map(scene.labels, size), hints or {})
        # Maps are MSRS's: no class map of a file's words says what is in them.
        words = [CLASS_NAMES[class_id] for class_id in class_ids]
        return known_objects(boxes, words, size, usual_map(class_map.names), {})
    return None


def words_and_ids(scene: Scene, class_map: ClassMap) -> tuple[Sequence[int | str], list[int]]:
    """What the file of a scene's boxes calls their classes, and their ids. Raises DataError."""
    assert scene.boxes is not None
    words = read_objects(scene.boxes, scene.images, (1, 1), scene.names)[1]
    numbers = numbers_of(scene.boxes, scene.names)
    keys = [class_map.key(word, numbers) for word in words]
    return words, [LEFT_OUT if key is None else class_map.ids[key] for key in keys]


def known_objects(
    boxes: Boxes,
    words: Sequence[int | str],
    size: Size,
    class_map: ClassMap,
    numbers: Mapping[str, int],
) -> Objects:
    """Boxes of known classes, cut at the border of an image of (width, height).

    words: what their file calls them. numbers: the set's own, by its names in small letters.
    """
    keys = [class_map.key(word, numbers) for word in words]
    ids = [LEFT_OUT if key is None else class_map.ids[key] for key in keys]
    class_ids = np.array(ids, np.int64)
    cut = np.clip(boxes, 0, np.array([*size, *size], np.float32)).astype(np.float32)
    inside = np.logical_and.reduce(cut[:, 2:] > cut[:, :2], axis=1)
    left_out = Counter(
        (f"of class {word}" if word != "" else _NAMELESS) + ("" if key is None else _ON_PURPOSE)
        for word, key, class_id in zip(words, keys, ids, strict=True)
        if class_id == LEFT_OUT
    )
    known = class_ids != LEFT_OUT
    if not inside[known].all():
        left_out[_WITHOUT_AREA] = int(np.count_nonzero(~inside & known))
    met = frozenset(key for key in keys if key is not None)
    return Objects(cut[known & inside], class_ids[known & inside], left_out, met)


def told(left_out: Counter[str], class_map: ClassMap) -> str:
    """`2 boxes are left out: 1 of class dog, 1 without area in the image`, and what says what dogs are."""
    reasons = ", ".join(f"{count} {reason}" for reason, count in left_out.most_common())
    text = f"{left_out.total()} boxes are left out: {reasons}"
    if _explained(left_out):
        return text
    says = "a class map says" if class_map.path is None else f"{class_map.path} does not say"
    return f"{text} (known: {class_map.listed}); {says} what they are"


def _explained(left_out: Counter[str]) -> bool:
    """Whether no class map could change it."""
    return all(reason.endswith((_ON_PURPOSE, _WITHOUT_AREA, _NAMELESS)) for reason in left_out)


def _read_map(path: Path, size: Size) -> npt.NDArray[np.uint8]:
    labels, shape = read_image(path), (size[1], size[0])
    if labels.shape != shape or labels.dtype != np.uint8:
        raise DataError(
            f"{path} is {labels.dtype} {labels.shape}, expected class ids as uint8 of the RGB image's "
            f"shape, {shape}"
        )
    return np.asarray(labels, np.uint8)
