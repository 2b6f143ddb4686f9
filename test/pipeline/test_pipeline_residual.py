"""The dense residual in the pipeline: near objects fit better, all else stays as it is."""

import cv2
import numpy as np
import pytest

from ivfusion_ros.config.pipeline import DetectionConfig, FusionConfig, PipelineConfig, RegistrationConfig
from ivfusion_ros.geometry.calibration import Calibration, Remap, write_calibration
from ivfusion_ros.pipeline.build import build_pipeline
from ivfusion_ros.registration.scene.dense import Residual
from ivfusion_ros.simulate import RgbConfig, RigConfig, SceneConfig, Simulator, ThermalCameraConfig
from ivfusion_ros.types import FaultReport, Frame, FramePair, FusionResult

SIZE = (320, 240)
TIME_S = 1.0
CALIBRATED_M = 16.0


def street(baseline_m: float, seed: int) -> Simulator:
    """By day, with people from 6 m on."""
    thermal = ThermalCameraConfig(
        width=SIZE[0], height=SIZE[1], position_m=(baseline_m, 0, 0), shutter_interval_s=0.0
    )
    rig = RigConfig(RgbConfig(width=SIZE[0], height=SIZE[1]), thermal)
    return Simulator(SceneConfig(seed=seed, illumination="day"), rig)


def fuse(simulator: Simulator, blend_model, tmp_path, residual: str) -> FusionResult:
    """With what a perfect calibration for one distance gives."""
    planes = (np.where(np.isfinite(plane), plane, -1) for plane in simulator.static_map(CALIBRATED_M))
    remap = Remap(*(plane.astype(np.float32) for plane in planes))
    write_calibration(tmp_path / "plane.yaml", Calibration(SIZE, SIZE, remap=remap))
    config = configure(blend_model, calibration=str(tmp_path / "plane.yaml"), residual=residual)
    pair = FramePair(*(simulator.frame(TIME_S, camera) for camera in ("thermal", "rgb")))
    with build_pipeline(config) as pipeline:
        return pipeline.process(pair)


def true_thermal(simulator: Simulator, plain: FusionResult) -> np.ndarray:
    """The plainly registered thermal image, each pixel moved to where its surface really lies."""
    still = np.dstack(simulator.static_map(CALIBRATED_M))
    change = simulator.rgb_from_thermal_map(TIME_S) - still
    slopes = np.stack([np.nanmean(np.diff(still, axis=axis), axis=(0, 1)) for axis in (1, 0)], axis=1)
    rows, columns = np.indices(plain.thermal.shape)
    places = np.dstack([columns, rows]) + change @ np.linalg.inv(slopes).T
    places = np.nan_to_num(places, nan=-2.0).astype(np.float32)
    return cv2.remap(plain.thermal, places, None, cv2.INTER_LINEAR)


def near_pixels(simulator: Simulator) -> np.ndarray:
    """(H, W) bool, people and cars nearer than 9 m, away from the image's border."""
    depth = simulator.depth(TIME_S, "rgb")
    near = np.zeros(depth.shape, bool)
    for item in simulator.boxes(TIME_S, "rgb"):
        left, top, right, bottom = (round(side) for side in item.box_xyxy)
        if item.depth_m < 9 and item.visible_fraction > 0.9 and left > 40 and right < SIZE[0] - 20:
            box = np.s_[top:bottom, left:right]
            near[box] |= depth[box] < item.depth_m + 0.5
    return near


def test_near_objects_fit_better(blend_model, tmp_path) -> None:
    simulator = street(0.3, seed=2)
    plain, dense = (fuse(simulator, blend_model, tmp_path, way) for way in ("off", "dense"))
    assert dense.registration.residual_share > 0.5 and "residual" in dense.timings_ms
    np.testing.assert_array_equal(dense.rgb, plain.rgb)
    near, wanted = near_pixels(simulator), true_thermal(simulator, plain).astype(int)
    assert near.sum() > 1000
    before, after = (np.abs(item.thermal.astype(int) - wanted)[near].mean() for item in (plain, dense))
    assert after < 0.7 * before


def test_without_parallax_nothing_changes(blend_model, tmp_path) -> None:
    simulator = street(0.0, seed=0)
    plain, dense = (fuse(simulator, blend_model, tmp_path, way) for way in ("off", "dense"))
    assert dense.registration.residual_share == 0.0
    np.testing.assert_array_equal(dense.fused, plain.fused)


def random_pair() -> FramePair:
    random = np.random.default_rng(0)
    thermal = random.integers(0, 256, (64, 96), np.uint8)
    return FramePair(Frame(thermal, 0), Frame(random.integers(0, 256, (64, 96, 3), np.uint8), 0))


def configure(blend_model, detector="", **changes) -> PipelineConfig:
    return PipelineConfig(
        fusion=FusionConfig(model=str(blend_model), backend="onnxruntime"),
        detection=DetectionConfig(model=str(detector), backend="onnxruntime"),
        registration=RegistrationConfig(**changes),
    )


@pytest.mark.parametrize(("reference", "moved"), [("rgb", "thermal"), ("thermal", "rgb")])
def test_images_and_native_boxes_go_the_same_way(
    blend_model, box_model, monkeypatch, reference, moved
) -> None:
    """By a residual of 3 px to the right."""
    calls = []

    def residual(aligned, visible):
        calls.append((aligned, visible))
        return Residual(np.full((64, 96), 3, np.float32), np.zeros((64, 96), np.float32), 0.1, 0.75)

    monkeypatch.setattr("ivfusion_ros.registration.registrar.dense_residual", residual)
    pair = random_pair()
    with build_pipeline(
        configure(blend_model, box_model, reference=reference, residual="dense")
    ) as pipeline:
        result = pipeline.process(pair)
        alone = pipeline.detect(pipeline.rgb_only(pair.rgb, (96, 64)))
    assert [image.shape for image in calls[0]] == [(64, 96)] * 2 and len(calls) == 1
    np.testing.assert_array_equal(calls[0][reference == "thermal"], pair.thermal.image)
    images = {"thermal": pair.thermal.image, "rgb": pair.rgb.image}
    np.testing.assert_array_equal(getattr(result, moved)[:, :-3], images[moved][:, 3:])
    np.testing.assert_array_equal(getattr(result, reference), images[reference])
    found = result.detections
    boxes = {"thermal": found.thermal_boxes_xyxy, "rgb": found.rgb_boxes_xyxy}
    np.testing.assert_allclose(boxes[reference], [[10, 20, 30, 60]], atol=1e-3)
    np.testing.assert_allclose(boxes[moved], [[13, 20, 33, 60]], atol=1e-3)
    assert result.registration.residual_share == 0.75 and alone.registration.residual_share is None


def test_a_camera_with_a_fault_moves_nothing(blend_model, monkeypatch) -> None:
    monkeypatch.setattr(
        "ivfusion_ros.registration.registrar.dense_residual", lambda *_: pytest.fail("was asked")
    )
    with build_pipeline(configure(blend_model, residual="dense")) as pipeline:
        report = FaultReport(("thermal_flat",), 0.0, 1.0)
        monkeypatch.setattr(pipeline.faults, "update", lambda thermal, rgb, held: report)
        assert pipeline.process(random_pair()).registration.residual_share == 0.0


def test_off_by_default(blend_model, monkeypatch) -> None:
    monkeypatch.setattr(
        "ivfusion_ros.registration.registrar.dense_residual", lambda *_: pytest.fail("was asked")
    )
    with build_pipeline(configure(blend_model)) as pipeline:
        result = pipeline.process(random_pair())
    assert result.registration.residual_share is None and "residual" not in result.timings_ms
