"""Pipeline: the stages meet as computed by hand; live parameters; one camera alone."""

import dataclasses
from collections.abc import Iterator

import cv2
import numpy as np
import pytest

from ivfusion_ros.build import build_pipeline, build_warp, fusion_model_name
from ivfusion_ros.config import (
    DetectionConfig,
    FaultConfig,
    FusionConfig,
    PipelineConfig,
    RefinementConfig,
    RegistrationConfig,
    ThermalConfig,
)
from ivfusion_ros.errors import ConfigError, ImageError, ModelError
from ivfusion_ros.faults import FaultReport
from ivfusion_ros.parameters import make_config
from ivfusion_ros.registration.calibration import Calibration, Remap, write_calibration
from ivfusion_ros.registration.camera import CameraModel
from ivfusion_ros.registration.learned import write_learned
from ivfusion_ros.registration.rig import Extrinsics, RigParts
from ivfusion_ros.types import CameraInfo, Frame, FramePair, Header

INFO = CameraInfo(96, 64)


def configure(blend_model, detector="", **sections) -> PipelineConfig:
    return PipelineConfig(
        fusion=FusionConfig(model=str(blend_model), backend="onnxruntime"),
        detection=DetectionConfig(model=str(detector), backend="onnxruntime"),
        **sections,
    )


def make_pair(seed: int = 0, thermal_size: tuple[int, int] = (96, 64)) -> FramePair:
    random = np.random.default_rng(seed)
    thermal = random.integers(0, 256, (thermal_size[1], thermal_size[0]), np.uint8)
    rgb = random.integers(0, 256, (64, 96, 3), np.uint8)
    return FramePair(Frame(thermal, 1004, "t"), Frame(rgb, 1000, "rgb_frame", INFO), 4)


def test_result_is_the_blend_under_the_rgb_header(blend_model) -> None:
    pair = make_pair()
    with build_pipeline(configure(blend_model)) as pipeline:
        result = pipeline.process(pair)
    expected = (pair.rgb.image.astype(int) + pair.thermal.image[..., None]) // 2
    np.testing.assert_array_equal(result.fused, expected)
    np.testing.assert_array_equal(result.thermal, pair.thermal.image)
    assert (result.stamp_ns, result.frame_id, result.camera_info) == (1000, "rgb_frame", INFO)
    assert (result.skew_ns, result.mode, result.detections) == (4, "fused", None)
    assert (result.faults, result.thermal_weight, result.rgb_weight) == ((), 1.0, 1.0)
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


def test_a_missing_detector_means_fusion_only_and_says_so(blend_model, caplog, monkeypatch) -> None:
    monkeypatch.setattr("ivfusion_ros.build.read_models", dict)
    config = make_config(PipelineConfig, {"fusion.model": str(blend_model), "detection.model": "auto"})
    with build_pipeline(config) as pipeline:
        assert pipeline.process(make_pair()).detections is None
    assert "fusion only" in caplog.text


def test_auto_takes_the_fusion_network_that_fits_the_machine(monkeypatch) -> None:
    assert fusion_model_name(FusionConfig(backend="onnxruntime")) == "refinefuse_lite"
    monkeypatch.setattr("ivfusion_ros.build.resolve_backend", lambda *_: "tensorrt")
    assert fusion_model_name(FusionConfig()) == "refinefuse"
    assert fusion_model_name(FusionConfig(model="mst")) == "mst"


def test_a_detector_is_no_fusion_model(box_model) -> None:
    with pytest.raises(ModelError, match="expected thermal and rgb -> fused"):
        build_pipeline(configure(box_model))


def test_images_too_small_to_pad(blend_model) -> None:
    tiny = FramePair(Frame(np.zeros((4, 4), np.uint8), 0), Frame(np.zeros((4, 4, 3), np.uint8), 0))
    with (
        build_pipeline(configure(blend_model)) as pipeline,
        pytest.raises(ModelError, match="at least 8 x 8"),
    ):
        pipeline.process(tiny)


K = (80.0, 0.0, 47.5, 0.0, 80.0, 31.5, 0.0, 0.0, 1.0)
SIDE_BY_SIDE = Extrinsics(np.eye(3), np.array([0.2, 0.0, 0.0]))
"""rgb_from_thermal: at z metres a thermal pixel lies 80 * 0.2 / z to the left of the RGB pixel."""


def rig_file(tmp_path, **parts) -> RegistrationConfig:
    parts = {"rgb_from_thermal": SIDE_BY_SIDE, "plane_distance_m": 4.0, **parts}
    write_calibration(tmp_path / "rig.yaml", Calibration((96, 64), (96, 64), rig=RigParts(**parts)))
    return RegistrationConfig(str(tmp_path / "rig.yaml"))


