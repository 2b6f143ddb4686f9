"""The detector against a slow, separate implementation, on outputs that are made up."""

import numpy as np
import pytest
from detector_samples import (
    CELLS,
    HEIGHT,
    IMAGE,
    NAMES,
    NOTHING,
    WIDTH,
    FakeBackend,
    classic_output,
    overlap,
    random_anchors,
    u_output,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from ivfusion_ros.config.pipeline import DetectionConfig
from ivfusion_ros.detection import Detector
from ivfusion_ros.detection.nms import suppress
from ivfusion_ros.errors import ConfigError, ImageError
from ivfusion_ros.graphs.yolo import box_iou
from ivfusion_ros.types import Detections


def slow_detections(boxes: np.ndarray, scores: np.ndarray, config: DetectionConfig) -> list[tuple]:
    """(score, class, box) of what must come out for an image of the network's size."""
    found = []
    for (cx, cy, w, h), row in zip(boxes.tolist(), scores.tolist(), strict=True):
        best = max(range(len(row)), key=row.__getitem__)
        if row[best] >= config.confidence:
            found.append((row[best], best, (cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2)))
    kept: list[tuple] = []
    for candidate in sorted(found, reverse=True):
        if all(k[1] != candidate[1] or overlap(k[2], candidate[2]) <= config.iou for k in kept):
            kept.append(candidate)
    reported = [k for k in kept if not config.classes or NAMES[k[1]] in config.classes]
    limits = (WIDTH, HEIGHT, WIDTH, HEIGHT)
    cut = [
        (score, index, tuple(min(max(side, 0), limit) for side, limit in zip(box, limits, strict=True)))
        for score, index, box in reported[: config.max_detections]
    ]
    return [k for k in cut if k[2][2] > k[2][0] and k[2][3] > k[2][1]]


def assert_same(found: Detections, expected: list[tuple]) -> None:
    assert len(found) == len(expected)
    if expected:
        np.testing.assert_allclose(found.scores, [e[0] for e in expected], rtol=1e-5)
        assert found.class_ids.tolist() == [e[1] for e in expected]
        np.testing.assert_allclose(found.boxes_xyxy, [e[2] for e in expected], atol=1e-3)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    count=st.integers(0, CELLS),
    confidence=st.sampled_from([0.05, 0.25, 0.6]),
    iou=st.sampled_from([0.0, 0.3, 0.45, 0.9, 1.0]),
    limit=st.sampled_from([1, 5, 1000]),
    classes=st.sampled_from([(), ("car",), ("bike", "person")]),
)
def test_both_heads_give_what_the_slow_way_gives(
    seed: int, count: int, confidence: float, iou: float, limit: int, classes: tuple[str, ...]
) -> None:
    config = DetectionConfig(confidence=confidence, iou=iou, max_detections=limit, classes=classes)
    rng = np.random.default_rng(seed)
    boxes, scores = random_anchors(rng, count)
    objectness = rng.uniform(0.3, 1, count)
    classic = Detector(FakeBackend(classic_output(boxes, scores, objectness)), config)
    assert_same(classic(IMAGE), slow_detections(boxes, scores * objectness[:, None], config))
    u = Detector(FakeBackend(u_output(boxes, scores)), config)
    assert_same(u(IMAGE), slow_detections(boxes, scores, config))


def test_nms_of_equal_scores_keeps_the_input_order() -> None:
    boxes = np.array([[0, 0, 9, 9], [20, 0, 29, 9], [0, 0, 9, 9], [1, 0, 10, 9]], np.float32)
    scores = np.full(4, 0.5, np.float32)
    assert suppress(boxes, scores, np.array([0, 0, 1, 0]), 0.5, 10).tolist() == [0, 1, 2]


def test_network_sees_the_image_scaled_to_one() -> None:
    for dtype, tolerance in (("float32", 1e-6), ("float16", 1e-3)):
        backend = FakeBackend(u_output(*random_anchors(np.random.default_rng(0), 0)), dtype=dtype)
        Detector(backend, DetectionConfig())(IMAGE)
        assert backend.seen[-1].dtype == dtype
        np.testing.assert_allclose(backend.seen[-1][0], IMAGE.transpose(2, 0, 1) / 255.0, atol=tolerance)


