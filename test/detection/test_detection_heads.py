"""Which models a detector takes, as their outputs and metadata tell, and its class names."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from detector_samples import CELLS, IMAGE, NOTHING, FakeBackend, classic_output

from ivfusion_ros.backends.tensors import TensorInfo
from ivfusion_ros.config.pipeline import DetectionConfig
from ivfusion_ros.detection import Detector
from ivfusion_ros.errors import ConfigError, ModelError
from ivfusion_ros.graphs.yolo import decode, identify_head


def test_class_names(tmp_path: Path) -> None:
    config = DetectionConfig()
    listed = FakeBackend(NOTHING, {"names": "['a', 'b', 'c']"})
    assert Detector(listed, config).class_names == ("a", "b", "c")
    assert Detector(FakeBackend(NOTHING, {}), config).class_names == ("class_0", "class_1", "class_2")
    for text in (
        "names: [x, y, z]",
        "names: {0: x, 2: z, 1: y}",
        "path: .\nnames:\n  0: x\n  1: y\n  2: z\n",
    ):
        path = tmp_path / "names.yaml"
        path.write_text(text, encoding="utf-8")
        named = dataclasses.replace(config, class_names=str(path))
        assert Detector(FakeBackend(NOTHING, {}), named).class_names == ("x", "y", "z")
        assert Detector(listed, named).class_names == ("x", "y", "z")


@pytest.mark.parametrize(
    "text", ["names: [x, y]", "names: {1: x, 2: y, 3: z}", "names: 3", "{}", "names: []"]
)
def test_wrong_class_names_file(tmp_path: Path, text: str) -> None:
    path = tmp_path / "names.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"names"):
        Detector(FakeBackend(NOTHING, {}), DetectionConfig(class_names=str(path)))


@pytest.mark.parametrize(
    "names", ["__import__('os').abort()", "{0: 'a'", "{1: 'a', 2: 'b', 3: 'c'}", "7", "", "(" * 5000]
)
def test_broken_names_in_the_model(names: str) -> None:
    with pytest.raises(ModelError, match="metadata `names`"):
        Detector(FakeBackend(NOTHING, {"names": names}), DetectionConfig())


@pytest.mark.parametrize(
    ("shape", "what"),
    [
        ((1, 1000), "not a YOLO detection head"),
        ((2, 7, CELLS), "not a YOLO detection head"),
        ((1, 300, 7), "not a YOLO detection head.*or \\(1, N, 6\\) with NMS inside"),
        ((1, 3, 8, 12, 8), "outputs output0, all raw maps"),
        ((1, 4, CELLS), "not a YOLO detection head"),
        ((1, 4 + 3 + 32, CELLS), "35 classes, but its metadata names 3"),
    ],
)
def test_other_outputs_are_refused(shape: tuple[int, ...], what: str) -> None:
    with pytest.raises(ModelError, match=what):
        Detector(FakeBackend(np.zeros(shape, np.float32)), DetectionConfig())


def test_other_models_are_refused() -> None:
    config = DetectionConfig()
    with pytest.raises(ModelError, match="the model is for pose"):
        Detector(FakeBackend(NOTHING, {"task": "pose"}), config)
    two = FakeBackend(NOTHING)
    two.outputs = two.outputs | {"output1": TensorInfo((1, 32, 16, 24), np.dtype("float32"))}
    with pytest.raises(ModelError, match="outputs output0, output1, expected one with detections"):
        Detector(two, config)
    fusion = FakeBackend(NOTHING)
    fusion.inputs = {"rgb": TensorInfo((1, None, None, 3), np.dtype("uint8"))}
    with pytest.raises(ModelError, match=r"input rgb is uint8 \(1, any, any, 3\), expected float32"):
        Detector(fusion, config)


def test_head_where_both_layouts_fit() -> None:
    # 64x64 has 84 cells: 252 rows are three anchors each, or a u head of 248 classes.
    assert identify_head((1, 252, 84), (64, 64), 79) == ("classic", 79)
    assert identify_head((1, 252, 84), (64, 64), 248) == ("u", 248)
    assert identify_head((1, 25200, 85), (640, 640)) == ("classic", 80)
    assert identify_head((1, 84, 8400), (640, 640)) == ("u", 80)
    assert identify_head((1, 102000, 8), (1280, 1280)) == ("classic", 3)
    assert identify_head((1, 7, 34000), (1280, 1280)) == ("u", 3)


@pytest.mark.parametrize(
    ("shape", "what"),
    [
        ((1, 64, 96, 3), "channels come last, as in TensorFlow"),
        ((4, 3, 64, 96), "for batches of 4; export it with batch=1"),
        ((1, 1, 64, 96), "for RGB images"),
    ],
)
def test_other_inputs_are_refused_with_what_to_do(shape: tuple[int, ...], what: str) -> None:
    backend = FakeBackend(NOTHING)
    backend.inputs = {"images": TensorInfo(shape, np.dtype("float32"))}
    with pytest.raises(ModelError, match=what):
        Detector(backend, DetectionConfig())


def test_raw_maps_beside_the_output_are_left_out() -> None:
    """As export.py of YOLOv5 5.0 to 6.1 wrote them, in any order."""
    boxes, scores = np.array([[40.0, 30.0, 20.0, 10.0]]), np.array([[0.0, 0.9, 0.0]])
    backend = FakeBackend(classic_output(boxes, scores, np.array([1.0])))
    maps = {f"map{side}": TensorInfo((1, 3, side, side, 8), np.dtype("float32")) for side in (8, 4, 2)}
    backend.outputs = {**maps, **backend.outputs}
    backend.run = lambda _: {**dict.fromkeys(maps), "output0": backend.output}
    found = Detector(backend, DetectionConfig())(IMAGE)
    assert found.boxes_xyxy.tolist() == [[30.0, 25.0, 50.0, 35.0]] and found.class_ids.tolist() == [1]


def end2end_output(rows: list[list[float]]) -> np.ndarray:
    output = np.zeros((1, 300, 6), np.float32)
    output[0, : len(rows)] = rows
    return output


def test_an_end_to_end_head_has_chosen_already() -> None:
    """Two of one class that overlap by 0.8 stay: the model decided that they are two."""
    rows = [
        [10, 10, 50, 40, 0.9, 2],
        [14, 10, 54, 40, 0.6, 2],
        [0, 0, 5, 5, 0.1, 0],
        [np.nan, 0, 5, 5, 0.9, 0],
    ]
    found = Detector(FakeBackend(end2end_output(rows)), DetectionConfig(confidence=0.25))(IMAGE)
    assert found.boxes_xyxy.tolist() == [row[:4] for row in rows[:2]]
    assert found.scores.tolist() == pytest.approx([0.9, 0.6]) and found.class_ids.tolist() == [2, 2]
    everything = Detector(FakeBackend(end2end_output(rows)), DetectionConfig(confidence=0.0))(IMAGE)
    assert len(everything) == 3


def test_an_end_to_end_head_needs_the_names_of_its_classes() -> None:
    with pytest.raises(ModelError, match=r"does not tell how many classes.*detection\.class_names"):
        Detector(FakeBackend(end2end_output([[0.0] * 6]), {}), DetectionConfig())
    outside = Detector(FakeBackend(end2end_output([[10, 10, 50, 40, 0.9, 3]])), DetectionConfig())
    with pytest.raises(ModelError, match="found class 3, but only 3 classes are named"):
        outside(IMAGE)


def test_rows_for_each_cell_are_no_end_to_end_head() -> None:
    cells = 8400
    raw = np.zeros((1, cells, 6), np.float32)
    raw[0, 100] = [320, 320, 100, 200, 0, 0.9]
    head = identify_head(raw.shape, (640, 640), 2)
    assert head == ("u_rows", 2)
    found = decode(raw, head, 0.25)
    np.testing.assert_allclose(found.boxes_xyxy, [[270, 220, 370, 420]])
    assert found.class_ids.tolist() == [1] and found.scores[0] == np.float32(0.9)
    assert identify_head((1, 300, 6), (640, 640), 2).layout == "end2end"


def test_a_detector_without_class_names_says_how_to_give_them(caplog) -> None:
    Detector(FakeBackend(NOTHING, {}), DetectionConfig())
    assert "names none of its 3 classes" in caplog.text and "detection.class_names" in caplog.text