def with_infos(pair: FramePair, **changes) -> FramePair:
    info = CameraInfo(96, 64, k=K)
    thermal, rgb = (dataclasses.replace(frame, camera_info=info) for frame in (pair.thermal, pair.rgb))
    return dataclasses.replace(pair, thermal=thermal, rgb=rgb, **changes)


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
    assert (result.thermal_header, result.rgb_header) == (Header(1004, "t"), Header(1000, "rgb_frame"))
    assert (lone_rgb.thermal_header, lone_rgb.rgb_header) == (None, Header(1000, "rgb_frame"))
    assert (lone_thermal.thermal_header, lone_thermal.rgb_header) == (Header(1004, "t"), None)
    assert (lone_rgb.mode, lone_thermal.mode) == ("rgb_only", "thermal_only")


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


def covered_pairs(count: int) -> list[FramePair]:
    """A textured RGB scene at 10 Hz, and a thermal camera whose lens is covered."""
    rgb = cv2.GaussianBlur(make_pair().rgb.image, (0, 0), 3)
    rgb = cv2.normalize(rgb, None, 0, 200, cv2.NORM_MINMAX)
    pairs = []
    for index in range(count):
        random = np.random.default_rng(index)
        thermal = random.integers(98, 103, (64, 96)).astype(np.uint8)
        seen = random.integers(-2, 3, rgb.shape) + rgb
        stamp_ns = index * 100_000_000
        pairs.append(
            FramePair(Frame(thermal, stamp_ns), Frame(seen.clip(0, 255).astype(np.uint8), stamp_ns))
        )
    return pairs


def blend_of(pair: FramePair) -> np.ndarray:
    return (pair.rgb.image.astype(int) + pair.thermal.image[..., None]) // 2


def test_a_covered_camera_is_named_and_faded_out(blend_model) -> None:
    pairs = covered_pairs(16)
    with build_pipeline(configure(blend_model)) as pipeline:
        results = [pipeline.process(pair) for pair in pairs]
        last = results[-1]
        # Sound so far as is known: exactly the network's output.
        np.testing.assert_array_equal(results[0].fused, blend_of(pairs[0]))
        assert results[0].faults == () and last.faults == ("thermal_flat",)
        assert (last.thermal_weight, last.rgb_weight) == (0.0, 1.0)
        np.testing.assert_array_equal(last.fused, pairs[-1].rgb.image)
        pipeline.reset()
        np.testing.assert_array_equal(pipeline.process(pairs[-1]).fused, blend_of(pairs[-1]))


def test_gating_is_live(blend_model) -> None:
    pairs = covered_pairs(16)
    config = configure(blend_model)
    with build_pipeline(config) as pipeline:
        pipeline.set_config(dataclasses.replace(config, faults=FaultConfig(gate=False)))
        last = [pipeline.process(pair) for pair in pairs][-1]
    assert last.faults == ("thermal_flat",) and last.thermal_weight == 1.0
    np.testing.assert_array_equal(last.fused, blend_of(pairs[-1]))


def test_one_camera_alone_has_no_faults(blend_model) -> None:
    pairs = covered_pairs(16)
    with build_pipeline(configure(blend_model)) as pipeline:
        results = [pipeline.detect(pipeline.thermal_only(pair.thermal, None)) for pair in pairs]
    assert results[-1].faults == ()


def displaced_pairs(count: int, shift_px: int) -> Iterator[FramePair]:
    """One scene of blobs in both cameras at 10 Hz, the thermal image displaced to the left."""
    scene = cv2.GaussianBlur(
        np.random.default_rng(5).normal(0, 1, (128, 220)).astype(np.float32), (0, 0), 4
    )
    scene = np.where(scene > 0, 180, 60).astype(np.float32)
    random = np.random.default_rng(6)
    for index in range(count):
        thermal, grey = scene[:, 20 + shift_px : 180 + shift_px], scene[:, 20:180]
        noisy = [(image + random.normal(0, 2, image.shape)).clip(0, 255) for image in (thermal, grey)]
        stamp_ns = 10**9 + index * 100_000_000
        rgb = np.repeat(noisy[1][..., None], 3, 2).astype(np.uint8)
        yield FramePair(Frame(noisy[0].astype(np.uint8), stamp_ns), Frame(rgb, stamp_ns))


def refining(blend_model, reference: str = "rgb") -> PipelineConfig:
    refine = RefinementConfig(model="shift", max_rate_px_s=20.0)
    return configure(blend_model, registration=RegistrationConfig(reference=reference, refine=refine))


@pytest.mark.parametrize("reference", ["rgb", "thermal"])
def test_refinement_aligns_what_the_calibration_leaves(blend_model, reference) -> None:
    with build_pipeline(refining(blend_model, reference)) as pipeline:
        results = [pipeline.process(pair) for pair in displaced_pairs(40, 4)]
        first, last = results[0], results[-1]
        assert "refine" in last.timings_ms
        assert first.drift_px == 0.0 and last.drift_px == pytest.approx(4.0, abs=0.7)
        assert last.registration_confidence > 0.5
        off = [
            np.abs(item.thermal[8:-8, 12:-12].astype(int) - item.rgb[8:-8, 12:-12, 0]).mean()
            for item in (first, last)
        ]
        assert off[1] < 0.5 * off[0]
        pipeline.reset()
        again = pipeline.process(next(displaced_pairs(1, 4)))
    assert again.drift_px == 0.0
    np.testing.assert_array_equal(again.fused, first.fused)


