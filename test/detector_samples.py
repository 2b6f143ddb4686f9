"""Detectors whose outputs are made up, and what such outputs are made of."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from ivfusion_ros.backends.tensors import TensorInfo

NAMES = ("person", "car", "bike")
WIDTH, HEIGHT = 96, 64
CELLS = 12 * 8 + 6 * 4 + 3 * 2
IMAGE = np.random.default_rng(9).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)


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


NOTHING = u_output(np.zeros((0, 4)), np.zeros((0, 3)))


def overlap(a: tuple, b: tuple) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    areas = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b))
    return width * height / (areas - width * height)


def write_dynamic_detector(path: Path, name: str = "", thermal: bool = False) -> Path:
    """A u head of one class on a free input size: a box of 8x8 wherever a cell's mean is bright.

    name: of its class. thermal: whether the mean is that of the thermal image, which is an input then. One
    stride-8 average map; the cells of strides 16 and 32 follow as zeros.
    """
    floats = {"k8": np.full((1, 3, 8, 8), 1 / 192), "zero": 0.0, "eight": 8.0, "four": 4.0}
    first = [helper.make_node("Conv", ["images", "k8"], ["m8"], strides=[8, 8])]
    inputs = [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["N", 3, "H", "W"])]
    if thermal:
        floats["k8"] = np.concatenate([np.zeros((1, 3, 8, 8)), np.full((1, 1, 8, 8), 1 / 64)], 1)
        first = [
            helper.make_node("Concat", ["images", "thermal"], ["both"], axis=1),
            helper.make_node("Conv", ["both", "k8"], ["m8"], strides=[8, 8]),
        ]
        inputs.append(helper.make_tensor_value_info("thermal", TensorProto.FLOAT, ["N", 1, "H", "W"]))
    constants = {name: np.asarray(value, np.float32) for name, value in floats.items()}
    constants |= {"flat": np.array([1, 1, -1]), "axis_x": np.asarray(3), "axis_y": np.asarray(2)}
    nodes = [
        *first,
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
        inputs,
        [helper.make_tensor_value_info("output0", TensorProto.FLOAT, ["N", 5, "A"])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    if name:
        helper.set_model_props(model, {"names": repr([name])})
    onnx.save(model, path)
    return path
