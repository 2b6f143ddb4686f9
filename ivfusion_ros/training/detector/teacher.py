"""A detector of COCO's classes as a second opinion on what is in a pair."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from ivfusion_ros.backends.choice import load_backend
from ivfusion_ros.config.pipeline import DetectionConfig
from ivfusion_ros.detection import Detector
from ivfusion_ros.detection.classes import CLASS_NAMES
from ivfusion_ros.detection.nms import suppress
from ivfusion_ros.errors import ModelError
from ivfusion_ros.graphs.yolo import box_iou
from ivfusion_ros.images.objects import RULES, Hints

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from ivfusion_ros.types import Boxes, Image

_MSRS_MEANING = {"truck": "car", "bus": "car", "motorcycle": "bicycle"}
"""What MSRS's labels call the classes that they do not have."""

_MIN_SCORE = 0.3
_OVERLAP = 0.55
"""Boxes of one class over this are one object; people side by side overlap by less."""

_MIN_VIEW_SCORE = 0.1
"""Of a box in one of several views, whose mean decides."""
_SURE, _AGREED = 0.45, 0.3
"""Mean score over the views of one image that makes an object; of two images that agree on one."""
_SAME = 0.7
"""Boxes of two classes over this are one object."""


class _Found(NamedTuple):
    """boxes (N, 4), scores (N,), class ids (N,) of CLASS_NAMES, and from which image each is (N,)."""

    boxes: Boxes
    scores: npt.NDArray[np.float32]
    class_ids: npt.NDArray[np.int64]
    image: npt.NDArray[np.int64]


class Teacher:
    """What a detector finds in several images of one scene, taken together."""

    def __init__(self, model: Path, backend: str = "auto", threads: int = 0) -> None:
        """Load an ONNX detector. Raises ModelError where it knows none of the classes, BackendError."""
        self.model = model
        config = DetectionConfig(confidence=_MIN_VIEW_SCORE, iou=_OVERLAP, max_detections=300)
        self._detector = Detector(load_backend(model, backend, threads=threads), config)
        self._detector.check_alone()
        names = self._detector.class_names
        self._class_ids = np.array([_place(name) for name in names])
        self._msrs_ids = np.array([_place(_MSRS_MEANING.get(name, name), len(RULES)) for name in names])
        if (self._class_ids < 0).all():
            raise ModelError(
                f"{model} finds {', '.join(names[:5])}, ...; a teacher must know some of "
                f"{', '.join(CLASS_NAMES)}"
            )

    def __call__(self, images: Iterable[Image]) -> dict[int, Hints]:
        """Boxes by class id as MSRS's labels have them, best first, in images that show the same scene.

        images: (H, W, 3) RGB, of one size.
        """
        found = self._find([[image] for image in images], self._msrs_ids)
        sure = found.scores >= _MIN_SCORE
        boxes, scores, class_ids = found.boxes[sure], found.scores[sure], found.class_ids[sure]
        keep = suppress(boxes, scores, class_ids, _OVERLAP, 300)
        boxes, scores, class_ids = boxes[keep], scores[keep], class_ids[keep]
        return {
            class_id: Hints(boxes[class_ids == class_id], scores[class_ids == class_id])
            for class_id in range(len(RULES))
        }

    def objects(self, images: Sequence[Image]) -> tuple[Boxes, npt.NDArray[np.int64]]:
        """(N, 4) boxes and (N,) ids of CLASS_NAMES that images of the same scene agree on.

        Each is looked at as it is and mirrored. An object counts whose mean score over both views is high
        in one image, or fair in two. Of two classes on one object the surer one stays.
        """
        return _agreed(self._find([(image, image[:, ::-1]) for image in images], self._class_ids))

    def _find(self, views: Sequence[Sequence[Image]], ids: npt.NDArray[np.int64]) -> _Found:
        """All that is found in the views of each image; a second view is mirrored."""
        parts: list[_Found] = []
        for number, looks in enumerate(views):
            for mirrored, look in enumerate(looks):
                found = self._detector(np.ascontiguousarray(look))
                boxes = _mirrored(found.boxes_xyxy, look.shape[1]) if mirrored else found.boxes_xyxy
                image = np.full(len(found), number)
                parts.append(
                    _Found(boxes, found.scores / np.float32(len(looks)), ids[found.class_ids], image)
                )
        known = np.concatenate([part.class_ids for part in parts]) >= 0
        return _Found(
            boxes=np.concatenate([part.boxes for part in parts])[known],
            scores=np.concatenate([part.scores for part in parts])[known],
            class_ids=np.concatenate([part.class_ids for part in parts])[known],
            image=np.concatenate([part.image for part in parts])[known],
        )

    def close(self) -> None:
        """Free the model."""
        self._detector.close()


def _place(name: str, known: int = len(CLASS_NAMES)) -> int:
    return CLASS_NAMES.index(name) if name in CLASS_NAMES[:known] else -1


def _mirrored(boxes: Boxes, width: int) -> Boxes:
    result = boxes.copy()
    result[:, [0, 2]] = width - boxes[:, [2, 0]]
    return result


def _agreed(found: _Found) -> tuple[Boxes, npt.NDArray[np.int64]]:
    objects: list[tuple[float, Boxes, int]] = []
    rest = np.argsort(-found.scores, kind="stable")
    while len(rest):
        best = rest[0]
        alike = box_iou(found.boxes[best], found.boxes[rest]) > _OVERLAP
        alike &= found.class_ids[rest] == found.class_ids[best]
        group, rest = rest[alike], rest[~alike]
        by_image = np.bincount(found.image[group], found.scores[group])
        if by_image.max() >= _SURE or np.count_nonzero(by_image >= _AGREED) >= 2:
            box = np.average(found.boxes[group], axis=0, weights=found.scores[group]).astype(np.float32)
            objects.append((float(by_image.max()), box, int(found.class_ids[best])))
    objects.sort(key=lambda item: -item[0])
    kept: list[tuple[Boxes, int]] = []
    for _, box, class_id in objects:
        if all(box_iou(box, other[None])[0] <= _SAME for other, _ in kept):
            kept.append((box, class_id))
    boxes = np.array([box for box, _ in kept], np.float32).reshape(-1, 4)
    return boxes, np.array([class_id for _, class_id in kept], np.int64)
