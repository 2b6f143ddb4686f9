"""A detector of COCO's classes as a second opinion on what is in a pair."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ivfusion_ros.backends import load_backend
from ivfusion_ros.config.pipeline import DetectionConfig
from ivfusion_ros.detection import Detector
from ivfusion_ros.detection.nms import suppress
from ivfusion_ros.errors import ModelError
from ivfusion_ros.training.detector.boxes import CLASS_NAMES, Hints

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from ivfusion_ros.types import Image

_MEANING = {
    "person": "person",
    "car": "car",
    "truck": "car",
    "bus": "car",
    "bicycle": "bicycle",
    "motorcycle": "bicycle",
}
"""COCO's names for what MSRS's labels call person, car and bike."""

_MIN_SCORE = 0.3
_OVERLAP = 0.55
"""Boxes of one class over this are one object; people side by side overlap by less."""


class Teacher:
    """What a detector finds in several images of one scene, taken together."""

    def __init__(self, model: Path, backend: str = "auto", threads: int = 0) -> None:
        """Load an ONNX detector. Raises ModelError where it knows none of the classes, BackendError."""
        config = DetectionConfig(confidence=_MIN_SCORE, iou=_OVERLAP, max_detections=300)
        self._detector = Detector(load_backend(model, backend, threads=threads), config)
        ids = {name: index for index, name in enumerate(CLASS_NAMES)}
        self._class_ids = np.array(
            [ids.get(_MEANING.get(name, ""), -1) for name in self._detector.class_names]
        )
        if (self._class_ids < 0).all():
            raise ModelError(
                f"{model} finds {', '.join(self._detector.class_names[:5])}, ...; a teacher must know "
                f"some of {', '.join(_MEANING)}"
            )

    def __call__(self, images: Iterable[Image]) -> dict[int, Hints]:
        """Boxes by class id, best first, in (H, W, 3) RGB images of one size that show the same scene."""
        found = [self._detector(image) for image in images]
        boxes = np.concatenate([one.boxes_xyxy for one in found])
        scores = np.concatenate([one.scores for one in found])
        class_ids = np.concatenate([self._class_ids[one.class_ids] for one in found])
        known = class_ids >= 0
        boxes, scores, class_ids = boxes[known], scores[known], class_ids[known]
        keep = suppress(boxes, scores, class_ids, _OVERLAP, 300)
        boxes, scores, class_ids = boxes[keep], scores[keep], class_ids[keep]
        return {
            class_id: Hints(boxes[class_ids == class_id], scores[class_ids == class_id])
            for class_id in range(len(CLASS_NAMES))
        }

    def close(self) -> None:
        """Free the model."""
        self._detector.close()
