"""The detector against a slow, separate implementation, made-up models, and real street scenes."""

import dataclasses
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from ivfusion_ros.backends import load_backend
from ivfusion_ros.backends.tensors import TensorInfo
from ivfusion_ros.config import DetectionConfig
from ivfusion_ros.detection import Detector
from ivfusion_ros.detection.letterbox import Letterbox
from ivfusion_ros.detection.nms import suppress
from ivfusion_ros.detection.yolo import identify_head
from ivfusion_ros.errors import ConfigError, ImageError, ModelError
from ivfusion_ros.types import Detections

SHARED = Path(__file__).parents[2] / "shared"
REFERENCE = SHARED / "reference" / "yolov5n_coco_480x640.onnx"
MSRS = SHARED / "data" / "msrs"
NAMES = ("person", "car", "bike")
WIDTH, HEIGHT = 96, 64
CELLS = 12 * 8 + 6 * 4 + 3 * 2


class FakeBackend:
    """Gives a fixed output, whatever it sees, and remembers what it saw."""

    name = description = "fake"

    def __init__(
        self, output: np.ndarray, metadata: Mapping[str, str] | None = None, dtype: str = "float32"
    ) -> None:
        self.output = output
        self.metadata = {"names": str(dict(enumerate(NAMES)))} if metadata is None else metadata
        self.inputs = {"images": TensorInfo((1, 3, HEIGHT, WIDTH), np.dtype(dtype))}
        self.outputs = {"output0": TensorInfo(output.shape, output.dtype)}
        self.seen: list[np.ndarray] = []

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        self.seen.append(inputs["images"].copy())
        return {"output0": self.output}

    def close(self) -> None:
        self.seen.clear()


def random_anchors(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    """(count, 4) cxcywh boxes, crowded so that many overlap, and (count, classes) scores."""
    centres = rng.uniform(-5, [WIDTH + 5, HEIGHT + 5], (count, 2))
    boxes = np.concatenate([centres, rng.uniform(2, 40, (count, 2))], axis=1)
    return boxes, rng.uniform(0, 1, (count, len(NAMES))) ** 6


def classic_output(boxes: np.ndarray, scores: np.ndarray, objectness: np.ndarray) -> np.ndarray:
    """(1, 3 cells, 5 + classes): the anchors first, then ones without an object."""
    output = np.zeros((1, 3 * CELLS, 5 + scores.shape[1]), np.float32)
    output[0, : len(boxes)] = np.concatenate([boxes, objectness[:, None], scores], axis=1)
    return output


def u_output(boxes: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """(1, 4 + classes, cells)."""
    output = np.zeros((1, 4 + scores.shape[1], CELLS), np.float32)
    output[0, :, : len(boxes)] = np.concatenate([boxes, scores], axis=1).T
    return output


def overlap(a: tuple, b: tuple) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    areas = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b))
    return width * height / (areas - width * height)


def slow_detections(boxes: np.ndarray, scores: np.ndarray, config: DetectionConfig) -> list[tuple]:
    """(score, class, box) of what must come out for an image of the network's size."""
    found = []
    for (cx, cy, w, h), row in zip(boxes.tolist(), scores.tolist(), strict=True):
        best = max(range(len(row)), key=row.__getitem__)
        x1, x2 = (min(max(x, 0), WIDTH) for x in (cx - w / 2, cx + w / 2))
        y1, y2 = (min(max(y, 0), HEIGHT) for y in (cy - h / 2, cy + h / 2))
        if row[best] >= config.confidence and x2 > x1 and y2 > y1:
            found.append((row[best], best, (x1, y1, x2, y2)))
    kept: list[tuple] = []
    for candidate in sorted(found, reverse=True):
        if all(k[1] != candidate[1] or overlap(k[2], candidate[2]) <= config.iou for k in kept):
            kept.append(candidate)
    return [k for k in kept if not config.classes or NAMES[k[1]] in config.classes][: config.max_detections]


def assert_same(found: Detections, expected: list[tuple]) -> None:
    assert len(found) == len(expected)
    if expected:
        np.testing.assert_allclose(found.scores, [e[0] for e in expected], rtol=1e-5)
        assert found.class_ids.tolist() == [e[1] for e in expected]
        np.testing.assert_allclose(found.boxes_xyxy, [e[2] for e in expected], atol=1e-3)


