import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from ivfusion_ros.cli import main
from ivfusion_ros.config.parameters import load_config
from ivfusion_ros.errors import ConfigError, DataError
from ivfusion_ros.models import share_folder
from ivfusion_ros.training.detector.config import DetectorConfig

torch = pytest.importorskip("torch")
pytest.importorskip("ultralytics")
pytest.importorskip("openvino")

from ivfusion_ros.training.detector.imitation import LAYERS, FeatureTeacher, ImitationLoss
from ivfusion_ros.training.detector.scenes import NightCamera
from ivfusion_ros.training.detector.train import DetectorTrainer


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four scenes in two kinds, a bright person in each."""
    folder = tmp_path_factory.mktemp("set")
    random = np.random.default_rng(0)
    for part in ("train", "val"):
        for kind in ("rgb", "thermal"):
            for name in ("images", "labels"):
                (folder / name / part / kind).mkdir(parents=True)
            for number in range(4):
                image = random.integers(0, 60, (96, 128, 3), np.uint8)
                image[24:72, 32:48] = 220
                cv2.imwrite(str(folder / "images" / part / kind / f"{number}.png"), image)
                text = "0 0.3125 0.5 0.125 0.5\n"
                (folder / "labels" / part / kind / f"{number}.txt").write_text(text)
    names = {0: "person", 1: "car", 2: "bicycle"}
    content = {"path": str(folder), "train": "images/train", "val": "images/val", "names": names}
    (folder / "data.yaml").write_text(yaml.safe_dump(content))
    return folder


SMALL = {
    "image_size": 128,
    "crop_width": 96,
    "crop_height": 64,
    "batch": 2,
    "device": "cpu",
    "mosaic": 0.5,
    "workers": 0,
}


@pytest.mark.parametrize("name", ["yolov5n", "yolov5s", "yolov5n_cpu"])
def test_settings_that_ship_are_whole(name: str) -> None:
    config = load_config(DetectorConfig, share_folder("config") / "train" / f"{name}.yaml")
    assert config.detector == name.split("_")[0]


def test_a_setting_of_fusion_training_is_refused(data: Path, tmp_path: Path) -> None:
    words = ["train", "yolov5n", "--out", str(tmp_path), "--data", str(data)]
    assert main([*words, "--crop", "64"]) == ConfigError.exit_code
    assert main([*words, str(data)]) == ConfigError.exit_code


def test_wrong_crops_and_data_are_refused(data: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="multiples of 32"):
        DetectorTrainer(DetectorConfig(crop_width=100), data, tmp_path)
    with pytest.raises(DataError, match="ivfusion dataset"):
        DetectorTrainer(DetectorConfig(), tmp_path, tmp_path)


def test_train_stop_and_resume(data: Path, tmp_path: Path) -> None:
    config = DetectorConfig(**SMALL, epochs=2, validate=False)
    run = tmp_path / "run"
    first = DetectorTrainer(config, data, run)
    first.add_callback("on_train_epoch_end", lambda trainer: setattr(trainer, "stop", True))
    first.train()
    # A scene counts once, whatever kinds it has: 4 scenes, 2 at a time.
    assert len(first.train_loader) == 2
    seen = first.train_loader.dataset[0]["img"].shape
    assert tuple(seen) == (3, 64, 96)
    assert (run / "weights" / "last.pt").is_file()
    second = DetectorTrainer(config, data, run, resume=True)
    second.train()
    rows = (run / "results.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows] == ["epoch", "1", "2"]
    assert float(rows[2].split(",")[1]) > float(rows[1].split(",")[1])
    # The cosine goes on where it was, and nears its end.
    assert second._progress > first._progress


def test_the_clock_ends_a_run_and_validation_runs_without_torchvision(data: Path, tmp_path: Path) -> None:
    trainer = DetectorTrainer(DetectorConfig(**SMALL, hours=1e-4), data, tmp_path / "run")
    trainer.train()
    assert trainer.epoch < 5
    assert (trainer.wdir / "best.pt").is_file()
    assert "metrics/mAP50(B)" in trainer.metrics
    boxes = torch.tensor([[0.0, 0, 10, 10], [1, 1, 10, 10], [20, 20, 30, 30]])
    kept = sys.modules["torchvision"].ops.nms(boxes, torch.tensor([0.8, 0.9, 0.5]), 0.5)
    assert kept.tolist() == [1, 2]


class Copy:
    """A teacher that sees as the given network does, times a factor."""

    def __init__(self, network: torch.nn.Module, factor: float) -> None:
        self.factor, self.kept = factor, {}
        self.network = network
        for layer in LAYERS:
            network.model[layer].register_forward_hook(
                lambda m, i, o, layer=layer: self.kept.update({layer: o})
            )

    def __call__(self, images: torch.Tensor) -> list[torch.Tensor]:
        with torch.no_grad():
            self.network(images)
        return [self.kept[layer] * self.factor for layer in LAYERS]


def yolov5n() -> torch.nn.Module:
    from ultralytics.nn.tasks import DetectionModel

    torch.manual_seed(0)
    return DetectionModel("yolov5n.yaml", nc=3, verbose=False).eval()


@pytest.mark.parametrize("forced", [False, True])
def test_imitation(forced: bool) -> None:
    student, images = yolov5n(), torch.rand(1, 3, 64, 96)

    def distance(factor: float) -> float:
        loss = ImitationLoss(
            student,
            lambda predictions, batch: (torch.ones(3), {}),
            Copy(yolov5n(), factor),
            weight=lambda: 2.0,
            forced=lambda: forced,
        )
        with torch.no_grad():
            terms, items = loss(student(images), {"img": images})
        assert terms.tolist() == pytest.approx([1, 1, 1, 2 * float(items["imitation"])])
        return float(items["imitation"])

    assert distance(1.0) == pytest.approx(0, abs=1e-6)
    assert distance(1.5) > 1e-3


def test_forced_blocks_learn_apart() -> None:
    student, images = yolov5n().train(), torch.rand(2, 3, 64, 96)
    loss = ImitationLoss(
        student,
        lambda predictions, batch: (torch.zeros(1), {}),
        Copy(yolov5n(), 1.0),
        weight=lambda: 1.0,
        forced=lambda: True,
    )
    student(images)
    loss._taught = {layer: loss._seen[layer].detach() for layer in LAYERS}
    loss._taught[LAYERS[-1]] = loss._taught[LAYERS[-1]] + 1
    terms, _ = loss(None, {"img": images})
    terms.sum().backward()
    assert float(student.model[23].cv3.conv.weight.grad.abs().sum()) > 0
    # The layers before it were right, and what the last one got wrong is not theirs to fix.
    assert float(student.model[0].conv.weight.grad.abs().sum()) == pytest.approx(0, abs=1e-9)


def test_features_of_the_real_teacher(shared: Path) -> None:
    teacher = FeatureTeacher(shared / "reference" / "yolov5n_coco_480x640.onnx")
    features = teacher(torch.zeros(2, 3, 64, 96))
    student = Copy(yolov5n(), 1.0)(torch.zeros(2, 3, 64, 96))
    assert [tuple(one.shape) for one in features] == [tuple(one.shape) for one in student]


def test_night_camera_keeps_shape_and_range() -> None:
    image = np.full((32, 48, 3), 128, np.uint8)
    for _ in range(50):
        changed = NightCamera()({"img": image})["img"]
        assert changed.shape == image.shape and changed.dtype == np.uint8
    assert (image == 128).all()
