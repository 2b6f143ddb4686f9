"""Online refinement in the pipeline, and the calibration that it learns."""

import dataclasses
import json
from collections.abc import Iterator

import cv2
import numpy as np
import pytest
from matcher_samples import block_matcher, street
from pipeline_samples import configure, make_pair, rig_file

from ivfusion_ros import cli
from ivfusion_ros.bags import BagWriter
from ivfusion_ros.config.pipeline import PipelineConfig, RefinementConfig, RegistrationConfig
from ivfusion_ros.errors import ConfigError, ModelError
from ivfusion_ros.geometry.calibration import Calibration, Remap, write_calibration
from ivfusion_ros.geometry.learned import write_learned
from ivfusion_ros.pipeline.build import build_pipeline
from ivfusion_ros.pipeline.bumps import Bumps
from ivfusion_ros.registration.registrar import build_registrar
from ivfusion_ros.types import CAMERAS, CameraInfo, FaultReport, Frame, FramePair


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


def distant_pairs(count: int, shift_px: int) -> Iterator[FramePair]:
    """One street in both cameras at 10 Hz, further apart than the refinement's own search reaches."""
    random = np.random.default_rng(6)
    for index in range(count):
        noisy = [image + random.integers(0, 4, image.shape, np.uint8) for image in street(1, shift_px)]
        stamp_ns = 10**9 + index * 100_000_000
        yield FramePair(Frame(noisy[0], stamp_ns), Frame(np.repeat(noisy[1][..., None], 3, 2), stamp_ns))


def refining(blend_model, reference: str = "rgb") -> PipelineConfig:
    refine = RefinementConfig(model="shift", max_rate_px_s=20.0)
    return configure(blend_model, registration=RegistrationConfig(reference=reference, refine=refine))


@pytest.mark.parametrize("reference", ["rgb", "thermal"])
def test_a_matcher_finds_what_lies_far_apart(blend_model, tmp_path, caplog, reference) -> None:
    matcher = str(block_matcher(tmp_path / "blocks.onnx"))
    drifts = {}
    for path in ("", matcher, matcher):
        refine = RefinementConfig(model="shift", max_px=120.0, matcher=path)
        config = configure(blend_model, registration=RegistrationConfig(reference=reference, refine=refine))
        with build_pipeline(config) as pipeline:
            results = [pipeline.process(pair) for pair in distant_pairs(36, 70)]
        drifts.setdefault(path, []).append([one.registration.drift_px for one in results])
    assert max(drifts[""][0]) < 10
    assert drifts[matcher][0][-1] == pytest.approx(70, abs=1.5)
    assert drifts[matcher][0] == drifts[matcher][1]
    assert caplog.text.count("a camera was moved, as the matcher found:") == 2


def test_a_replay_tells_that_a_matcher_was_asked_and_followed(blend_model, tmp_path) -> None:
    bag, matcher = tmp_path / "moved.mcap", str(block_matcher(tmp_path / "blocks.onnx"))
    with BagWriter(bag) as writer:
        for pair in distant_pairs(32, 70):
            for camera in CAMERAS:
                writer.write_frame(camera, pair.frames[camera])
    words = ["replay", bag, tmp_path / "fused.mcap", "--model", blend_model, "--detector", ""]
    words += ["--json", tmp_path / "run.json", "--html", tmp_path / "run.html"]
    for setting in ("model=shift", "max_px=120", f"matcher={matcher}"):
        words += ["--set", f"registration.refine.{setting}"]
    assert cli.main(list(map(str, words))) == 0
    found = json.loads((tmp_path / "run.json").read_text())
    assert found["models"]["matching"] == matcher
    counts = found["refinement"]
    assert counts["bumps"] == counts["bumps_by_matcher"] == 1
    # Two answers that agree are followed.
    assert counts["matcher_asked"] >= 2
    page = (tmp_path / "run.html").read_text()
    assert f"bumps 1, bumps_by_matcher 1, matcher_asked {counts['matcher_asked']}" in page


def test_a_bump_that_the_images_told_is_not_the_matchers(blend_model, caplog) -> None:
    refine = RefinementConfig(model="shift", max_px=40.0)
    config = configure(blend_model, registration=RegistrationConfig(refine=refine))
    bumps = Bumps()
    with build_pipeline(config) as pipeline:
        for pair in displaced_pairs(40, 12):
            bumps.add(pipeline.process(pair).registration)
    assert bumps.report() == {"refinement": {"bumps": 1, "bumps_by_matcher": 0, "matcher_asked": 0}}
    assert "a camera was moved: images that lay apart" in caplog.text