def test_refinement_is_off_by_default(blend_model) -> None:
    with build_pipeline(configure(blend_model)) as pipeline:
        results = [pipeline.process(pair) for pair in displaced_pairs(10, 4)]
    assert results[-1].drift_px is None and results[-1].registration_confidence is None
    assert "refine" not in results[-1].timings_ms


def test_refinement_learns_nothing_from_a_camera_with_a_fault(blend_model, monkeypatch) -> None:
    report = FaultReport(("thermal_flat",), 0.0, 1.0)
    with build_pipeline(refining(blend_model)) as pipeline:
        monkeypatch.setattr(pipeline.faults, "update", lambda thermal, rgb: report)
        results = [pipeline.process(pair) for pair in displaced_pairs(40, 4)]
    assert results[-1].drift_px == 0.0


@pytest.mark.parametrize("kind", ["homography", "remap"])
@pytest.mark.parametrize("reference", ["rgb", "thermal"])
def test_accepted_calibration_gives_what_was_learned(blend_model, tmp_path, reference, kind) -> None:
    path = tmp_path / "rig.yaml"
    y, x = np.mgrid[:128, :160].astype(np.float32)
    parts = {"remap": Remap(x, y)} if kind == "remap" else {"rgb_from_thermal": np.eye(3)}
    write_calibration(path, Calibration((160, 128), (160, 128), **parts))
    config = refining(blend_model, reference)
    registration = dataclasses.replace(config.registration, calibration=str(path))
    with build_pipeline(dataclasses.replace(config, registration=registration)) as pipeline:
        with pytest.raises(ConfigError, match="nothing to write"):
            pipeline.accepted_calibration()
        for pair in displaced_pairs(40, 4):
            pipeline.process(pair)
        learned = write_learned(path, pipeline.accepted_calibration())
        with_correction = pipeline.process(pair)
    assert learned.name == "rig_accepted_1.yaml"
    plain = RegistrationConfig(str(learned), reference)
    with build_pipeline(configure(blend_model, registration=plain)) as pipeline:
        alone = pipeline.process(pair)
    difference = np.abs(alone.fused.astype(int) - with_correction.fused)[8:-8, 12:-12]
    assert difference.max() <= 8 and difference.mean() < 0.5


def test_nothing_can_be_accepted_without_refinement_or_calibration(blend_model) -> None:
    with (
        build_pipeline(configure(blend_model)) as pipeline,
        pytest.raises(ConfigError, match=r"refine\.model is off"),
    ):
        pipeline.accepted_calibration()
    with build_pipeline(refining(blend_model)) as pipeline:
        for pair in displaced_pairs(40, 4):
            pipeline.process(pair)
        with pytest.raises(ConfigError, match="no calibration that could"):
            pipeline.accepted_calibration()


def test_learned_files_are_numbered_and_overwrite_nothing(tmp_path) -> None:
    path, calibration = tmp_path / "rig.yaml", Calibration((8, 8), (8, 8), rgb_from_thermal=np.eye(3))
    names = [write_learned(path, calibration) for _ in range(2)]
    names.append(write_learned(names[0], calibration))
    assert [item.name for item in names] == [f"rig_accepted_{number}.yaml" for number in (1, 2, 3)]
    assert sorted(tmp_path.iterdir()) == names
    with pytest.raises(ConfigError, match="cannot write"):
        write_learned(tmp_path / "none" / "rig.yaml", calibration)


@pytest.mark.parametrize("scale", [1, 2])
@pytest.mark.parametrize("reference", ["rgb", "thermal"])
def test_accepted_rig_with_intrinsics_of_the_cameras(tmp_path, reference, scale) -> None:
    registration = dataclasses.replace(rig_file(tmp_path), reference=reference)
    warp = build_warp(registration)
    # A pixel's centre is an integer, so twice the size moves the principal point by half a pixel more.
    k = (80.0 * scale, 0.0, 48.0 * scale - 0.5, 0.0, 80.0 * scale, 32.0 * scale - 0.5, 0.0, 0.0, 1.0)
    info = CameraInfo(96 * scale, 64 * scale, k=k)
    warp.set_camera_infos(info, info)
    correction = np.array([[1.0, 0.0, 3.0], [0.0, 1.0, -2.0], [0.0, 0.0, 1.0]])
    image = cv2.GaussianBlur(make_pair().rgb.image, (0, 0), 2)
    write_calibration(tmp_path / "new.yaml", warp.accepted(correction, (96, 64)))
    alone = build_warp(RegistrationConfig(str(tmp_path / "new.yaml"), reference))(image, (96, 64))
    warp.set_correction(correction)
    difference = np.abs(alone.astype(int) - warp(image, (96, 64)))[8:-8, 12:-12]
    assert difference.max() <= 2
    warp.set_correction(None)
    assert np.abs(alone.astype(int) - warp(image, (96, 64))).max() > 20