IMAGE = np.random.default_rng(9).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    count=st.integers(0, CELLS),
    confidence=st.sampled_from([0.05, 0.25, 0.6]),
    iou=st.sampled_from([0.0, 0.3, 0.45, 0.9, 1.0]),
    limit=st.sampled_from([1, 5, 1000]),
    classes=st.sampled_from([(), ("car",), ("bike", "person")]),
)
def test_both_heads_give_what_the_slow_way_gives(
    seed: int, count: int, confidence: float, iou: float, limit: int, classes: tuple[str, ...]
) -> None:
    config = DetectionConfig(confidence=confidence, iou=iou, max_detections=limit, classes=classes)
    rng = np.random.default_rng(seed)
    boxes, scores = random_anchors(rng, count)
    objectness = rng.uniform(0.3, 1, count)
    classic = Detector(FakeBackend(classic_output(boxes, scores, objectness)), config)
    assert_same(classic(IMAGE), slow_detections(boxes, scores * objectness[:, None], config))
    u = Detector(FakeBackend(u_output(boxes, scores)), config)
    assert_same(u(IMAGE), slow_detections(boxes, scores, config))


def test_nms_of_equal_scores_keeps_the_input_order() -> None:
    boxes = np.array([[0, 0, 9, 9], [20, 0, 29, 9], [0, 0, 9, 9], [1, 0, 10, 9]], np.float32)
    scores = np.full(4, 0.5, np.float32)
    assert suppress(boxes, scores, np.array([0, 0, 1, 0]), 0.5, 10).tolist() == [0, 1, 2]


def test_network_sees_the_image_scaled_to_one() -> None:
    for dtype, tolerance in (("float32", 1e-6), ("float16", 1e-3)):
        backend = FakeBackend(u_output(*random_anchors(np.random.default_rng(0), 0)), dtype=dtype)
        Detector(backend, DetectionConfig())(IMAGE)
        assert backend.seen[-1].dtype == dtype
        np.testing.assert_allclose(backend.seen[-1][0], IMAGE.transpose(2, 0, 1) / 255.0, atol=tolerance)


@pytest.mark.parametrize("size", [(97, 31), (200, 50), (64, 96), (33, 65), (192, 128), (1, 7)])
def test_letterbox_and_back(size: tuple[int, int]) -> None:
    width, height = size
    box = Letterbox.fit(size, (WIDTH, HEIGHT))
    canvas = box.apply(np.full((height, width, 3), 200, np.uint8))
    rows, columns = np.nonzero((canvas == 200).all(axis=2))
    extent = np.array([[columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]], np.float32)
    assert canvas.shape == (HEIGHT, WIDTH, 3)
    assert set(np.unique(canvas)) <= {114, 200}
    assert extent[0, 2] - extent[0, 0] == WIDTH or extent[0, 3] - extent[0, 1] == HEIGHT
    # Centred: what is left over differs by no more than one pixel.
    assert abs(extent[0, 0] - (WIDTH - extent[0, 2])) <= 1
    assert abs(extent[0, 1] - (HEIGHT - extent[0, 3])) <= 1
    np.testing.assert_allclose(box.to_image(extent), [[0, 0, width, height]], atol=1e-3)


def test_a_mark_in_the_image_comes_back_to_its_place() -> None:
    image = np.zeros((300, 500, 3), np.uint8)
    image[120:180, 50:250] = 255
    box = Letterbox.fit((500, 300), (640, 480))
    rows, columns = np.nonzero((box.apply(image) > 150).all(axis=2))
    mark = np.array([[columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]], np.float32)
    np.testing.assert_allclose(box.to_image(mark), [[50, 120, 250, 180]], atol=1)


def test_boxes_are_clipped_and_padding_is_dropped() -> None:
    boxes = np.array([[48.0, 32, 500, 20], [48, 2, 20, 4], [-50, 32, 10, 10]])  # wide; in padding; outside
    scores = np.array([[0.9, 0, 0], [0.8, 0, 0], [0.7, 0, 0]])
    detector = Detector(FakeBackend(u_output(boxes, scores)), DetectionConfig())
    found = detector(np.zeros((60, 192, 3), np.uint8))  # fits as 96x30 with 17 rows of padding above
    np.testing.assert_allclose(found.boxes_xyxy, [[0, (22 - 17) * 2, 192, (42 - 17) * 2]], atol=1e-3)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("poison", [np.nan, np.inf, -np.inf, 3e38])
