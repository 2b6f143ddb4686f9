"""Tiles: that they cover the image, and that a detector finds in them what it is too coarse for."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from ivfusion_ros.backends import load_backend
from ivfusion_ros.config.pipeline import DetectionConfig
from ivfusion_ros.detection.detector import Detector
from ivfusion_ros.detection.tiles import OVERLAP, tile_windows, whole_in

pytest.importorskip("onnx")


@pytest.mark.parametrize(
    ("size", "count"), [((640, 512), 2), ((1920, 1080), 3), ((101, 640), 4), ((7, 5), 8)]
)
def test_tiles_cover_the_image_and_overlap(size: tuple[int, int], count: int) -> None:
    windows = tile_windows(size, count)
    seen = np.zeros(size[::-1], int)
    for left, top, right, bottom in windows:
        seen[top:bottom, left:right] += 1
    assert seen.min() >= 1
    assert len({(right - left, bottom - top) for left, top, right, bottom in windows}) == 1
    lefts = sorted({(left, right) for left, _, right, _ in windows})
    for (_, right), (left, _) in pairwise(lefts):
        assert right - left >= OVERLAP * (lefts[0][1] - lefts[0][0]) - 2


def test_what_a_tile_cuts_is_left_to_its_neighbour() -> None:
    boxes = np.array([[0, 40, 20, 60], [30, 40, 100, 60], [30, 40, 60, 60]], np.float32)
    assert whole_in((0, 0, 100, 100), boxes, (180, 100)).tolist() == [True, False, True]
    assert whole_in((80, 0, 180, 100), boxes, (180, 100)).tolist() == [False, True, True]


@pytest.fixture
def detector(tmp_path: Path) -> Detector:
    from detector_samples import write_dynamic_detector

    path = write_dynamic_detector(tmp_path / "lamps.onnx")
    return Detector(load_backend(path, "onnxruntime"), DetectionConfig(confidence=0.9))


def test_lamps_are_found_in_tiles_that_the_whole_image_shows_too_small(detector: Detector) -> None:
    # Of an image twice as wide as its input the detector sees a lamp of 8 px as a quarter of a cell.
    image = np.zeros((320, 1280, 3), np.uint8)
    lamps = np.array([(64, 32), (616, 160), (1200, 240)])
    for x, y in lamps:
        image[y : y + 8, x : x + 8] = 255
    assert len(detector(image)) == 0
    detector.set_config(DetectionConfig(confidence=0.9, tiles=8))
    found = detector(image)
    centres = (found.boxes_xyxy[:, :2] + found.boxes_xyxy[:, 2:]) / 2
    apart = np.abs(centres[:, None] - (lamps + 4)).max(axis=2)
    assert (apart.min(axis=0) < 4).all() and (apart.min(axis=1) < 6).all()


def test_a_model_recommends_its_threshold(detector: Detector) -> None:
    assert detector.threshold == 0.9
    detector.set_config(DetectionConfig())
    assert detector.threshold == 0.25
    assert detector(np.zeros((64, 64, 3), np.uint8)).threshold == 0.25
