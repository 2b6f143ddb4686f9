"""Pipeline: the stages meet as computed by hand; live parameters; one camera alone."""

import dataclasses

import numpy as np
import pytest
from pipeline_samples import INFO, configure, make_pair

from ivfusion_ros.config.pipeline import RegistrationConfig, ThermalConfig
from ivfusion_ros.errors import ConfigError, ImageError
from ivfusion_ros.geometry.calibration import Calibration, write_calibration
from ivfusion_ros.pipeline.build import build_pipeline
from ivfusion_ros.types import CameraInfo, FaultReport, Frame, FramePair, Header


def test_result_is_the_blend_under_the_rgb_header(blend_model) -> None:
    pair = make_pair()
    with build_pipeline(configure(blend_model)) as pipeline:
        result = pipeline.process(pair)
    expected = (pair.rgb.image.astype(int) + pair.thermal.image[..., None]) // 2
    np.testing.assert_array_equal(result.fused, expected)
    np.testing.assert_array_equal(result.thermal, pair.thermal.image)
    assert (result.stamp_ns, result.frame_id, result.camera_info) == (1000, "rgb_frame", INFO)
    assert (result.skew_ns, result.mode, result.detections) == (4, "fused", None)
    assert result.faults == FaultReport((), 1.0, 1.0)
    assert list(result.timings_ms) == ["faults", "scale", "register", "fuse"]


def test_calibration_moves_the_thermal_image(blend_model, tmp_path) -> None:
    shift = np.array([[1.0, 0, 5], [0, 1, 3], [0, 0, 1]])
    path = tmp_path / "shift.yaml"
    write_calibration(path, Calibration((96, 64), (96, 64), rgb_from_thermal=shift))
    pair = make_pair()
    config = configure(blend_model, registration=RegistrationConfig(str(path)))
    with build_pipeline(config) as pipeline:
        result = pipeline.process(pair)
    np.testing.assert_array_equal(result.thermal[3:, 5:], pair.thermal.image[:-3, :-5])
    assert not result.thermal[:3].any()


def test_thermal_of_another_size_is_scaled(blend_model) -> None:
    with build_pipeline(configure(blend_model)) as pipeline:
        assert pipeline.process(make_pair(thermal_size=(160, 128))).thermal.shape == (64, 96)