def test_non_finite_outputs_are_dropped(poison: float) -> None:
    boxes, scores = np.array([[30.0, 30, 20, 20]]), np.array([[0.9, 0.1, 0]])
    for clean in (classic_output(boxes, scores, np.ones(1)), u_output(boxes, scores)):
        rows = clean[0] if clean.shape[1] > clean.shape[2] else clean[0].T
        for column in range(rows.shape[1]):
            rows[10 + column] = [60, 40, 10, 10, *[0.8] * (rows.shape[1] - 4)]
            rows[10 + column, column] = poison
        config = DetectionConfig(confidence=0.5, iou=0.9)
        found = Detector(FakeBackend(clean), config)(IMAGE)
        assert np.isfinite(found.boxes_xyxy).all() and np.isfinite(found.scores).all()
        assert (found.boxes_xyxy >= 0).all() and (found.boxes_xyxy <= [WIDTH, HEIGHT] * 2).all()
        assert any(np.allclose(box, [20, 20, 40, 40]) for box in found.boxes_xyxy)
        if not np.isfinite(poison):
            # A class that is -inf leaves a sound box with another class; all else is gone.
            assert len(found) == 1 or poison == -np.inf
            poisoned_boxes = np.full_like(clean, poison)
            assert len(Detector(FakeBackend(poisoned_boxes), config)(IMAGE)) == 0


def test_set_config_takes_effect_at_once() -> None:
    rng = np.random.default_rng(4)
    boxes, scores = random_anchors(rng, 100)
    detector = Detector(FakeBackend(u_output(boxes, scores)), DetectionConfig())
    every = detector(IMAGE)
    detector.set_config(DetectionConfig(classes=("car",)))
    cars = detector(IMAGE)
    chosen = every.class_ids == NAMES.index("car")
    assert 0 < chosen.sum() < len(every)
    np.testing.assert_array_equal(cars.boxes_xyxy, every.boxes_xyxy[chosen])
    detector.set_config(DetectionConfig(max_detections=2))
    np.testing.assert_array_equal(detector(IMAGE).scores, every.scores[:2])
    with pytest.raises(
        ConfigError, match=r"'cars', which the detector does not know; did you mean 'car'\?"
    ):
        detector.set_config(DetectionConfig(classes=("person", "cars")))
    assert len(detector(IMAGE)) == 2  # a refused config changes nothing


NOTHING = u_output(np.zeros((0, 4)), np.zeros((0, 3)))


def test_class_names(tmp_path: Path) -> None:
    config = DetectionConfig()
    listed = FakeBackend(NOTHING, {"names": "['a', 'b', 'c']"})
    assert Detector(listed, config).class_names == ("a", "b", "c")
    assert Detector(FakeBackend(NOTHING, {}), config).class_names == ("class_0", "class_1", "class_2")
    for text in (
        "names: [x, y, z]",
        "names: {0: x, 2: z, 1: y}",
        "path: .\nnames:\n  0: x\n  1: y\n  2: z\n",
    ):
        path = tmp_path / "names.yaml"
        path.write_text(text, encoding="utf-8")
        named = dataclasses.replace(config, class_names=str(path))
        assert Detector(FakeBackend(NOTHING, {}), named).class_names == ("x", "y", "z")
        assert Detector(listed, named).class_names == ("x", "y", "z")


@pytest.mark.parametrize(
    "text", ["names: [x, y]", "names: {1: x, 2: y, 3: z}", "names: 3", "{}", "names: []"]
)
def test_wrong_class_names_file(tmp_path: Path, text: str) -> None:
    path = tmp_path / "names.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"names"):
        Detector(FakeBackend(NOTHING, {}), DetectionConfig(class_names=str(path)))


@pytest.mark.parametrize(
    "names", ["__import__('os').abort()", "{0: 'a'", "{1: 'a', 2: 'b', 3: 'c'}", "7", "", "(" * 5000]
)
def test_broken_names_in_the_model(names: str) -> None:
    with pytest.raises(ModelError, match="metadata `names`"):
        Detector(FakeBackend(NOTHING, {"names": names}), DetectionConfig())


@pytest.mark.parametrize(
    ("shape", "what"),
    [
        ((1, 300, 6), "without NMS"),
        ((1, 1000), "no YOLOv5 detection head"),
        ((2, 7, CELLS), "no YOLOv5 detection head"),
        ((1, 3, 8, 12, 8), "no YOLOv5 detection head"),
        ((1, 4, CELLS), "no YOLOv5 detection head"),
        ((1, 4 + 3 + 32, CELLS), "35 classes, but its metadata names 3"),
    ],
)
def test_other_outputs_are_refused(shape: tuple[int, ...], what: str) -> None:
    with pytest.raises(ModelError, match=what):
        Detector(FakeBackend(np.zeros(shape, np.float32)), DetectionConfig())