def test_a_matcher_that_is_not_there_is_refused(blend_model, tmp_path) -> None:
    refine = RefinementConfig(model="shift", matcher=str(tmp_path / "none.onnx"))
    with pytest.raises(ModelError, match="there is no model file at"):
        build_pipeline(configure(blend_model, registration=RegistrationConfig(refine=refine)))


@pytest.mark.parametrize("reference", ["rgb", "thermal"])
def test_refinement_aligns_what_the_calibration_leaves(blend_model, reference) -> None:
    with build_pipeline(refining(blend_model, reference)) as pipeline:
        results = [pipeline.process(pair) for pair in displaced_pairs(40, 4)]
        first, last = results[0], results[-1]
        assert "refine" in last.timings_ms
        assert first.registration.drift_px == 0.0 and last.registration.drift_px == pytest.approx(
            4.0, abs=0.7
        )
        assert last.registration.confidence > 0.5
        off = [
            np.abs(item.thermal[8:-8, 12:-12].astype(int) - item.rgb[8:-8, 12:-12, 0]).mean()
            for item in (first, last)
        ]
        assert off[1] < 0.5 * off[0]
        pipeline.reset()
        again = pipeline.process(next(displaced_pairs(1, 4)))
    assert again.registration.drift_px == 0.0
    np.testing.assert_array_equal(again.fused, first.fused)


def test_refinement_learns_nothing_from_a_held_image(blend_model) -> None:
    with build_pipeline(refining(blend_model)) as pipeline:
        pairs = [dataclasses.replace(pair, held=True) for pair in displaced_pairs(40, 4)]
        assert [pipeline.process(pair) for pair in pairs][-1].registration.drift_px == 0.0


def test_refinement_is_off_by_default(blend_model) -> None:
    with build_pipeline(configure(blend_model)) as pipeline:
        results = [pipeline.process(pair) for pair in displaced_pairs(10, 4)]
    assert results[-1].registration.drift_px is None and results[-1].registration.confidence is None
    assert "refine" not in results[-1].timings_ms
    bumps = Bumps()
    bumps.add(results[-1].registration)
    assert bumps.report() == {}


def test_refinement_learns_nothing_from_a_camera_with_a_fault(blend_model, monkeypatch) -> None:
    report = FaultReport(("thermal_flat",), 0.0, 1.0)
    with build_pipeline(refining(blend_model)) as pipeline:
        monkeypatch.setattr(pipeline.faults, "update", lambda thermal, rgb, held: report)
        results = [pipeline.process(pair) for pair in displaced_pairs(40, 4)]
    assert results[-1].registration.drift_px == 0.0


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
            pipeline.registrar.accepted_calibration()
        for pair in displaced_pairs(40, 4):
            pipeline.process(pair)
        learned = write_learned(path, pipeline.registrar.accepted_calibration())
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
        pipeline.registrar.accepted_calibration()
    with build_pipeline(refining(blend_model)) as pipeline:
        for pair in displaced_pairs(40, 4):
            pipeline.process(pair)
        with pytest.raises(ConfigError, match="no calibration to write"):
            pipeline.registrar.accepted_calibration()


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
    warp = build_registrar(registration).warp
    # A pixel's centre is an integer, so twice the size moves the principal point by half a pixel more.
    k = (80.0 * scale, 0.0, 48.0 * scale - 0.5, 0.0, 80.0 * scale, 32.0 * scale - 0.5, 0.0, 0.0, 1.0)
    info = CameraInfo(96 * scale, 64 * scale, k=k)
    warp.set_camera_infos(info, info)
    correction = np.array([[1.0, 0.0, 3.0], [0.0, 1.0, -2.0], [0.0, 0.0, 1.0]])
    image = cv2.GaussianBlur(make_pair().rgb.image, (0, 0), 2)
    write_calibration(tmp_path / "new.yaml", warp.accepted(correction, (96, 64)))
    alone = build_registrar(RegistrationConfig(str(tmp_path / "new.yaml"), reference)).warp(image, (96, 64))
    warp.set_correction(correction)
    difference = np.abs(alone.astype(int) - warp(image, (96, 64)))[8:-8, 12:-12]
    assert difference.max() <= 2
    warp.set_correction(None)
    assert np.abs(alone.astype(int) - warp(image, (96, 64))).max() > 20
