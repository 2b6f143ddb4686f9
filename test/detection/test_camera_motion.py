"""Shifts of the picture against those that it was made with, and tracks under a camera that turns."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from turning_street import Shot, film

from ivfusion_ros.config.pipeline import TrackingConfig
from ivfusion_ros.detection.camera_motion import CameraMotion
from ivfusion_ros.detection.moving_boxes import MovingBoxes
from ivfusion_ros.detection.tracking import ByteTracker, best_first
from ivfusion_ros.graphs.yolo import box_iou
from ivfusion_ros.types import Detections, Image

TRACKING = TrackingConfig(tracker="bytetrack")


def blobs(seed: int, height: int, width: int) -> Image:
    """Random structure of all sizes, as photographs have, grey as RGB."""
    rough = np.random.default_rng(seed).uniform(0, 255, (height, width))
    wave = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None])
    smooth = np.fft.ifft2(np.fft.fft2(rough) / (1 + wave * width)).real
    smooth = (smooth - smooth.min()) / np.ptp(smooth) * 255
    return np.repeat(smooth[:, :, None], 3, axis=2).astype(np.uint8)


@pytest.mark.parametrize(("width", "height"), [(640, 480), (1280, 720), (160, 120)])
def test_a_known_shift_is_measured_at_any_size(width: int, height: int) -> None:
    world, camera = blobs(1, 2 * height, 2 * width), CameraMotion()
    at = np.array([width // 2, height // 2])
    steps = np.array([[0, 0], [width // 50, 0], [-width // 8, height // 10], [0, -height // 5]])
    for step in steps:
        at = at - step  # the camera turns away from where the picture moves to
        x, y = at
        assert camera(world[y : y + height, x : x + width]) == pytest.approx(step, abs=0.004 * width)


def test_pictures_that_have_nothing_in_common_tell_no_motion() -> None:
    camera = CameraMotion()
    grey = np.full((120, 160, 3), 90, np.uint8)
    assert not camera(blobs(2, 120, 160)).any()  # the first one
    assert not camera(blobs(3, 120, 160)).any()
    assert not camera(grey).any() and not camera(grey).any()


@pytest.fixture(scope="module")
def turned() -> list[Shot]:
    return film(0, 5.0, 5.0, "turning")["turning"]


def perfect(shot: Shot) -> Detections:
    boxes = np.array([item.box_xyxy for item in shot.truth], np.float32)
    names = ("person", "car")
    classes = np.array([names.index(item.class_name) for item in shot.truth], np.int64)
    return Detections(boxes, np.full(len(boxes), 0.9, np.float32), classes, names)


def changes(shots: list[Shot], tracker: ByteTracker) -> int:
    """How often an object has another number than the last time it was seen."""
    count, last = 0, {}
    for shot in shots:
        found = tracker(perfect(shot), round(shot.time_s * 1e9), shot.image)
        assert found.track_ids is not None
        for item, number in zip(shot.truth, found.track_ids.tolist(), strict=True):
            count += last.get(item.identity, number) != number
            last[item.identity] = number
    return count


def test_tracks_hold_while_the_camera_turns(turned: list[Shot]) -> None:
    """At 5 images a second and up to 30 degrees a second, objects jump by more than their width."""
    without = changes(turned, ByteTracker(replace(TRACKING, camera_motion=False)))
    assert without > 60
    assert changes(turned, ByteTracker(TRACKING)) < 0.2 * without


def test_filters_are_those_of_the_textbook() -> None:
    """Against matrices for one number, with the noise of a person of scale 40 px."""
    boxes, scale, seconds = MovingBoxes(), 40.0, 0.1
    accelerate, detect, first = (0.7 * scale) ** 2, (0.1 * scale) ** 2, (1.0 * scale) ** 2
    state, covariance = np.array([100.0, 0.0]), np.diag([detect, first])
    step, view = np.array([[1, seconds], [0, 1]]), np.array([[1.0, 0.0]])
    push = np.array([[seconds**2 / 2], [seconds]])

    def seen(x: float) -> np.ndarray:
        return np.array([[x - 20, 30, x + 20, 70]], np.float32)

    boxes.add(seen(100))
    for x in (103.0, 109.0, 111.0, 118.0):
        boxes.predict(seconds)
        state, covariance = step @ state, step @ covariance @ step.T + accelerate * push @ push.T
        assert boxes.boxes_xyxy == pytest.approx(seen(state[0]), abs=1e-3)
        boxes.correct(np.array([0]), seen(x))
        gain = covariance @ view.T / (view @ covariance @ view.T + detect)
        state = state + gain[:, 0] * (x - state[0])
        covariance = covariance - gain @ view @ covariance
        assert boxes.boxes_xyxy == pytest.approx(seen(state[0]), abs=1e-3)


def test_best_overlaps_come_first_and_each_box_once() -> None:
    overlaps = np.array([[0.6, 0.9, 0.0], [0.0, 0.8, 0.14], [0.0, 0.0, 0.0]], np.float32)
    rows, columns = best_first(overlaps, 0.15)
    assert (rows.tolist(), columns.tolist()) == ([0], [1])
    rows, columns = best_first(overlaps, 0.1)
    assert (rows.tolist(), columns.tolist()) == ([0, 1], [1, 2])
    assert best_first(np.zeros((0, 4), np.float32), 0.0)[0].size == 0
    assert best_first(np.zeros((2, 4), np.float32), 0.0)[0].size == 0


def test_overlaps_of_many_boxes_are_those_of_each() -> None:
    random = np.random.default_rng(0)
    corners = random.uniform(0, 50, (7, 2))
    boxes = np.hstack([corners, corners + random.uniform(5, 40, (7, 2))]).astype(np.float32)
    each = np.array([box_iou(box, boxes[3:]) for box in boxes])
    np.testing.assert_array_equal(box_iou(boxes[:, None], boxes[None, 3:]), each)