def test_other_models_are_refused() -> None:
    config = DetectionConfig()
    with pytest.raises(ModelError, match="the model is for pose"):
        Detector(FakeBackend(NOTHING, {"task": "pose"}), config)
    two = FakeBackend(NOTHING)
    two.outputs = two.outputs | {"output1": TensorInfo((1, 32, 16, 24), np.dtype("float32"))}
    with pytest.raises(ModelError, match="outputs output0, output1, expected one each"):
        Detector(two, config)
    fusion = FakeBackend(NOTHING)
    fusion.inputs = {"rgb": TensorInfo((1, None, None, 3), np.dtype("uint8"))}
    with pytest.raises(ModelError, match=r"input rgb is uint8 \(1, any, any, 3\), expected float32"):
        Detector(fusion, config)


def test_wrong_image_is_named() -> None:
    detector = Detector(FakeBackend(NOTHING), DetectionConfig())
    for image in (
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 3), np.float32),
        np.zeros((0, 4, 3), np.uint8),
    ):
        with pytest.raises(ImageError, match="expected uint8"):
            detector(image)


def test_head_where_both_layouts_fit() -> None:
    # 64x64 has 84 cells: 252 rows are three anchors each, or a u head of 248 classes.
    assert identify_head((1, 252, 84), (64, 64), 79) == ("classic", 79)
    assert identify_head((1, 252, 84), (64, 64), 248) == ("u", 248)
    assert identify_head((1, 25200, 85), (640, 640)) == ("classic", 80)
    assert identify_head((1, 84, 8400), (640, 640)) == ("u", 80)
    assert identify_head((1, 102000, 8), (1280, 1280)) == ("classic", 3)
    assert identify_head((1, 7, 34000), (1280, 1280)) == ("u", 3)


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


