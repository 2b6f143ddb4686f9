"""The detector with reference weights on real street scenes."""

import cv2
import numpy as np
import pytest
from detector_samples import overlap
from places import SHARED

from ivfusion_ros.backends import load_backend
from ivfusion_ros.config.pipeline import DetectionConfig
from ivfusion_ros.detection import Detector

REFERENCE = SHARED / "reference" / "yolov5n_coco_480x640.onnx"
MSRS = SHARED / "data" / "msrs"

needs_reference = pytest.mark.skipif(not REFERENCE.exists(), reason="no ../shared/reference")
needs_scenes = pytest.mark.skipif(not MSRS.exists(), reason="no ../shared/data/msrs")
LABELS = {1: {"car", "truck", "bus"}, 2: {"person"}}


def day_scenes(count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """(RGB image, label image) pairs from all over the recordings."""
    paths = sorted(MSRS.glob("rgb/*D.webp"))
    scenes = []
    for path in paths[:: len(paths) // count][:count]:
        image = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
        scenes.append((image, cv2.imread(str(MSRS / "labels" / f"{path.stem}.png"), cv2.IMREAD_GRAYSCALE)))
    return scenes


def large_objects(labels: np.ndarray) -> list[tuple[int, tuple]]:
    """(label, box) of the cars above 2500 pixels and people above 1200."""
    objects = []
    for label, least in ((1, 2500), (2, 1200)):
        count, _, stats, _ = cv2.connectedComponentsWithStats((labels == label).astype(np.uint8))
        for x, y, width, height, area in stats[1:count].tolist():
            if area >= least:
                objects.append((label, (x, y, x + width, y + height)))
    return objects


@needs_reference
@needs_scenes
@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_finds_people_and_cars_in_day_scenes(backend: str) -> None:
    pytest.importorskip(backend)
    config = DetectionConfig(classes=("person", "car", "truck", "bus"))
    detector = Detector(load_backend(REFERENCE, backend, threads=1), config)
    hits, wrong_place = {1: [], 2: []}, 0
    for image, labels in day_scenes(30):
        found = detector(image)
        for label, box in large_objects(labels):
            hits[label].append(
                any(
                    detector.class_names[class_id] in LABELS[label] and overlap(tuple(other), box) > 0.4
                    for other, class_id in zip(found.boxes_xyxy.tolist(), found.class_ids, strict=True)
                )
            )
        sure = found.boxes_xyxy[found.scores > 0.6].astype(int)
        wrong_place += sum(not np.isin(labels[t:b, left:r], (1, 2)).any() for left, t, r, b in sure)
    assert len(hits[1]) >= 10 and len(hits[2]) >= 10
    assert np.mean(hits[1]) >= 0.85
    assert np.mean(hits[2]) >= 0.85
    assert wrong_place <= 2


@needs_reference
@needs_scenes
def test_other_image_sizes_give_the_same_objects() -> None:
    backend = load_backend(REFERENCE, "onnxruntime", threads=1)
    sure = Detector(backend, DetectionConfig(confidence=0.5))
    detector = Detector(backend, DetectionConfig(confidence=0.2))
    matched = []
    for image, _ in day_scenes(8):
        # Half again as large, then a grey band on the right: scale, centring and padding all matter.
        large = cv2.resize(image, (960, 720))
        found = detector(cv2.copyMakeBorder(large, 0, 0, 0, 90, cv2.BORDER_CONSTANT, value=[114] * 3))
        expected = sure(image)
        for box, class_id in zip(expected.boxes_xyxy, expected.class_ids, strict=True):
            rivals = found.boxes_xyxy[found.class_ids == class_id] / 1.5
            matched.append(max((overlap(tuple(box), tuple(rival)) for rival in rivals), default=0.0) > 0.7)
    assert len(matched) >= 10
    assert np.mean(matched) >= 0.85
