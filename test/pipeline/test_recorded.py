"""Recordings on two cores: a network on each core, two images searched at once, and the same results."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import pytest

from ivfusion_ros.backends import cpu
from ivfusion_ros.backends.choice import load_backend
from ivfusion_ros.config.parameters import make_config
from ivfusion_ros.config.pipeline import PipelineConfig
from ivfusion_ros.models import resolve_model
from ivfusion_ros.pipeline.build import build_pipeline, load_networks
from ivfusion_ros.pipeline.replay import Replay
from ivfusion_ros.simulate import SceneConfig, Simulator
from ivfusion_ros.sync.synchronizer import Synchronizer

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("openvino")


def give_cores(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.setattr(cpu, "allowed_cores", lambda: count)
    monkeypatch.setattr(cpu, "core_limit", lambda _: None)


@pytest.fixture(autouse=True)
def _two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    give_cores(monkeypatch, 2)


def config_of(blend_model: Path, box_model: Path, **settings: object) -> PipelineConfig:
    models = {"fusion.model": str(blend_model), "detection.model": str(box_model)}
    named = {name.replace("__", "."): value for name, value in settings.items()}
    return make_config(PipelineConfig, {**models, **named})


@pytest.mark.parametrize(
    ("settings", "looks"),
    [
        ({}, 2),
        ({"fusion__threads": 2}, 1),
        ({"detection__threads": 1}, 1),
        ({"deadline__budget_ms": 50.0}, 1),
        ({"fusion__backend": "onnxruntime"}, 1),
        ({"detection__backend": "onnxruntime"}, 1),
        ({"fusion__backend": "measured"}, 1),
        ({"detection__backend": "measured"}, 1),
        ({"fusion__backend": "onnxruntime", "detection__backend": "onnxruntime"}, 2),
    ],
)
def test_two_looks_where_nobody_chose_otherwise(
    blend_model: Path, box_model: Path, settings: dict[str, object], looks: int
) -> None:
    config = config_of(blend_model, box_model, **settings)
    assert load_networks(config, recorded=True).looks == looks
    assert load_networks(config).looks == 1


def test_other_machines_and_fusion_alone_have_one_look(
    blend_model: Path, box_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert load_networks(config_of(blend_model, box_model, detection__model=""), recorded=True).looks == 1
    give_cores(monkeypatch, 8)
    assert load_networks(config_of(blend_model, box_model), recorded=True).looks == 1
    # A container with the time of two of them.
    monkeypatch.setattr(cpu, "core_limit", lambda _: 2.0)
    assert load_networks(config_of(blend_model, box_model), recorded=True).looks == 2


@pytest.mark.parametrize(("model", "backend"), [("yolov5n_int8", "openvino"), ("yolov5n", "onnxruntime")])
def test_a_spread_network_gives_the_same_from_several_threads(model: str, backend: str) -> None:
    path = resolve_model(model)
    random = np.random.default_rng(0)
    images = [random.random((1, 3, 480, 640), np.float32) for _ in range(6)]
    alone = load_backend(path, backend, threads=2)
    (name,) = alone.inputs
    expected = [alone.run({name: image}) for image in images]
    spread = load_backend(path, backend)
    spread.spread(2)  # type: ignore[attr-defined]
    together = threading.Barrier(2, timeout=60)

    def run(image: np.ndarray) -> dict[str, np.ndarray]:
        together.wait()
        return spread.run({name: image})

    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(run, images))
    for one, other in zip(found, expected, strict=True):
        for output, values in other.items():
            np.testing.assert_array_equal(one[output], values)


def test_a_recording_gives_what_it_gives_one_by_one() -> None:
    frames = list(Simulator(SceneConfig(seed=7, duration_s=0.4)).frames())
    results = []
    for recorded in (False, True):
        config = make_config(PipelineConfig, {"tracking.tracker": "bytetrack"})
        with build_pipeline(config, recorded=recorded) as pipeline:
            assert pipeline.looks == (2 if recorded else 1)
            results.append(list(Replay(Synchronizer(config), pipeline).results(iter(frames))))
    assert len(results[0]) == len(results[1]) > 5
    assert any(len(result.detections) for result in results[0])
    for one, other in zip(*results, strict=True):
        np.testing.assert_array_equal(one.fused, other.fused)
        assert one.stamp_ns == other.stamp_ns
        for part in ("boxes_xyxy", "scores", "class_ids", "track_ids"):
            np.testing.assert_array_equal(getattr(one.detections, part), getattr(other.detections, part))