def test_thermal_reference_gives_stamp_frame_and_geometry_of_the_thermal_camera(blend_model) -> None:
    info = CameraInfo(48, 32)
    pair = make_pair(thermal_size=(48, 32))
    pair = dataclasses.replace(pair, thermal=dataclasses.replace(pair.thermal, camera_info=info))
    config = configure(blend_model, registration=RegistrationConfig(reference="thermal"))
    with build_pipeline(config) as pipeline:
        result = pipeline.process(pair)
        lone_rgb = pipeline.detect(pipeline.rgb_only(pair.rgb, (48, 32)))
        lone_thermal = pipeline.detect(pipeline.thermal_only(pair.thermal, (96, 64)))
    np.testing.assert_array_equal(result.thermal, pair.thermal.image)
    # Halving by linear interpolation is the mean of 2 x 2 pixels.
    halved = pair.rgb.image.reshape(32, 2, 48, 2, 3).mean(axis=(1, 3))
    assert np.abs(result.rgb - halved).max() <= 1
    np.testing.assert_array_equal(result.fused, (result.rgb.astype(int) + result.thermal[..., None]) // 2)
    assert (result.stamp_ns, result.frame_id, result.camera_info) == (1004, "t", info)
    assert result.skew_ns == 4
    np.testing.assert_array_equal(lone_rgb.fused, result.rgb)
    np.testing.assert_array_equal(lone_thermal.fused[..., 0], pair.thermal.image)
    assert result.headers == {"thermal": Header(1004, "t"), "rgb": Header(1000, "rgb_frame")}
    assert lone_rgb.headers == {"rgb": Header(1000, "rgb_frame")}
    assert lone_thermal.headers == {"thermal": Header(1004, "t")}
    assert (lone_rgb.mode, lone_thermal.mode) == ("rgb_only", "thermal_only")


def test_objects_are_not_sought_while_nobody_wants_them(blend_model, box_model, monkeypatch) -> None:
    with build_pipeline(configure(blend_model, box_model)) as pipeline:
        wanted = True
        pipeline.detects = lambda: wanted
        assert len(pipeline.process(make_pair()).detections) == 1
        with monkeypatch.context() as patch:
            patch.setattr(pipeline, "detector", lambda *_: pytest.fail("nobody wants to know"))
            wanted = False
            result = pipeline.process(make_pair())
        assert result.detections is None and "detect" not in result.timings_ms
        # Not those of before, even where the detector is to rest on this image.
        wanted, pipeline.deadline.stride = True, 4
        pipeline.deadline.update(1.0, 1.0)
        assert pipeline.process(make_pair()).detections.age_ns == 0


def test_detections_and_live_thresholds(blend_model, box_model) -> None:
    config = configure(blend_model, box_model)
    with build_pipeline(config) as pipeline:
        found = pipeline.process(make_pair()).detections
        np.testing.assert_allclose(found.boxes_xyxy, [[10, 20, 30, 60]], atol=1e-4)
        assert found.class_names[found.class_ids[0]] == "person"
        strict = dataclasses.replace(
            config, detection=dataclasses.replace(config.detection, confidence=0.95)
        )
        pipeline.set_config(strict)
        assert len(pipeline.process(make_pair()).detections) == 0
        unknown = dataclasses.replace(config.detection, classes=("persn",))
        with pytest.raises(ConfigError, match="person"):
            pipeline.set_config(dataclasses.replace(config, detection=unknown))


def test_live_thermal_scaling(blend_model) -> None:
    config = configure(blend_model)
    pair = make_pair()
    with build_pipeline(config) as pipeline:
        pipeline.set_config(dataclasses.replace(config, thermal=ThermalConfig(polarity="black_hot")))
        np.testing.assert_array_equal(pipeline.process(pair).thermal, 255 - pair.thermal.image)


def test_one_camera_alone(blend_model, box_model) -> None:
    pair = make_pair()
    with build_pipeline(configure(blend_model, box_model)) as pipeline:
        rgb_only = pipeline.detect(pipeline.rgb_only(pair.rgb))
        thermal_only = pipeline.detect(pipeline.thermal_only(pair.thermal, (48, 32)))
        assert pipeline.thermal_only(pair.thermal, None).result.fused.shape == (64, 96, 3)
    np.testing.assert_array_equal(rgb_only.fused, pair.rgb.image)
    assert (rgb_only.mode, rgb_only.stamp_ns, len(rgb_only.detections)) == ("rgb_only", 1000, 1)
    assert not rgb_only.thermal.any()
    assert thermal_only.fused.shape == (32, 48, 3)
    assert (thermal_only.fused[..., 0] == thermal_only.thermal).all()
    assert (thermal_only.mode, thermal_only.stamp_ns, thermal_only.frame_id) == ("thermal_only", 1004, "t")


def test_same_pairs_same_bytes_for_16_bit(blend_model) -> None:
    def run() -> bytes:
        with build_pipeline(configure(blend_model)) as pipeline:
            random = np.random.default_rng(3)
            fused = []
            for index in range(5):
                thermal = random.integers(29000, 30000 + 300 * index, (64, 96), np.uint16)
                frame = Frame(thermal, index * 40_000_000)
                fused.append(pipeline.process(FramePair(frame, make_pair(index).rgb)).fused.tobytes())
            return b"".join(fused)

    assert run() == run()


def test_images_too_small_to_pad(blend_model) -> None:
    tiny = FramePair(Frame(np.zeros((4, 4), np.uint8), 0), Frame(np.zeros((4, 4, 3), np.uint8), 0))
    with (
        build_pipeline(configure(blend_model)) as pipeline,
        pytest.raises(ImageError, match="at least 8"),
    ):
        pipeline.process(tiny)
