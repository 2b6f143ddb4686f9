"""Replay: counts, skipped failures, evenly chosen pictures; live feeding equals replay."""

import dataclasses

import numpy as np
import pytest
from sample_frames import make_frames

from ivfusion_ros.config.pipeline import (
    DetectionConfig,
    FusionConfig,
    PipelineConfig,
    PositionsConfig,
    RegistrationConfig,
)
from ivfusion_ros.errors import ConfigError
from ivfusion_ros.geometry.rig import Extrinsics
from ivfusion_ros.geometry.tf import TransformTree
from ivfusion_ros.images.draw import triptych
from ivfusion_ros.images.files import read_image
from ivfusion_ros.images.film import EvenSample, Pictures
from ivfusion_ros.images.video import VideoReader
from ivfusion_ros.pipeline.build import build_locator, build_pipeline
from ivfusion_ros.pipeline.replay import Replay, summary
from ivfusion_ros.sync.synchronizer import Synchronizer
from ivfusion_ros.types import CameraInfo, Frame


@pytest.fixture
def pipeline(blend_model, box_model):
    config = PipelineConfig(
        fusion=FusionConfig(model=str(blend_model), backend="onnxruntime"),
        detection=DetectionConfig(model=str(box_model), backend="onnxruntime"),
    )
    with build_pipeline(config) as pipeline:
        yield pipeline


def test_report_counts_everything(pipeline) -> None:
    replay = Replay(Synchronizer(PipelineConfig()), pipeline)
    frames = list(make_frames(10))
    lost = frames.pop(7)  # the thermal frame of the fourth pair
    assert lost[0] == "thermal"
    results = list(replay.results(iter(frames)))
    report = replay.report()
    assert len(results) == report["pairs"] == 9
    assert report["frames"] == {"rgb": 10, "thermal": 9}
    assert report["drops"] == {"rgb_no_partner": 1}
    assert report["skew_ms"] == {"median": 4.0, "max": 4.0}
    assert report["detections"] == {"person": 9}
    assert set(report["stages_ms"]) == {"faults", "scale", "register", "fuse", "detect"}
    assert report["pipeline_ms"]["median"] > 0
    assert report["failed_pairs"] == {}
    # Noise is no scene: faults after 0.25 s of it, at 10 Hz (one step of 0.2 s where a pair is lost).
    assert report["faults"] == {"thermal_flat": 6, "rgb_flat": 6}


def test_a_pair_that_fails_is_counted_and_skipped(pipeline) -> None:
    frames = list(make_frames(5))
    camera, frame = frames[4]
    assert camera == "rgb"
    # A 16-bit RGB camera is no RGB image.
    frames[4] = camera, Frame(np.zeros((64, 96), np.uint16), frame.stamp_ns)
    replay = Replay(Synchronizer(PipelineConfig()), pipeline)
    assert len(list(replay.results(iter(frames)))) == 4
    assert sum(replay.skips.counts.values()) == 1


def test_nothing_in_nothing_out(pipeline) -> None:
    replay = Replay(Synchronizer(PipelineConfig()), pipeline)
    assert list(replay.results(iter([]))) == []
    assert replay.report()["pairs"] == 0
    assert summary([]) == {}
    assert summary([1.0, 2.0, 9.0])["median"] == 2.0


@pytest.mark.parametrize("count", [1, 3, 8, 9, 100, 2000])
def test_even_sample_is_bounded_and_even(count: int) -> None:
    sample = EvenSample(8)
    image = np.zeros((1, 1, 3), np.uint8)
    for index in range(count):
        if sample.wants(index):
            sample.add(index, image)
    chosen = [index for index, _ in sample.chosen()]
    assert 1 <= len(chosen) <= 8
    assert chosen[0] == 0
    if count > 1:
        assert len(chosen) >= min(count, 8) / 2
        assert len(set(np.diff(chosen))) <= 1
        assert chosen[-1] >= count / 2 - 1


