"""Training a detector with the thermal image as a fourth channel: its samples, and a whole run."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from ivfusion_ros.backends import load_backend
from ivfusion_ros.config.pipeline import DetectionConfig
from ivfusion_ros.detection import Detector
from ivfusion_ros.errors import ConfigError, DataError
from ivfusion_ros.training.detector.config import CameraConfig, DetectorConfig

torch = pytest.importorskip("torch")
pytest.importorskip("ultralytics")
pytest.importorskip("openvino")

from ivfusion_ros.export.detector import export_detector
from ivfusion_ros.networks.yolov5 import RGB_AND_THERMAL
from ivfusion_ros.training.detector.anchors import TrainedAnchorModel
from ivfusion_ros.training.detector.imitation import LAYERS, ImitationLoss
from ivfusion_ros.training.detector.trainer import DetectorTrainer

SMALL = {
    "head": "anchors",
    "validate": False,
    "epochs": 1,
    "image_size": 128,
    "crop_width": 96,
    "crop_height": 64,
    "batch": 2,
    "device": "cpu",
    "mosaic": 0.5,
    "workers": 0,
}
STILL = {
    "camera": CameraConfig(inverted=0, gamma=0, grey=0, blur=0, noise=0),
    "hue": 0.0,
    "saturation": 0.0,
    "brightness": 0.0,
}
FUSED = "refinefuse_lite"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Four scenes whose fused images have the thermal image as their blue plane."""
    folder, random = tmp_path / "set", np.random.default_rng(0)
    for part in ("train", "val"):
        for kind in (FUSED, "thermal"):
            (folder / "images" / part / kind).mkdir(parents=True)
        (folder / "labels" / part / FUSED).mkdir(parents=True)
        for number in range(4):
            # Coarse, so that no border is at the limit of 0 or 255 where cameras are made worse.
            small = random.integers(40, 200, (6, 8, 3), np.uint8)
            image = cv2.resize(small, (128, 96), interpolation=cv2.INTER_CUBIC)
            cv2.imwrite(str(folder / "images" / part / FUSED / f"{number}.png"), image)
            thermal = np.repeat(image[..., :1], 3, 2)
            cv2.imwrite(str(folder / "images" / part / "thermal" / f"{number}.png"), thermal)
            text = "0 0.3125 0.5 0.125 0.5\n"
            (folder / "labels" / part / FUSED / f"{number}.txt").write_text(text)
    content = {"path": str(folder), "train": f"images/train/{FUSED}", "val": f"images/val/{FUSED}"}
    (folder / "data.yaml").write_text(yaml.safe_dump(content | {"names": {0: "person", 1: "car"}}))
    return folder


def samples(data: Path, run: Path, **settings: object) -> list[np.ndarray]:
    trainer = DetectorTrainer(DetectorConfig(**{**SMALL, **settings}), data, run)
    trainer.args.imgsz, trainer.stride = 128, 32
    dataset = trainer.build_dataset(trainer.data["train"], "train", 2)
    return [dataset[place]["img"].numpy().astype(int) for place in range(12)]


def test_the_thermal_image_goes_where_the_fused_one_goes(data: Path, tmp_path: Path) -> None:
    for sample in samples(data, tmp_path / "run", channels="rgb+thermal", **STILL):
        assert sample.shape == (4, 64, 96)
        # Red, green, blue, thermal, cropped, scaled, mirrored and put together alike.
        np.testing.assert_array_equal(sample[3], sample[2])
        assert np.abs(sample[3] - sample[0]).max() > 20


def test_colours_alone_are_changed(data: Path, tmp_path: Path) -> None:
    changes = {"camera": CameraConfig(inverted=0.5, grey=0.5, blur=0.5, noise=1.0), "brightness": 0.5}
    four = samples(data, tmp_path / "four", channels="rgb+thermal", **changes)
    three = samples(data, tmp_path / "three", **changes)
    still = samples(data, tmp_path / "still", channels="rgb+thermal", **STILL)
    for sample, colours, unchanged in zip(four, three, still, strict=True):
        np.testing.assert_array_equal(sample[:3], colours)
        assert np.abs(colours - unchanged[:3]).mean() > 2
        # The changes draw before the mirror does.
        views = unchanged[3], unchanged[3, :, ::-1]
        assert any(np.array_equal(sample[3], view) for view in views)


def test_beside_rgb_alone_thermal_is_black(data: Path, tmp_path: Path) -> None:
    for place in ("images", "labels"):
        (data / place / "train" / FUSED).rename(data / place / "train" / "rgb+haze")
    content = yaml.safe_load((data / "data.yaml").read_text())
    (data / "data.yaml").write_text(yaml.safe_dump(content | {"train": "images/train/rgb+haze"}))
    for sample in samples(data, tmp_path / "run", channels="rgb+thermal", **STILL, mosaic=0.0):
        # A border has the grey of all borders.
        assert set(np.unique(sample[3])) <= {0, *range(115)} and (sample[3] == 0).mean() > 0.1
        assert sample[0].min() > 20


def test_a_scene_without_its_thermal_image_is_told(data: Path, tmp_path: Path) -> None:
    (data / "images" / "train" / "thermal" / "2.png").unlink()
    with pytest.raises(
        DataError, match=r"1 images have no thermal .*/2\.png, expected .*thermal/2\.png; make"
    ):
        samples(data, tmp_path / "run", channels="rgb+thermal")


def test_what_cannot_be_trained_on_two_images_is_told(data: Path, tmp_path: Path) -> None:
    for change in ({"head": "anchor_free"}, {"validate": True}):
        with pytest.raises(ConfigError, match=r"set head=anchors and validate=false"):
            samples(data, tmp_path / "run", channels="rgb+thermal", **change)


def test_a_teacher_of_features_sees_colours_alone() -> None:
    model = TrainedAnchorModel("yolov5n", ["person"], RGB_AND_THERMAL)
    seen: list = []

    def teach(images: torch.Tensor) -> list[torch.Tensor]:
        seen.append(images)
        return [torch.rand(1) for _ in LAYERS]

    options = {"weight": lambda: 1.0, "forced": lambda: False}
    ImitationLoss(model, lambda predictions, batch: (torch.ones(3), {}), teach, **options)
    images = torch.rand(1, 4, 64, 96)
    model(images)
    assert torch.equal(seen[0], images[:, :3])


def test_a_run_learns_from_the_thermal_image(data: Path, tmp_path: Path) -> None:
    config = DetectorConfig(**SMALL, channels="rgb+thermal", warm_up=0)
    trainer = DetectorTrainer(config, data, tmp_path / "run")
    trainer.fit()
    again = DetectorConfig(**SMALL, channels="rgb+thermal", warm_up=0, kept=0.5)
    on = DetectorTrainer(again, data, tmp_path / "on", start=trainer.weights, memory=trainer.weights)
    on.fit()
    first, second = (
        torch.load(run.weights, weights_only=True)["weights"]["model.0.conv.weight"]
        for run in (trainer, on)
    )
    assert first.shape[1] == 4 and not torch.equal(first[:, 3], second[:, 3])
    export_detector(on.weights, tmp_path / "n.onnx", (96, 64))
    detector = Detector(load_backend(tmp_path / "n.onnx", "onnxruntime"), DetectionConfig(confidence=0.0))
    image = np.zeros((64, 96, 3), np.uint8)
    dark, bright = (detector(image, thermal=np.full((64, 96), value, np.uint8)) for value in (0, 255))
    assert detector.class_names == ("person", "car")
    assert np.abs(dark.scores - bright.scores).max() > 0
