"""Which networks a pipeline is built of."""

import pytest
from pipeline_samples import configure, make_pair

from ivfusion_ros.config.parameters import make_config
from ivfusion_ros.config.pipeline import DetectionConfig, FusionConfig, PipelineConfig
from ivfusion_ros.errors import ModelError
from ivfusion_ros.pipeline.build import build_pipeline, detection_model_name, fusion_model_name


def test_a_missing_detector_means_fusion_only_and_says_so(blend_model, caplog, monkeypatch) -> None:
    monkeypatch.setattr("ivfusion_ros.pipeline.build.read_models", dict)
    config = make_config(PipelineConfig, {"fusion.model": str(blend_model), "detection.model": "auto"})
    with build_pipeline(config) as pipeline:
        assert pipeline.process(make_pair()).detections is None
    assert "fusion only" in caplog.text


def test_auto_takes_the_fusion_network_that_fits_the_machine(monkeypatch) -> None:
    assert fusion_model_name(FusionConfig(backend="onnxruntime")) == "refinefuse_lite"
    monkeypatch.setattr("ivfusion_ros.pipeline.build.resolve_backend", lambda *_: "tensorrt")
    assert fusion_model_name(FusionConfig()) == "refinefuse"
    assert fusion_model_name(FusionConfig(model="mst")) == "mst"


@pytest.mark.parametrize(
    ("backend", "machine", "has_openvino", "config", "expected"),
    [
        ("onnxruntime", "x86_64", True, DetectionConfig(), "yolov5n_int8"),
        ("openvino", "x86_64", True, DetectionConfig(backend="openvino"), "yolov5n_int8"),
        ("onnxruntime", "x86_64", False, DetectionConfig(), "yolov5n"),
        ("onnxruntime", "x86_64", True, DetectionConfig(backend="onnxruntime"), "yolov5n"),
        ("openvino", "x86_64", True, DetectionConfig(precision="f32"), "yolov5n"),
        ("openvino", "aarch64", True, DetectionConfig(), "yolov5n"),
        ("tensorrt", "x86_64", True, DetectionConfig(), "yolov5n"),
        ("openvino", "x86_64", True, DetectionConfig(model="yolov5n"), "yolov5n"),
    ],
)
def test_auto_takes_int8_where_that_is_faster(
    monkeypatch, backend: str, machine: str, has_openvino: bool, config: DetectionConfig, expected: str
) -> None:
    monkeypatch.setattr("ivfusion_ros.pipeline.build.resolve_backend", lambda *_: backend)
    monkeypatch.setattr("ivfusion_ros.pipeline.build.platform.machine", lambda: machine)
    monkeypatch.setattr("ivfusion_ros.pipeline.build.is_usable", lambda _: has_openvino)
    assert detection_model_name(config) == expected


def test_a_detector_is_no_fusion_model(box_model) -> None:
    with pytest.raises(ModelError, match="expected thermal and rgb -> fused"):
        build_pipeline(configure(box_model))
