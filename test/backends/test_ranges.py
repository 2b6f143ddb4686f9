"""Names in NVIDIA's profilers: over what they stand, and that nothing needs nvtx."""

import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from ivfusion_ros.backends import ranges
from ivfusion_ros.config.pipeline import DetectionConfig, FusionConfig, PipelineConfig
from ivfusion_ros.pipeline.build import build_pipeline
from ivfusion_ros.types import Frame, FramePair


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    ranges._annotate.cache_clear()
    yield
    ranges._annotate.cache_clear()


def run_a_pair(blend_model: Path, box_model: Path) -> None:
    fusion = FusionConfig(model=str(blend_model), backend="onnxruntime")
    detection = DetectionConfig(model=str(box_model), backend="onnxruntime")
    thermal, rgb = np.zeros((64, 96), np.uint8), np.zeros((64, 96, 3), np.uint8)
    with build_pipeline(PipelineConfig(fusion=fusion, detection=detection)) as pipeline:
        pipeline.process(FramePair(Frame(thermal, 0), Frame(rgb, 0)))


def test_stages_have_their_names(
    blend_model: Path, box_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []

    class Annotate:
        def __init__(self, name: str, domain: str) -> None:
            self.name = f"{domain}: {name}"

        def __enter__(self) -> None:
            told.append(f"begin {self.name}")

        def __exit__(self, *_: object) -> None:
            told.append(f"end {self.name}")

    monkeypatch.setitem(sys.modules, "nvtx", SimpleNamespace(annotate=Annotate))
    run_a_pair(blend_model, box_model)
    stages = ("prepare", "fuse", "detect")
    assert told == [f"{when} ivfusion_ros: {stage}" for stage in stages for when in ("begin", "end")]


def test_without_nvtx_nothing_is_missing(
    blend_model: Path, box_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "nvtx", None)
    run_a_pair(blend_model, box_model)
    assert ranges._annotate() is None


def test_nvtx_takes_our_arguments() -> None:
    pytest.importorskip("nvtx", reason="needs nvtx")
    calls = []
    ranges.ranged("work")(calls.append)(1)
    assert calls == [1]
