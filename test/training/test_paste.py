"""Objects pasted into a detector's training samples."""

import random
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from ivfusion_ros.errors import DataError
from ivfusion_ros.training.detector.config import PasteConfig

pytest.importorskip("ultralytics")

from ultralytics.utils.instance import Instances

from ivfusion_ros.training.detector.paste import Paste, read_cut_outs

SIZES = PasteConfig(share=1.0, most=1, smallest_scale=1.0, largest_scale=1.0)


def encoded(value: int) -> bytes:
    return cv2.imencode(".png", np.full((40, 20, 3), value, np.uint8))[1].tobytes()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with zipfile.ZipFile(tmp_path / "car.zip", "w") as archive:
        archive.writestr("thermal/a.png", encoded(250))
        archive.writestr("rgb/a.png", encoded(10))
        archive.writestr("rgb/without_thermal.png", encoded(10))
    return tmp_path


def sample(kind: str, box: tuple[float, ...] = (0, 0, 16, 16)) -> dict:
    boxes, segments = np.array([box], np.float32), np.zeros((1, 0, 2), np.float32)
    return {
        "im_file": f"images/train/{kind}/a.png",
        "img": np.full((96, 128, 3), 100, np.uint8),
        "cls": np.zeros((1, 1), np.float32),
        "instances": Instances(boxes, segments, bbox_format="xyxy", normalized=False),
    }


def test_a_cut_out_needs_both_cameras(folder: Path) -> None:
    (cut_out,) = read_cut_outs(folder, ["person", "car"])
    assert cut_out.class_id == 1


def test_none_and_damaged_are_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no cut-outs.*person\.zip"):
        read_cut_outs(tmp_path, ["person"])
    (tmp_path / "person.zip").write_bytes(b"PK\x03\x04 nothing")
    with pytest.raises(DataError, match=r"person\.zip cannot be read as a zip"):
        read_cut_outs(tmp_path, ["person"])


@pytest.mark.parametrize(("kind", "value"), [("thermal", 250), ("rgb", 10), ("refinefuse_lite", 130)])
def test_the_box_frames_what_a_kind_shows(folder: Path, kind: str, value: int) -> None:
    paste = Paste(SIZES, read_cut_outs(folder, ["person", "car"]))
    pasted = 0
    for seed in range(20):
        random.seed(seed)
        labels = paste(sample(kind))
        if len(labels["cls"]) == 2:
            pasted += 1
            x0, y0, x1, y1 = labels["instances"].bboxes[1].astype(int)
            assert (x1 - x0, y1 - y0) == (20, 40)
            assert labels["cls"].ravel().tolist() == [0, 1]
            assert abs(int(labels["img"][(y0 + y1) // 2, (x0 + x1) // 2, 0]) - value) <= 2
        assert len(labels["instances"].segments) == len(labels["cls"])
    assert pasted > 10


@pytest.mark.parametrize(
    ("kind", "clear", "least"), [("rgb+haze", 10, 25), ("refinefuse_lite+haze", 130, 15)]
)
def test_smoke_lies_over_what_the_rgb_camera_saw(folder: Path, kind: str, clear: int, least: int) -> None:
    """It was pasted into smoke as if the air were clear, and into RGB with half of the thermal image."""
    (cut_out,) = read_cut_outs(folder, ["person", "car"])
    random.seed(3)
    views = [cut_out.view(kind) for _ in range(20)]
    lighter = np.array([view.mean() for view in views]) - clear
    assert (lighter > 0).all() and np.median(lighter) > least
    assert lighter.std() > 5, "densities differ"


@pytest.mark.parametrize(("kind", "thermal"), [("rgb+haze", 0), ("thermal", 250), ("refinefuse_lite", 250)])
def test_a_cut_out_brings_its_thermal_image(folder: Path, kind: str, thermal: int) -> None:
    (cut_out,) = read_cut_outs(folder, ["person", "car"])
    random.seed(3)
    view = cut_out.view(kind, 4)
    random.seed(3)
    assert view.shape == (40, 20, 4) and (view[..., 3] == thermal).all()
    np.testing.assert_array_equal(view[..., :3], cut_out.view(kind))
    labels = sample(kind)
    labels["img"] = np.dstack((labels["img"], np.full((96, 128), 33, np.uint8)))
    random.seed(1)
    labels = Paste(SIZES, [cut_out])(labels)
    x0, y0, x1, y1 = labels["instances"].bboxes[1].astype(int)
    assert labels["img"][(y0 + y1) // 2, (x0 + x1) // 2, 3] == thermal
    assert labels["img"][0, 0, 3] == 33


def test_no_object_is_hidden(folder: Path) -> None:
    paste = Paste(SIZES, read_cut_outs(folder, ["person", "car"]))
    for seed in range(20):
        random.seed(seed)
        labels = paste(sample("rgb", (0, 0, 128, 40)))
        # The old object keeps 70% of its area, whatever is pasted.
        changed = np.abs(labels["img"][:40].astype(int) - 100).max(axis=2) > 2
        assert changed.mean() <= 0.3


def test_a_large_cut_out_fits_the_sample(folder: Path) -> None:
    config = PasteConfig(share=1.0, most=1, smallest_scale=9.0, largest_scale=9.0)
    random.seed(1)
    labels = Paste(config, read_cut_outs(folder, ["person", "car"]))(sample("thermal", (0, 0, 1, 1)))
    assert labels["instances"].bboxes.max() <= 128
    assert labels["instances"].bboxes[-1, 3] <= 96


def test_an_object_stands_beside_another_of_its_class(folder: Path) -> None:
    config = PasteConfig(share=1.0, most=1, beside=1.0, smallest_scale=1.0, largest_scale=1.0)
    paste = Paste(config, read_cut_outs(folder, ["car"]))
    old = np.array([50, 30, 70, 66], np.float32)
    overlaps = []
    for seed in range(40):
        random.seed(seed)
        labels = paste(sample("rgb", tuple(old)))
        assert labels["cls"].ravel().tolist() == [0, 0]
        new = labels["instances"].bboxes[1]
        assert 0.8 * 36 - 1 <= new[3] - new[1] <= 1.2 * 36 + 1
        assert abs(new[3] - old[3]) <= 0.05 * 1.2 * 36 + 1
        shared = min(old[2], new[2]) - max(old[0], new[0])
        assert shared > -0.2 * (40 + 4)
        overlaps.append(shared > 0)
        changed = np.abs(labels["img"][30:66, 50:70].astype(int) - 100).max(axis=2) > 2
        assert changed.mean() <= 0.5
    assert {True, False} == set(overlaps)


def test_an_object_without_its_like_stands_alone(folder: Path) -> None:
    config = PasteConfig(share=1.0, most=1, beside=1.0, smallest_scale=1.0, largest_scale=1.0)
    paste = Paste(config, read_cut_outs(folder, ["person", "car"]))
    places = set()
    for seed in range(20):
        random.seed(seed)
        boxes = paste(sample("rgb"))["instances"].bboxes
        if len(boxes) == 2:
            places.add(boxes[1, 0])
    assert len(places) > 5