def test_pictures_show_what_was_fused(pipeline, tmp_path) -> None:
    video, sheet = tmp_path / "film.mp4", tmp_path / "sheet.png"
    results = list(Replay(Synchronizer(PipelineConfig()), pipeline).results(make_frames(10)))
    with Pictures(video, sheet, 10.0) as pictures:
        for result in results:
            pictures.add(result)
    picture = triptych(results[0])
    assert picture.shape == (64, 3 * 96, 3)
    assert read_image(sheet).shape[1] == 1200
    with VideoReader(video) as film:
        stamps = [stamp_s for stamp_s, _ in film]
    assert len(stamps) == 10
    assert stamps[1] == pytest.approx(0.1, abs=1e-3)


def test_a_film_survives_a_change_of_size(pipeline, tmp_path) -> None:
    frames = list(make_frames(2)) + [
        (camera, Frame(frame.image, frame.stamp_ns + 10**9)) for camera, frame in make_frames(2, (48, 32))
    ]
    with Pictures(tmp_path / "film.mp4", None, 10.0) as pictures:
        for result in Replay(Synchronizer(PipelineConfig()), pipeline).results(iter(frames)):
            pictures.add(result)
    with VideoReader(tmp_path / "film.mp4") as film:
        assert [image.shape for _, image in film] == [(64, 288, 3)] * 4


def test_pictures_of_a_failed_replay_are_not_left(tmp_path) -> None:
    with pytest.raises(RuntimeError), Pictures(tmp_path / "film.mp4", tmp_path / "sheet.png", 10.0):
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_positions_follow_the_robots_transforms(blend_model, box_model) -> None:
    config = PipelineConfig(
        fusion=FusionConfig(model=str(blend_model), backend="onnxruntime"),
        detection=DetectionConfig(model=str(box_model), backend="onnxruntime"),
        positions=PositionsConfig(method="ground", frame="base"),
    )
    info = CameraInfo(96, 64, k=(80.0, 0, 47.5, 0, 80, 10, 0, 0, 1))
    frames = [
        (name, dataclasses.replace(frame, frame_id=f"{name}_frame", camera_info=info))
        for name, frame in make_frames(4)
    ]
    tree = TransformTree()
    with build_pipeline(config) as pipeline:
        replay = Replay(Synchronizer(config), pipeline, tree, follows_cameras=False, base_frame="base_link")
        results = replay.results(iter(frames))
        first = next(results)
        assert first.detections is not None and first.detections.positions is None
        # x forward, y left, z up.
        tree.set(
            "base_link", "rgb_frame", Extrinsics.from_quaternion((-0.5, 0.5, -0.5, 0.5), (0.4, 0, 1.2))
        )
        *_, last = results
    found = last.detections.positions
    # The box of the model is 20 px wide and 40 px high, its centre at (20, 40): its foot is in row 60.
    away = 1.2 * 80 / 49.5
    assert found.frame_id == "base_link"
    np.testing.assert_allclose(found.points_m[0, :2], [0.4 + away, away * 28 / 80], rtol=1e-5)
    report = replay.report()
    assert 1 <= report["pairs_without_base"] < 4
    # A pair that is begun before the transform may be placed after it.
    placed = report["positions"]["by the ground"]
    assert 1 <= placed < 4
    assert report["without_position"] == {"no transform to base_link": 4 - placed}


@pytest.mark.parametrize(
    ("section", "depth", "expected"),
    [
        ({"method": "auto", "camera_height_m": 1.0}, False, "positions are by the ground alone"),
        ({"method": "auto", "camera_height_m": 1.0}, True, ""),
        ({"method": "ground", "camera_height_m": 1.0}, False, ""),
    ],
)
def test_depth_that_is_not_taken_is_told(caplog, box_model, section, depth, expected) -> None:
    config = PipelineConfig(
        detection=DetectionConfig(model=str(box_model)),
        registration=RegistrationConfig(depth=depth),
        positions=PositionsConfig(**section),
    )
    assert build_locator(config) is not None
    assert (expected in caplog.text) if expected else not caplog.text


def test_positions_without_a_detector_are_told(caplog) -> None:
    config = PipelineConfig(detection=DetectionConfig(model=""), positions=PositionsConfig(method="ground"))
    assert build_locator(config) is None
    assert "no detector runs: there are no objects to place" in caplog.text


def test_positions_by_depth_need_depth(blend_model) -> None:
    config = PipelineConfig(
        fusion=FusionConfig(model=str(blend_model)), positions=PositionsConfig(method="depth")
    )
    with pytest.raises(ConfigError, match=r"registration.depth is false"):
        build_pipeline(config)
