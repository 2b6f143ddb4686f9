"""Detectors of ultralytics to ONNX, and the files that are none."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")

from small_models import write_fusion

from ivfusion_ros.backends import load_backend
from ivfusion_ros.cli import main
from ivfusion_ros.config.pipeline import DetectionConfig
from ivfusion_ros.detection import Detector
from ivfusion_ros.images.files import write_image

NAMES = {0: "person", 1: "deer", 2: "e-scooter"}


@pytest.fixture(autouse=True)
def own_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("YOLO_AUTOINSTALL", "false")
    monkeypatch.setenv("YOLO_OFFLINE", "true")
    monkeypatch.chdir(tmp_path)


@pytest.mark.filterwarnings("ignore")
def test_ultralytics_detector_of_any_classes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ultralytics = pytest.importorskip("ultralytics", reason="ultralytics is not installed")
    tasks = pytest.importorskip("ultralytics.nn.tasks")
    model = ultralytics.YOLO("yolov5n.yaml", task="detect", verbose=False)
    torch.manual_seed(0)
    model.model = tasks.DetectionModel("yolov5n.yaml", nc=len(NAMES), verbose=False)
    model.model.names = NAMES
    (tmp_path / "weights").mkdir()
    model.save(tmp_path / "weights" / "deer.pt")
    assert main(["export", "weights/deer.pt", "deer.onnx", "--detector", "--size", "160x128"]) == 0
    assert sorted(path.name for path in (tmp_path / "weights").iterdir()) == ["deer.pt"]
    assert not list(tmp_path.glob("tmp*"))
    backend = load_backend(tmp_path / "deer.onnx", "onnxruntime", threads=1)
    assert backend.metadata["task"] == "detect" and backend.metadata["stride"] == "32"
    assert not {"description", "date", "author"} & set(backend.metadata)
    assert str(tmp_path).encode() not in (tmp_path / "deer.onnx").read_bytes()
    assert backend.inputs["images"].shape == (1, 3, 128, 160)
    detector = Detector(backend, DetectionConfig(confidence=0.0))
    assert detector.class_names == tuple(NAMES.values())
    assert len(detector(np.full((240, 320, 3), 90, np.uint8))) > 0
    # What would be exported by mistake is recognised, and so is what was not exported.
    assert main(["export", "weights/deer.pt", "other.onnx"]) == 5
    assert not (tmp_path / "other.onnx").exists()
    capsys.readouterr()
    write_image("x.png", np.zeros((32, 32, 3), np.uint8))
    assert main(["detect", "x.png", "out", "--detector", "weights/deer.pt"]) == 5
    assert "`ivfusion export --detector weights/deer.pt weights/deer.onnx`" in capsys.readouterr().err


class Model:
    """Stands for the class of the yolov5 repository that a classic checkpoint holds."""


class Evil:
    """Would make a file where it is unpickled."""

    def __reduce__(self):
        return os.mkdir, ("ran",)


def test_files_that_cannot_be_exported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def message(file: str, *more: str) -> str:
        assert main(["export", file, "x.onnx", "--detector", *more]) in (2, 5)
        assert not (tmp_path / "x.onnx").exists()
        return capsys.readouterr().err

    assert "there is no file missing.pt" in message("missing.pt")
    torch.save({"network": "mda", "weights": {}}, "fusion.pt")
    assert "exported without --detector" in message("fusion.pt")
    Path("noise.pt").write_bytes(b"PK\3\4 no archive")
    assert "noise.pt cannot be read" in (said := message("noise.pt")) and "without --detector" not in said
    Path("evil.pt").write_bytes(pickle.dumps(Evil()))
    assert "evil.pt cannot be read" in (said := message("evil.pt")) and "without --detector" not in said
    assert not Path("ran").exists()
    Path("torn.pt").write_bytes(b"PK ultralytics.nn.tasks")
    pytest.importorskip("ultralytics", reason="ultralytics is not installed")
    assert "ultralytics cannot read torn.pt" in message("torn.pt")
    Path("model.onnx").write_bytes(b"x")
    assert "model.onnx" in (said := message("model.onnx")) and "ONNX" in said
    write_fusion(Path("fusion.onnx"))
    assert "holds no YOLOv5 with anchors" in message("fusion.onnx")
    assert "holds no YOLOv5 with anchors" in message("yolov5n_int8")
    assert "there is no" in message("missing.onnx") and "yolov5m" in message("yolov5m")
    assert "expected multiples of 32" in message("torn.pt", "--size", "650x480")


@pytest.mark.parametrize("half", [(), ("--half",)])
def test_a_detector_that_ships_is_exported_as_one(
    half: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """It was said to be neither a file nor a network."""
    assert main(["export", "yolov5s", "s.onnx", *half]) == 5
    told = "yolov5s is a detector: export it with --detector, `ivfusion export --detector yolov5s s.onnx`"
    assert told in capsys.readouterr().err


def test_classic_checkpoint_is_sent_to_its_own_repository(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys
    import types

    models = types.ModuleType("models.yolo")
    monkeypatch.setitem(sys.modules, "models", types.ModuleType("models"))
    monkeypatch.setitem(sys.modules, "models.yolo", models)
    monkeypatch.setattr(Model, "__module__", "models.yolo")
    monkeypatch.setattr(models, "Model", Model, raising=False)
    torch.save({"model": Model()}, "yolov5s.pt")
    assert main(["export", "yolov5s.pt", "x.onnx", "--detector", "--size", "320x256"]) == 5
    error = capsys.readouterr().err
    assert "classic YOLOv5 checkpoint" in error
    assert "python export.py --weights yolov5s.pt --include onnx --imgsz 256 320" in error
    assert main(["export", "yolov5s.pt", "x.onnx"]) == 5
    assert "with --detector" in capsys.readouterr().err
