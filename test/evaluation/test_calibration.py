"""Thresholds at equal false alarms and what scores mean, on boxes counted by hand."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from ivfusion_ros.evaluation.detection.calibration import Calibration, calibration, pooled
from ivfusion_ros.evaluation.detection.scenes import Truth
from ivfusion_ros.types import Detections

BOX, FAR = [10.0, 10, 30, 50], [100.0, 10, 120, 50]


def item(boxes: list, scores: list, class_ids: list) -> SimpleNamespace:
    arrays = np.array(boxes, np.float32).reshape(-1, 4), np.array(scores, np.float32), np.array(class_ids)
    return SimpleNamespace(detections=Detections(*arrays, ("person", "car")))


def test_each_object_is_found_once_and_by_its_class() -> None:
    truth = Truth(np.array([BOX, FAR], np.float32), np.array([0, 1]))
    found = item([BOX, BOX, FAR, FAR], [0.9, 0.8, 0.7, 0.6], [0, 0, 0, 1])
    own = calibration([truth], [found])
    assert own.right.tolist() == [True, False, False, True] and own.objects == 2
    assert own.found(0.65) == 0.5 and own.false_alarms(0.65) == 2
    # People from .85 on, cars from .5 on.
    by_class = np.array([0.85, 0.5])[own.class_ids]
    assert own.found(by_class) == 1.0 and own.false_alarms(by_class) == 0


def test_a_threshold_allows_one_false_alarm_in_ten_images() -> None:
    scores = np.array([0.95, 0.9, 0.6123, 0.5, 0.4])
    right = np.array([True, False, False, True, True])
    own = Calibration(scores, right, np.zeros(5, np.int64), images=10, objects=4)
    assert own.threshold() == pytest.approx(0.613)
    assert own.false_alarms(own.threshold()) == pytest.approx(0.1)
    assert own.threshold(rate=0.2) == 0.001
    both = pooled([own, own])
    assert both.images == 20 and both.threshold() == pytest.approx(0.613)


def test_scores_that_are_the_share_of_right_boxes_have_no_error() -> None:
    generator = np.random.default_rng(3)
    scores = generator.uniform(0.05, 1, 200_000)
    right = generator.uniform(size=len(scores)) < scores
    ids = np.zeros(len(scores), np.int64)
    assert Calibration(scores, right, ids, 1000, 1000).error() < 0.01
    fewer = right & (generator.uniform(size=len(scores)) < 0.5)
    assert Calibration(scores, fewer, ids, 1, 1).error() > 0.2


def test_a_plot_is_written(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from ivfusion_ros.evaluation.detection.calibration import write_calibration

    ids = np.zeros(2, np.int64)
    own = Calibration(np.array([0.9, 0.4]), np.array([True, False]), ids, 5, 2)
    none = Calibration(np.zeros(0), np.zeros(0, bool), ids[:0], 5, 2)
    write_calibration(tmp_path / "c.png", {"thermal": own, "rgb": none})
    assert (tmp_path / "c.png").stat().st_size > 1000
