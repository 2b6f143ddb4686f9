"""Pipelines with a rig: intrinsics, plane distance, depth images, boxes in each camera's own image."""

import dataclasses

import numpy as np
import pytest
from pipeline_samples import K, configure, make_pair, rig_file, with_infos

from ivfusion_ros.config.pipeline import RegistrationConfig, ThermalConfig
from ivfusion_ros.errors import ConfigError, ImageError
from ivfusion_ros.geometry.camera import CameraModel
from ivfusion_ros.pipeline.build import build_pipeline
from ivfusion_ros.types import Frame


def test_intrinsics_from_the_frames(blend_model, tmp_path) -> None:
    config = configure(blend_model, registration=rig_file(tmp_path))
    pair = make_pair()
    with build_pipeline(config) as pipeline:
        with pytest.raises(ConfigError, match=r"RGB camera_info: .*no calibration"):
            pipeline.process(pair)
        known = with_infos(pair)
        with pytest.raises(ConfigError, match=r"no rig\.thermal: .* publish camera_info"):
            pipeline.process(dataclasses.replace(known, thermal=pair.thermal))
        result = pipeline.process(with_infos(pair))
    # 80 * 0.2 / 4 = 4 pixels.
    np.testing.assert_array_equal(result.thermal[:, 4:], pair.thermal.image[:, :-4])
    assert not result.thermal[:, :4].any()


def test_plane_distance_is_live(blend_model, tmp_path) -> None:
    registration = rig_file(tmp_path)
    config = configure(blend_model, registration=registration)
    pair = with_infos(make_pair())
    with build_pipeline(config) as pipeline:
        for distance, shift in ((2.0, 8), (0.0, 4)):
            changed = dataclasses.replace(registration, plane_distance_m=distance)
            pipeline.set_config(dataclasses.replace(config, registration=changed))
            result = pipeline.process(pair)
            np.testing.assert_array_equal(result.thermal[:, shift:], pair.thermal.image[:, :-shift])


def test_plane_distance_without_a_rig(blend_model, box_model) -> None:
    config = configure(blend_model, box_model, registration=RegistrationConfig(plane_distance_m=3.0))
    with pytest.raises(ConfigError, match="only a calibration with a rig"):
        build_pipeline(config)
    with build_pipeline(dataclasses.replace(config, registration=RegistrationConfig())) as pipeline:
        strict = dataclasses.replace(
            config, detection=dataclasses.replace(config.detection, confidence=0.95)
        )
        with pytest.raises(ConfigError, match="only a calibration with a rig"):
            pipeline.set_config(strict)
        # Nothing else changed either.
        assert len(pipeline.process(make_pair()).detections) == 1


@pytest.mark.parametrize("reference", ["rgb", "thermal"])
def test_depth_moves_each_pixel_by_its_distance(blend_model, tmp_path, reference) -> None:
    registration = dataclasses.replace(rig_file(tmp_path), reference=reference)
    depth = np.full((64, 96), 4000, np.uint16)
    depth[:, 60:] = 2000
    depth[:32, 60:] = 0
    pair = with_infos(make_pair(), depth=depth)
    with build_pipeline(configure(blend_model, registration=registration)) as pipeline:
        result = pipeline.process(pair)
    shown, native = (
        (result.thermal, pair.thermal.image) if reference == "rgb" else (result.rgb, pair.rgb.image)
    )
    sign = -1 if reference == "rgb" else 1
    for rows, columns, shift in (
        (slice(0, 64), slice(10, 60), 4),
        (slice(32, 64), slice(60, 86), 8),
        (slice(0, 32), slice(60, 86), 4),
    ):
        at = slice(columns.start + sign * shift, columns.stop + sign * shift)
        np.testing.assert_array_equal(shown[rows, columns], native[rows, at])


def test_depth_of_another_kind() -> None:
    for depth in (np.zeros((4, 4)), np.zeros((4, 4, 1), np.float32), np.zeros((0, 4), np.uint16)):
        with pytest.raises(ImageError, match=r"depth image is .* expected a non-empty"):
            dataclasses.replace(make_pair(), depth=depth)


@pytest.mark.parametrize(("reference", "side"), [("rgb", "thermal"), ("thermal", "rgb")])
def test_boxes_and_temperatures_of_the_native_images(
    blend_model, box_model, tmp_path, reference, side
) -> None:
    camera = CameraModel((96, 64), np.array(K).reshape(3, 3), "plumb_bob", np.zeros(5))
    registration = rig_file(tmp_path, thermal=camera, rgb=camera)
    config = configure(
        blend_model,
        box_model,
        registration=dataclasses.replace(registration, reference=reference),
        thermal=ThermalConfig(scaling="radiometric", range_min=250, range_max=350),
    )
    random = np.random.default_rng(0)
    thermal = Frame(random.integers(28000, 31000, (64, 96), np.uint16), 1004)
    pair = dataclasses.replace(make_pair(), thermal=thermal)
    depth = np.full((64, 96), 2.0, np.float32)
    with build_pipeline(config) as pipeline:
        plane = pipeline.process(pair).detections
        near = pipeline.process(dataclasses.replace(pair, depth=depth)).detections
        lone = pipeline.detect(pipeline.rgb_only(pair.rgb, (96, 64))).detections
    sign = -1 if reference == "rgb" else 1
    for found, shift in ((plane, 4.0), (near, 8.0)):
        native = {"thermal": found.thermal_boxes_xyxy[0], "rgb": found.rgb_boxes_xyxy[0]}
        np.testing.assert_allclose(native[reference], [10, 20, 30, 60], atol=1e-3)
        moved = np.array([10, 20, 30, 60]) + np.array([1, 0, 1, 0]) * sign * shift
        np.testing.assert_allclose(native[side], moved, atol=1e-3)
        # The box's edges are whole pixels but for float32; within 0.01 no centre is near.
        left, top, right, bottom = np.round(native["thermal"]).astype(int)
        patch = thermal.image[top:bottom, left:right] * 0.01
        np.testing.assert_allclose(found.max_kelvin, [patch.max()], rtol=1e-6)
        np.testing.assert_allclose(found.mean_kelvin, [patch.mean()], rtol=1e-6)
    assert lone.thermal_boxes_xyxy is None and lone.max_kelvin is None
    assert lone.rgb_boxes_xyxy is not None
