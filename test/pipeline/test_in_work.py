"""Which stage of a pipeline runs, and for how long."""

from pathlib import Path

import numpy as np
import pytest

from ivfusion_ros.config.pipeline import DetectionConfig, FusionConfig, PipelineConfig
from ivfusion_ros.pipeline import build_pipeline
from ivfusion_ros.pipeline.in_work import InWork
from ivfusion_ros.types import Frame, FramePair


def test_the_stage_that_runs_longest_is_told_until_it_ends() -> None:
    now_s = 7.0
    in_work = InWork(lambda: now_s)
    assert in_work.longest() == ("", 0.0)
    with in_work("fuse"):
        now_s += 3.0
        with in_work("detect"):
            now_s += 1.0
            assert in_work.longest() == ("fuse", 4.0)
    with pytest.raises(ValueError, match="damaged"), in_work("detect"):
        now_s += 0.5
        assert in_work.longest() == ("detect", 0.5)
        raise ValueError("damaged")
    assert in_work.longest() == ("", 0.0)


def test_a_pipeline_tells_of_the_network_that_runs(
    blend_model: Path, box_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = PipelineConfig(
        fusion=FusionConfig(model=str(blend_model), backend="onnxruntime"),
        detection=DetectionConfig(model=str(box_model), backend="onnxruntime"),
    )
    seen = []
    with build_pipeline(config) as pipeline:
        assert pipeline.detector is not None
        for backend in (pipeline.fuser.backend, pipeline.detector.backend):
            run = backend.run

            def watched(inputs, run=run):
                seen.append(pipeline.in_work.longest()[0])
                return run(inputs)

            monkeypatch.setattr(backend, "run", watched)
        thermal, rgb = np.zeros((64, 96), np.uint8), np.zeros((64, 96, 3), np.uint8)
        pipeline.process(FramePair(Frame(thermal, 0), Frame(rgb, 0)))
        assert pipeline.in_work.longest()[0] == ""
    assert seen == ["fuse", "detect"]
