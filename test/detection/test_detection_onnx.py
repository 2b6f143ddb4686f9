"""The detector with ONNX models: both heads, both dtypes, a free input size, ultralytics' export."""

import hashlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
from detector_samples import HEIGHT, IMAGE, NAMES, WIDTH, classic_output, u_output, write_dynamic_detector
from onnx import TensorProto, helper, numpy_helper

from ivfusion_ros.backends import load_backend
from ivfusion_ros.config.pipeline import DetectionConfig
from ivfusion_ros.detection import Detector
from ivfusion_ros.images.files import read_image
from ivfusion_ros.sources.layouts import find_pairs


def write_detector(path: Path, output: np.ndarray, kind: int = TensorProto.FLOAT) -> Path:
    """An ONNX model of the network's input size that gives the output, whatever it sees."""
    tensor = numpy_helper.from_array(
        output.astype(np.float16 if kind == TensorProto.FLOAT16 else np.float32)
    )
    nodes = [
        helper.make_node("Constant", [], ["known"], value=tensor),
        helper.make_node("ReduceMin", ["images"], ["least"], keepdims=0),
        helper.make_node("Sub", ["least", "least"], ["zero"]),
        helper.make_node("Add", ["known", "zero"], ["output0"]),
    ]
    graph = helper.make_graph(
        nodes,
        "detector",
        [helper.make_tensor_value_info("images", kind, [1, 3, HEIGHT, WIDTH])],
        [helper.make_tensor_value_info("output0", kind, output.shape)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, {"names": str(dict(enumerate(NAMES))), "task": "detect", "stride": "32"})
    onnx.save(model, path)
    return path


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("kind", [TensorProto.FLOAT, TensorProto.FLOAT16])
@pytest.mark.parametrize("layout", ["classic", "u"])
def test_onnx_models_of_both_heads_and_dtypes(tmp_path: Path, backend: str, kind: int, layout: str) -> None:
    pytest.importorskip(backend)
    boxes = np.array([[20.0, 20, 10, 16], [70, 40, 30, 20], [71, 41, 30, 20]])
    scores = np.array([[0.75, 0, 0], [0, 0.5, 0.25], [0, 0.375, 0]])
    output = u_output(boxes, scores) if layout == "u" else classic_output(boxes, scores, np.ones(3))
    path = write_detector(tmp_path / "detector.onnx", output, kind)
    detector = Detector(load_backend(path, backend, precision="f32", threads=1), DetectionConfig())
    assert detector.class_names == NAMES
    found = detector(cv2.resize(IMAGE, (2 * WIDTH, 2 * HEIGHT)))
    np.testing.assert_allclose(found.boxes_xyxy, [[30, 24, 50, 56], [110, 60, 170, 100]], atol=0.1)
    np.testing.assert_allclose(found.scores, [0.75, 0.5], atol=1e-3)
    assert found.class_ids.tolist() == [0, 1]


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("size", [(640, 480), (320, 200), (1000, 250), (300, 1280)])
def test_free_input_size_finds_a_spot(tmp_path: Path, backend: str, size: tuple[int, int]) -> None:
    pytest.importorskip(backend)
    path = write_dynamic_detector(tmp_path / "dynamic.onnx")
    detector = Detector(
        load_backend(path, backend, precision="f32", threads=1), DetectionConfig(confidence=0.6)
    )
    assert detector.class_names == ("class_0",)
    image = np.zeros((size[1], size[0], 3), np.uint8)
    x, y = size[0] // 3, size[1] // 2
    spot = max(size) // 16
    image[y : y + spot, x : x + spot] = 255
    found = detector(image)
    assert len(found)
    hull = [*found.boxes_xyxy[:, :2].min(axis=0), *found.boxes_xyxy[:, 2:].max(axis=0)]
    cell = 8 * max(size) / 640
    np.testing.assert_allclose(hull, [x, y, x + spot, y + spot], atol=cell)


def enliven(network: Any, example: Any, torch: Any) -> None:
    """Give an untrained network lively scores: settle its batch norms, then random class weights."""
    torch.manual_seed(0)
    norms = [module for module in network.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 0.5
    network.train()
    with torch.no_grad():
        for _ in range(12):
            network(example.repeat(2, 1, 1, 1))
        for branch in network.model[-1].cv3:
            torch.nn.init.normal_(branch[-1].weight, 0, 0.02)
            torch.nn.init.normal_(branch[-1].bias, -3, 0.5)
    network.eval()


@pytest.mark.filterwarnings("ignore")
def test_u_head_exported_by_ultralytics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Random weights, so the boxes mean nothing; ultralytics' own decoding of them is the oracle."""
    monkeypatch.setenv("YOLO_AUTOINSTALL", "false")
    monkeypatch.setenv("YOLO_OFFLINE", "true")
    monkeypatch.chdir(tmp_path)
    ultralytics = pytest.importorskip("ultralytics", reason="ultralytics is not installed")
    torch = pytest.importorskip("torch")
    nms = pytest.importorskip("ultralytics.utils.nms")
    model = ultralytics.YOLO("yolov5n.yaml", verbose=False)
    image = cv2.resize(np.random.default_rng(0).integers(0, 256, (16, 20, 3), np.uint8), (160, 128))
    network_input = np.ascontiguousarray(image.transpose(2, 0, 1)[None]) * np.float32(1 / 255)
    enliven(model.model, torch.from_numpy(network_input), torch)
    path = model.export(format="onnx", imgsz=(128, 160), opset=17, simplify=False, nms=False, verbose=False)
    backend = load_backend(path, "onnxruntime", threads=1)
    assert backend.outputs["output0"].shape == (1, 84, 16 * 20 + 8 * 10 + 4 * 5)
    output = backend.run({"images": network_input})["output0"]
    confidence = float(np.quantile(output[0, 4:].max(axis=0), 0.7))

    for iou in (1.0, 0.5):
        config = DetectionConfig(confidence=confidence, iou=iou, max_detections=300)
        found = Detector(backend, config)(image)
        # In f64: it moves boxes by thousands of pixels a class, which costs digits that decide an overlap.
        (other,) = nms.non_max_suppression(torch.tensor(output).double(), confidence, iou, max_det=300)
        assert len(np.unique(other[:, 5])) > 1 and len(other) > (100 if iou == 1 else 1)
        ours = np.concatenate([found.boxes_xyxy, found.scores[:, None], found.class_ids[:, None]], axis=1)
        clipped = np.concatenate([np.clip(other[:, :4].numpy(), 0, [160, 128] * 2), other[:, 4:]], axis=1)
        np.testing.assert_allclose(ours, clipped, atol=1e-3)


def as_u_output(classic: np.ndarray) -> np.ndarray:
    """(1, anchors, 5 + classes) -> (1, 4 + classes, anchors), the only layout that ultralytics reads."""
    scores = classic[..., 5:] * classic[..., 4:5]
    return np.concatenate([classic[..., :4], scores], axis=2).transpose(0, 2, 1)


class Remembered:
    """A backend that runs once for equal inputs: what is made of its outputs is tested, not the network."""

    def __init__(self, backend: Any) -> None:
        self._backend = backend
        self._outputs: dict[bytes, dict[str, np.ndarray]] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)

    def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        key = hashlib.sha256(b"".join(array.tobytes() for array in inputs.values())).digest()
        if key not in self._outputs:
            self._outputs[key] = self._backend.run(inputs)
        return {name: output.copy() for name, output in self._outputs[key].items()}


@pytest.fixture(scope="module")
def real_detector(shared: Path) -> Remembered:
    return Remembered(load_backend(shared / "reference" / "yolov5n_coco_480x640.onnx", "onnxruntime"))


@pytest.mark.parametrize("iou", [0.45, 0.7])
def test_the_boxes_of_real_images_are_those_of_ultralytics(
    shared: Path, real_detector: Remembered, iou: float
) -> None:
    """At a low confidence, where many boxes of one object compete, and many leave the image."""
    torch = pytest.importorskip("torch")
    nms = pytest.importorskip("ultralytics.utils.nms", reason="ultralytics is not installed")
    (name,) = real_detector.inputs
    detector = Detector(real_detector, DetectionConfig(confidence=0.01, iou=iou, max_detections=300))
    pairs = find_pairs(shared / "data" / "msrs")
    crossing = 0
    for pair in pairs[:: len(pairs) // 20][:20]:
        image = read_image(pair.rgb)
        network_input = np.ascontiguousarray(image.transpose(2, 0, 1)[None]) * np.float32(1 / 255)
        (output,) = real_detector.run({name: network_input}).values()
        candidates = torch.tensor(as_u_output(output)).double()
        (other,) = nms.non_max_suppression(candidates, 0.01, iou, max_det=300)
        expected = np.clip(other[:, :4].numpy(), 0, [640, 480] * 2)
        crossing += int((expected != other[:, :4].numpy()).any(axis=1).sum())
        found = detector(image)
        assert found.boxes_xyxy.shape == expected.shape
        np.testing.assert_allclose(found.boxes_xyxy, expected, atol=1e-3)
        np.testing.assert_allclose(found.scores, other[:, 4].numpy(), atol=1e-6)
        np.testing.assert_array_equal(found.class_ids, other[:, 5].numpy())
    assert crossing >= 10
