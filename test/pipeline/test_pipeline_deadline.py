"""The pipeline under a deadline that it cannot meet."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import pytest

from ivfusion_ros.bags import BagReader, BagWriter
from ivfusion_ros.config.pipeline import (
    DeadlineConfig,
    DetectionConfig,
    FusionConfig,
    PipelineConfig,
)
from ivfusion_ros.images.draw import annotate
from ivfusion_ros.pipeline.build import build_pipeline
from ivfusion_ros.pipeline.replay import Replay
from ivfusion_ros.sync.synchronizer import Synchronizer
from ivfusion_ros.types import Frame, FramePair, FusionResult

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ivfusion_ros.pipeline.pipeline import Pipeline

IMPOSSIBLE = DeadlineConfig(budget_ms=1e-6, patience_s=0.1)
PERIOD_NS = 33_000_000


def frames(count: int) -> Iterator[FramePair]:
    random = np.random.default_rng(0)
    for index in range(count):
        thermal = random.integers(0, 256, (64, 96), np.uint8)
        rgb = random.integers(0, 256, (64, 96, 3), np.uint8)
        stamp_ns = 10**9 + index * PERIOD_NS
        yield FramePair(Frame(thermal, stamp_ns), Frame(rgb, stamp_ns))


@pytest.fixture
def config(blend_model: Path, box_model: Path) -> PipelineConfig:
    return PipelineConfig(
        fusion=FusionConfig(model=str(blend_model), backend="onnxruntime"),
        detection=DetectionConfig(model=str(box_model), backend="onnxruntime"),
    )


@pytest.fixture
def hurried(config: PipelineConfig) -> Iterator[Pipeline]:
    """A pipeline whose detector runs on every fourth image."""
    with build_pipeline(dataclasses.replace(config, deadline=IMPOSSIBLE)) as pipeline:
        for pair in frames(2000):
            if pipeline.process(pair).detector_stride == 4:
                break
        pipeline.reset()
        yield pipeline


def test_old_boxes_are_marked_with_their_age(hurried: Pipeline) -> None:
    results = [hurried.process(pair) for pair in frames(8)]
    ages = [result.detections.age_ns for result in results if result.detections]
    assert ages == [index * PERIOD_NS for index in (0, 1, 2, 3)] * 2
    assert all(result.detector_stride == 4 for result in results)
    assert results[0].detections and results[3].detections
    np.testing.assert_array_equal(results[0].detections.boxes_xyxy, results[3].detections.boxes_xyxy)


def test_old_boxes_are_drawn_grey(hurried: Pipeline) -> None:
    fresh, old = (hurried.process(pair).detections for pair in frames(2))
    assert fresh and old
    picture = annotate(np.zeros((64, 96, 3), np.uint8), old)
    assert picture.any() and (picture == picture[..., :1]).all()
    assert not (annotate(picture, fresh) == picture).all()


def test_old_boxes_are_not_written_to_a_bag(hurried: Pipeline, tmp_path: Path) -> None:
    with BagWriter(tmp_path / "out.mcap") as writer:
        for pair in frames(8):
            writer.write_result(hurried.process(pair))
    with BagReader([tmp_path / "out.mcap"]) as reader:
        counts = reader.message_counts
    assert counts and (counts["/fused/image_raw"], counts["/detections"]) == (8, 2)


def test_the_replay_counts_resting_pairs(hurried: Pipeline) -> None:
    replay = Replay(Synchronizer(PipelineConfig()), hurried)
    for pair in frames(8):
        list(replay.results([("thermal", pair.thermal), ("rgb", pair.rgb)]))
    report = replay.report()
    assert report["pairs_without_detection"] == 6
    assert sum(report["detections"].values()) == 2


def test_a_live_budget_of_zero_brings_the_detector_back(hurried: Pipeline, config: PipelineConfig) -> None:
    hurried.set_config(config)
    assert [age_of(hurried.process(pair)) for pair in frames(5)] == [0] * 5


def test_without_a_deadline_the_detector_never_rests(config: PipelineConfig) -> None:
    with build_pipeline(config) as pipeline:
        assert [age_of(pipeline.process(pair)) for pair in frames(20)] == [0] * 20


def age_of(result: FusionResult) -> int:
    assert result.detections is not None
    return result.detections.age_ns
