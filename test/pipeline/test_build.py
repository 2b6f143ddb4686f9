"""Which networks a pipeline is built of."""

from unittest.mock import Mock

import pytest
from pipeline_samples import configure, make_pair

from ivfusion_ros.backends import cuda
from ivfusion_ros.config.parameters import make_config
from ivfusion_ros.config.pipeline import DetectionConfig, FusionConfig, PipelineConfig
from ivfusion_ros.errors import BackendError, ModelError
from ivfusion_ros.pipeline.build import build_pipeline, detection_model_name, fusion_model_name


def test_a_missing_detector_means_fusion_only_and_says_so(blend_model, caplog, monkeypatch) -> None:
    monkeypatch.setattr("ivfusion_ros.pipeline.build.read_models", dict)
    config = make_config(PipelineConfig, {"fusion.model": str(blend_model), "detection.model": "auto"})
    with build_pipeline(config) as pipeline:
        assert pipeline.process(make_pair()).detections is None
    assert "fusion only" in caplog.text


def test_auto_takes_the_fusion_network_that_fits_the_machine(monkeypatch) -> None:
    assert fusion_model_name(FusionConfig(backend="onnxruntime")) == "refinefuse_lite"
    assert fusion_model_name(FusionConfig(backend="torch")) == "refinefuse_lite"
    monkeypatch.setattr(cuda, "find_gpu", Mock(side_effect=BackendError("no GPU")))
    assert fusion_model_name(FusionConfig(backend="measured")) == "refinefuse_lite"
    assert fusion_model_name(FusionConfig(backend="tensorrt")) == "refinefuse"
    monkeypatch.setattr("ivfusion_ros.pipeline.build.resolve_backend", lambda *_: "tensorrt")
    assert fusion_model_name(FusionConfig()) == "refinefuse"
    assert fusion_model_name(FusionConfig(model="mst")) == "mst"


CPU = {"onnxruntime", "openvino"}


@pytest.mark.parametrize(
    ("usable", "machine", "config", "expected"),
    [
        (CPU, "x86_64", DetectionConfig(), "yolov5n_int8"),
        (CPU, "x86_64", DetectionConfig(backend="openvino"), "yolov5n_int8"),
        (CPU - {"openvino"}, "x86_64", DetectionConfig(), "yolov5n"),
        (CPU, "x86_64", DetectionConfig(backend="onnxruntime"), "yolov5n"),
        (CPU, "x86_64", DetectionConfig(precision="f32"), "yolov5n"),
        (CPU, "x86_64", DetectionConfig(backend="measured"), "yolov5n_int8"),
        (CPU - {"openvino"}, "x86_64", DetectionConfig(backend="measured"), "yolov5n"),
        (CPU, "aarch64", DetectionConfig(), "yolov5n"),
        (CPU, "aarch64", DetectionConfig(backend="measured"), "yolov5n"),
        (CPU | {"tensorrt"}, "x86_64", DetectionConfig(), "yolov5n"),
        (CPU | {"tensorrt"}, "x86_64", DetectionConfig(backend="openvino"), "yolov5n_int8"),
        (CPU, "x86_64", DetectionConfig(model="yolov5n"), "yolov5n"),
    ],
)
def test_auto_takes_int8_where_that_is_faster(
    monkeypatch, usable: set[str], machine: str, config: DetectionConfig, expected: str
) -> None:
    monkeypatch.setattr("platform.machine", lambda: machine)
    monkeypatch.setattr("ivfusion_ros.backends.choice.is_usable", usable.__contains__)
    # Where there is TensorRT, there is a GPU.
    missing = None if "tensorrt" in usable else BackendError("no GPU")
    monkeypatch.setattr(cuda, "find_gpu", Mock(side_effect=missing))
    assert detection_model_name(config) == expected


def test_a_detector_is_no_fusion_model(box_model) -> None:
    with pytest.raises(ModelError, match="expected thermal and rgb -> fused"):
        build_pipeline(configure(box_model))
