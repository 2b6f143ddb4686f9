"""Which networks a pipeline is built of."""

import pytest
from pipeline_samples import configure, make_pair

from ivfusion_ros.build import build_pipeline, fusion_model_name
from ivfusion_ros.config import FusionConfig, PipelineConfig
from ivfusion_ros.errors import ModelError
from ivfusion_ros.parameters import make_config


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
