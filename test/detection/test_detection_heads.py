"""Which models a detector takes, as their outputs and metadata tell, and its class names."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from detector_samples import CELLS, NOTHING, FakeBackend

from ivfusion_ros.backends.tensors import TensorInfo
from ivfusion_ros.config.pipeline import DetectionConfig
from ivfusion_ros.detection import Detector
from ivfusion_ros.errors import ConfigError, ModelError
from ivfusion_ros.graphs.yolo import identify_head


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
        ((1, 300, 6), "without NMS"),
        ((1, 1000), "not a YOLOv5 detection head"),
        ((2, 7, CELLS), "not a YOLOv5 detection head"),
        ((1, 3, 8, 12, 8), "not a YOLOv5 detection head"),
        ((1, 4, CELLS), "not a YOLOv5 detection head"),
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
    with pytest.raises(ModelError, match="outputs output0, output1, expected one each"):
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
