"""Detectors that take the registered thermal image beside the fused one."""

from pathlib import Path

import numpy as np
import pytest
from detector_samples import HEIGHT, IMAGE, NOTHING, WIDTH, FakeBackend, write_dynamic_detector
from pipeline_samples import configure, make_pair
from small_models import write_detector

from ivfusion_ros.backends import load_backend
from ivfusion_ros.backends.tensors import TensorInfo
from ivfusion_ros.cli import main
from ivfusion_ros.config.pipeline import DetectionConfig
from ivfusion_ros.detection import Detector
from ivfusion_ros.errors import ImageError, ModelError
from ivfusion_ros.images.files import write_image
from ivfusion_ros.pipeline import build_pipeline

pytest.importorskip("onnx")

THERMAL = np.random.default_rng(3).integers(0, 256, (HEIGHT, WIDTH), np.uint8)


class TwoImages(FakeBackend):
    """Takes the thermal image too; its input is named before the other."""

    def __init__(self, shape: tuple = (1, 1, HEIGHT, WIDTH), dtype: str = "float32") -> None:
        super().__init__(NOTHING)
        self.inputs = {"thermal": TensorInfo(shape, np.dtype(dtype)), **self.inputs}

    def run(self, inputs):
        self.seen.append(inputs["thermal"].copy())
        return super().run(inputs)


@pytest.fixture(scope="module")
def lamps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A detector of bright spots of the thermal image."""
    return write_dynamic_detector(tmp_path_factory.mktemp("lamps") / "lamps.onnx", "lamp", thermal=True)


def detector_of(path: Path, **settings: object) -> Detector:
    return Detector(load_backend(path, "onnxruntime"), DetectionConfig(confidence=0.9, **settings))


def test_the_network_sees_both_images_scaled_to_one() -> None:
    backend = TwoImages()
    detector = Detector(backend, DetectionConfig())
    detector(IMAGE, thermal=THERMAL)
    thermal, image = backend.seen[-2:]
    assert detector.takes_thermal
    np.testing.assert_allclose(image[0], IMAGE.transpose(2, 0, 1) / 255.0, atol=1e-6)
    np.testing.assert_allclose(thermal, THERMAL[None, None] / 255.0, atol=1e-6)


def test_both_images_are_fitted_alike() -> None:
    backend = TwoImages()
    image = np.zeros((60, 192, 3), np.uint8)
    image[::2, ::2] = np.random.default_rng(0).integers(0, 256, (30, 96, 1))
    Detector(backend, DetectionConfig())(image, thermal=np.ascontiguousarray(image[..., 0]))
    thermal, seen = backend.seen[-2:]
    np.testing.assert_array_equal(seen, np.repeat(thermal, 3, 1))
    np.testing.assert_allclose(thermal[0, 0, :17], 114 / 255, rtol=1e-6)
    assert thermal[0, 0, 17:47].std() > 0.05


def test_a_detector_of_one_image_does_not_look_at_it() -> None:
    backend = FakeBackend(NOTHING)
    detector = Detector(backend, DetectionConfig())
    detector(IMAGE, thermal=THERMAL)
    detector.check_alone()
    assert not detector.takes_thermal
    np.testing.assert_allclose(backend.seen[-1][0], IMAGE.transpose(2, 0, 1) / 255.0, atol=1e-6)


def test_what_thermal_alone_shows_is_found_where_it_is(lamps: Path) -> None:
    image, thermal = np.zeros((320, 640, 3), np.uint8), np.zeros((320, 640), np.uint8)
    thermal[96:104, 400:408] = 255
    found = detector_of(lamps)(image, thermal=thermal)
    np.testing.assert_allclose(found.boxes_xyxy, [[400, 96, 408, 104]], atol=0.1)
    assert found.class_names == ("lamp",)


def test_tiles_are_cut_out_of_both(lamps: Path) -> None:
    image, thermal = np.zeros((320, 1280, 3), np.uint8), np.zeros((320, 1280), np.uint8)
    for x, y in ((64, 32), (616, 160), (1200, 240)):
        thermal[y : y + 8, x : x + 8] = 255
    assert len(detector_of(lamps)(image, thermal=thermal)) == 0
    found = detector_of(lamps, tiles=8)(image, thermal=thermal)
    centres = (found.boxes_xyxy[:, :2] + found.boxes_xyxy[:, 2:]) / 2
    apart = np.abs(centres[:, None] - np.array([(68, 36), (620, 164), (1204, 244)])).max(axis=2)
    assert (apart.min(axis=0) < 4).all() and (apart.min(axis=1) < 6).all()


def test_a_missing_or_wrong_thermal_image_is_told(lamps: Path) -> None:
    detector = detector_of(lamps)
    with pytest.raises(ModelError, match="takes the registered thermal image beside the fused one"):
        detector(IMAGE)
    for thermal in (THERMAL[:-1], THERMAL[..., None], THERMAL.astype(np.uint16)):
        with pytest.raises(ImageError, match=r"thermal uint.*expected uint8 \(64, 96\)"):
            detector(IMAGE, thermal=thermal)


@pytest.mark.parametrize(
    ("shape", "dtype", "words"),
    [
        ((1, 3, HEIGHT, WIDTH), "float32", r"thermal is .*expected float32 or float16 \(1, 1, H, W\)"),
        ((1, 1, HEIGHT, WIDTH), "float16", "expected one type and size"),
        ((1, 1, HEIGHT, 32), "float32", "expected one type and size"),
    ],
)
def test_inputs_that_do_not_belong_together(shape: tuple, dtype: str, words: str) -> None:
    with pytest.raises(ModelError, match=words):
        Detector(TwoImages(shape, dtype), DetectionConfig())


def test_other_second_inputs_are_refused() -> None:
    backend = TwoImages()
    backend.inputs["depth"] = backend.inputs.pop("thermal")
    with pytest.raises(ModelError, match="inputs images, depth, expected one, or thermal beside it"):
        Detector(backend, DetectionConfig())


def test_a_pipeline_hands_over_the_registered_thermal_image(tmp_path: Path, blend_model: Path) -> None:
    detector = write_detector(tmp_path / "two.onnx", thermal=True)
    pair = make_pair(thermal_size=(48, 32))
    with build_pipeline(configure(blend_model, detector)) as pipeline:
        seen: list = []
        run = pipeline.detector.backend.run
        pipeline.detector.backend.run = lambda inputs: seen.append(inputs["thermal"]) or run(inputs)
        results = [
            pipeline.process(pair),
            pipeline.detect(pipeline.thermal_only(pair.thermal, (96, 64))),
            pipeline.detect(pipeline.rgb_only(pair.rgb)),
        ]
    assert [result.mode for result in results] == ["fused", "thermal_only", "rgb_only"]
    assert [bool(tensor.any()) for tensor in seen] == [True, True, False]
    for tensor, result in zip(seen, results, strict=True):
        np.testing.assert_allclose(tensor[0, 0], result.thermal / 255.0, atol=1e-6)


def test_images_alone_are_refused_before_any_is_read(lamps: Path, tmp_path: Path, capsys) -> None:
    write_image(tmp_path / "a.png", IMAGE)
    words = ["detect", str(tmp_path / "a.png"), str(tmp_path / "out"), "--detector", str(lamps)]
    assert main([*words, "--backend", "onnxruntime"]) == ModelError.exit_code
    assert "takes the registered thermal image" in capsys.readouterr().err
    assert not list((tmp_path / "out").glob("*"))