def test_boxes_are_clipped_and_padding_is_dropped() -> None:
    boxes = np.array([[48.0, 32, 500, 20], [48, 2, 20, 4], [-50, 32, 10, 10]])  # wide; in padding; outside
    scores = np.array([[0.9, 0, 0], [0.8, 0, 0], [0.7, 0, 0]])
    detector = Detector(FakeBackend(u_output(boxes, scores)), DetectionConfig())
    found = detector(np.zeros((60, 192, 3), np.uint8))  # fits as 96x30 with 17 rows of padding above
    np.testing.assert_allclose(found.boxes_xyxy, [[0, (22 - 17) * 2, 192, (42 - 17) * 2]], atol=1e-3)


def test_objects_that_leave_the_image_are_told_apart_by_what_lies_outside() -> None:
    # 60 pixels wide each, 40 of them apart; what is inside is the same for both.
    boxes = np.array([[70.0, 32, 60, 20], [110, 32, 140, 20]])
    scores = np.array([[0.9, 0, 0], [0.8, 0, 0]])
    config = DetectionConfig(iou=0.45)
    found = Detector(FakeBackend(u_output(boxes, scores)), config)(IMAGE)
    np.testing.assert_allclose(found.boxes_xyxy, [[40, 22, WIDTH, 42]] * 2, atol=1e-3)
    inside = found.boxes_xyxy
    assert len(suppress(inside, found.scores, found.class_ids, config.iou, 10)) == 1


def test_an_empty_box_overlaps_nothing() -> None:
    boxes = np.array([[5, 5, 5, 5], [5, 5, 5, 5], [9, 9, 4, 4], [0, 0, 10, 10]], np.float32)
    for box in boxes[:3]:
        np.testing.assert_array_equal(box_iou(box, boxes), 0)
    np.testing.assert_array_equal(box_iou(boxes[3], boxes), [0, 0, 0, 1])


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("poison", [np.nan, np.inf, -np.inf, 3e38])
def test_non_finite_outputs_are_dropped(poison: float) -> None:
    boxes, scores = np.array([[30.0, 30, 20, 20]]), np.array([[0.9, 0.1, 0]])
    for clean in (classic_output(boxes, scores, np.ones(1)), u_output(boxes, scores)):
        rows = clean[0] if clean.shape[1] > clean.shape[2] else clean[0].T
        for column in range(rows.shape[1]):
            rows[10 + column] = [60, 40, 10, 10, *[0.8] * (rows.shape[1] - 4)]
            rows[10 + column, column] = poison
        config = DetectionConfig(confidence=0.5, iou=0.9)
        found = Detector(FakeBackend(clean), config)(IMAGE)
        assert np.isfinite(found.boxes_xyxy).all() and np.isfinite(found.scores).all()
        assert (found.boxes_xyxy >= 0).all() and (found.boxes_xyxy <= [WIDTH, HEIGHT] * 2).all()
        assert any(np.allclose(box, [20, 20, 40, 40]) for box in found.boxes_xyxy)
        if not np.isfinite(poison):
            # A class that is -inf leaves a sound box with another class; all else is gone.
            assert len(found) == 1 or poison == -np.inf
            poisoned_boxes = np.full_like(clean, poison)
            assert len(Detector(FakeBackend(poisoned_boxes), config)(IMAGE)) == 0


def test_set_config_takes_effect_at_once() -> None:
    rng = np.random.default_rng(4)
    boxes, scores = random_anchors(rng, 100)
    detector = Detector(FakeBackend(u_output(boxes, scores)), DetectionConfig())
    every = detector(IMAGE)
    detector.set_config(DetectionConfig(classes=("car",)))
    cars = detector(IMAGE)
    chosen = every.class_ids == NAMES.index("car")
    assert 0 < chosen.sum() < len(every)
    np.testing.assert_array_equal(cars.boxes_xyxy, every.boxes_xyxy[chosen])
    detector.set_config(DetectionConfig(max_detections=2))
    np.testing.assert_array_equal(detector(IMAGE).scores, every.scores[:2])
    with pytest.raises(
        ConfigError, match=r"'cars', which the detector does not know; did you mean 'car'\?"
    ):
        detector.set_config(DetectionConfig(classes=("person", "cars")))
    assert len(detector(IMAGE)) == 2  # a refused config changes nothing


def test_wrong_image_is_named() -> None:
    detector = Detector(FakeBackend(NOTHING), DetectionConfig())
    for image in (
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 3), np.float32),
        np.zeros((0, 4, 3), np.uint8),
    ):
        with pytest.raises(ImageError, match="expected uint8"):
            detector(image)