def write_dynamic_detector(path: Path) -> Path:
    """A u head of one class on a free input size: a box of 8x8 wherever a cell's mean is bright.

    One stride-8 average map; the cells of strides 16 and 32 follow as zeros.
    """
    floats = {"k8": np.full((1, 3, 8, 8), 1 / 192), "zero": 0.0, "eight": 8.0, "four": 4.0}
    constants = {name: np.asarray(value, np.float32) for name, value in floats.items()}
    constants |= {"flat": np.array([1, 1, -1]), "axis_x": np.asarray(3), "axis_y": np.asarray(2)}
    nodes = [
        helper.make_node("Conv", ["images", "k8"], ["m8"], strides=[8, 8]),
        helper.make_node("MaxPool", ["m8"], ["m16"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("MaxPool", ["m16"], ["m32"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Reshape", ["m8", "flat"], ["score8"]),
        *[helper.make_node("Mul", [f"m{s}", "zero"], [f"z{s}"]) for s in (16, 32)],
        *[helper.make_node("Reshape", [f"z{s}", "flat"], [f"score{s}"]) for s in (16, 32)],
        helper.make_node("Concat", ["score8", "score16", "score32"], ["score"], axis=2),
        # Cell coordinates: running sums of ones along columns and rows.
        helper.make_node("Mul", ["m8", "zero"], ["nought"]),
        helper.make_node("Add", ["nought", "eight"], ["steps"]),
        helper.make_node("CumSum", ["steps", "axis_x"], ["x_right"]),
        helper.make_node("CumSum", ["steps", "axis_y"], ["y_bottom"]),
        helper.make_node("Sub", ["x_right", "four"], ["x8"]),
        helper.make_node("Sub", ["y_bottom", "four"], ["y8"]),
        *[helper.make_node("Reshape", [f"{a}8", "flat"], [f"{a}8f"]) for a in "xy"],
        *[helper.make_node("Concat", [f"{a}8f", "score16", "score32"], [a], axis=2) for a in "xy"],
        helper.make_node("Mul", ["score", "zero"], ["blank"]),
        helper.make_node("Add", ["blank", "eight"], ["side"]),
        helper.make_node("Concat", ["x", "y", "side", "side", "score"], ["output0"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "dynamic",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["N", 3, "H", "W"])],
        [helper.make_tensor_value_info("output0", TensorProto.FLOAT, ["N", 5, "A"])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


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


needs_reference = pytest.mark.skipif(not REFERENCE.exists(), reason="no ../shared/reference")
needs_scenes = pytest.mark.skipif(not MSRS.exists(), reason="no ../shared/data/msrs")
LABELS = {1: {"car", "truck", "bus"}, 2: {"person"}}


def day_scenes(count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """(RGB image, label image) pairs from all over the recordings."""
    paths = sorted(MSRS.glob("rgb/*D.webp"))
    scenes = []
    for path in paths[:: len(paths) // count][:count]:
        image = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
        scenes.append((image, cv2.imread(str(MSRS / "labels" / f"{path.stem}.png"), cv2.IMREAD_GRAYSCALE)))
    return scenes


def large_objects(labels: np.ndarray) -> list[tuple[int, tuple]]:
    """(label, box) of the cars above 2500 pixels and people above 1200."""
    objects = []
    for label, least in ((1, 2500), (2, 1200)):
        count, _, stats, _ = cv2.connectedComponentsWithStats((labels == label).astype(np.uint8))
        for x, y, width, height, area in stats[1:count].tolist():
            if area >= least:
                objects.append((label, (x, y, x + width, y + height)))
    return objects


@needs_reference
@needs_scenes
@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_finds_people_and_cars_in_day_scenes(backend: str) -> None:
    pytest.importorskip(backend)
    config = DetectionConfig(classes=("person", "car", "truck", "bus"))
    detector = Detector(load_backend(REFERENCE, backend, threads=1), config)
    hits, wrong_place = {1: [], 2: []}, 0
    for image, labels in day_scenes(30):
        found = detector(image)
        for label, box in large_objects(labels):
            hits[label].append(
                any(
                    detector.class_names[class_id] in LABELS[label] and overlap(tuple(other), box) > 0.4
                    for other, class_id in zip(found.boxes_xyxy.tolist(), found.class_ids, strict=True)
                )
            )
        sure = found.boxes_xyxy[found.scores > 0.6].astype(int)
        wrong_place += sum(not np.isin(labels[t:b, left:r], (1, 2)).any() for left, t, r, b in sure)
    assert len(hits[1]) >= 10 and len(hits[2]) >= 10
    assert np.mean(hits[1]) >= 0.85
    assert np.mean(hits[2]) >= 0.85
    assert wrong_place <= 2


@needs_reference
@needs_scenes
def test_other_image_sizes_give_the_same_objects() -> None:
    backend = load_backend(REFERENCE, "onnxruntime", threads=1)
    sure = Detector(backend, DetectionConfig(confidence=0.5))
    detector = Detector(backend, DetectionConfig(confidence=0.2))
    matched = []
    for image, _ in day_scenes(8):
        # Half again as large, then a grey band on the right: scale, centring and padding all matter.
        large = cv2.resize(image, (960, 720))
        found = detector(cv2.copyMakeBorder(large, 0, 0, 0, 90, cv2.BORDER_CONSTANT, value=[114] * 3))
        expected = sure(image)
        for box, class_id in zip(expected.boxes_xyxy, expected.class_ids, strict=True):
            rivals = found.boxes_xyxy[found.class_ids == class_id] / 1.5
            matched.append(max((overlap(tuple(box), tuple(rival)) for rival in rivals), default=0.0) > 0.7)
    assert len(matched) >= 10
    assert np.mean(matched) >= 0.85


@needs_reference
def test_pre_and_postprocessing_take_little_time() -> None:
    backend = load_backend(REFERENCE, "onnxruntime", threads=1)
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (480, 640, 3), np.uint8)
    output = backend.run({"images": np.zeros((1, 3, 480, 640), np.float32)})
    centres = rng.uniform(0, [640, 480], (60, 2))
    output["output0"][0, :60, :4] = np.concatenate([centres, rng.uniform(10, 90, (60, 2))], axis=1)
    output["output0"][0, :60, 4:] = rng.uniform(0.5, 1, (60, 81))
    detector = Detector(backend, DetectionConfig())
    backend.run = lambda inputs: output
    spent = []
    for _ in range(30):
        start = time.perf_counter()
        found = detector(image)
        spent.append(time.perf_counter() - start)
    assert len(found) > 20
    assert min(spent) < 3e-3


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
    monkeypatch.setenv("YOLO_CONFIG_DIR", str(tmp_path))
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

    def reference(iou: float) -> np.ndarray:
        return nms.non_max_suppression(torch.tensor(output), confidence, iou, max_det=300)[0].numpy()

    config = DetectionConfig(confidence=confidence, iou=1.0, max_detections=300)
    found = Detector(backend, config)(image)
    every = reference(1.0)
    assert len(np.unique(every[:, 5])) > 1 and len(every) > 100
    ours = np.concatenate([found.boxes_xyxy, found.scores[:, None], found.class_ids[:, None]], axis=1)
    clipped = np.concatenate([np.clip(every[:, :4], 0, [160, 128] * 2), every[:, 4:]], axis=1)
    np.testing.assert_allclose(ours, clipped, atol=1e-3)
    # Ultralytics suppresses before clipping to the image, so the suppression is compared by itself.
    kept = suppress(every[:, :4], every[:, 4], every[:, 5].astype(np.int64), 0.5, 300)
    assert 1 < len(kept) < len(every)
    np.testing.assert_array_equal(every[kept], reference(0.5))
