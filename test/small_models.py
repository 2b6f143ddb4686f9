"""Small networks with convolutions, by the contracts of fusion and detection graphs."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SIDES = (96, 64)
"""(width, height) of the small detector's input."""


def save(nodes: list, inputs: list, outputs: list, weights: dict, path: Path, **metadata: str) -> Path:
    graph = helper.make_graph(
        nodes,
        "small",
        inputs,
        outputs,
        [numpy_helper.from_array(value, key) for key, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    helper.set_model_props(model, metadata)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)
    return path


def write_fusion(path: Path, gain: float = 1.0, seed: int = 0) -> Path:
    """Two convolutions over all four planes; inside values are gain times those of an ordinary network."""
    random = np.random.default_rng(seed)
    weights = {
        "axis": np.array([3]),
        "k255": np.array(255, np.float32),
        "zero": np.array(0, np.float32),
        "first": random.normal(0, gain / 6, (16, 4, 3, 3)).astype(np.float32),
        "second": random.normal(0, 1 / 12 / gain, (3, 16, 3, 3)).astype(np.float32),
    }
    nodes = [
        helper.make_node("Unsqueeze", ["thermal", "axis"], ["grey"]),
        helper.make_node("Cast", ["grey"], ["a"], to=TensorProto.FLOAT),
        helper.make_node("Cast", ["rgb"], ["b"], to=TensorProto.FLOAT),
        helper.make_node("Concat", ["a", "b"], ["bytes"], axis=3),
        helper.make_node("Div", ["bytes", "k255"], ["x"]),
        helper.make_node("Transpose", ["x"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["planes", "first"], ["c"], pads=[1] * 4),
        helper.make_node("Relu", ["c"], ["d"]),
        helper.make_node("Conv", ["d", "second"], ["e"], pads=[1] * 4),
        helper.make_node("Transpose", ["e"], ["f"], perm=[0, 2, 3, 1]),
        helper.make_node("Sigmoid", ["f"], ["g"]),
        helper.make_node("Mul", ["g", "k255"], ["h"]),
        helper.make_node("Round", ["h"], ["i"]),
        helper.make_node("Clip", ["i", "zero", "k255"], ["j"]),
        helper.make_node("Cast", ["j"], ["fused"], to=TensorProto.UINT8),
    ]
    colour = [1, "h", "w", 3]
    inputs = [
        helper.make_tensor_value_info("thermal", TensorProto.UINT8, [1, "h", "w"]),
        helper.make_tensor_value_info("rgb", TensorProto.UINT8, colour),
    ]
    outputs = [helper.make_tensor_value_info("fused", TensorProto.UINT8, colour)]
    return save(nodes, inputs, outputs, weights, path)


def write_detector(path: Path, free: bool = False, gain: float = 8.0, thermal: bool = False) -> Path:
    """A u head of two classes: one convolution per stride gives boxes and scores from what is below it.

    thermal: whether it sees the thermal image as a fourth plane.
    """
    random = np.random.default_rng(1)
    weights = {
        "shape": np.array([1, 6, -1]),
        "span": np.array([SIDES[0], SIDES[1], 30, 30, 1, 1], np.float32).reshape(1, 6, 1),
    }
    nodes, rows, seen = [], [], "images"
    if thermal:
        seen = "both"
        nodes.append(helper.make_node("Concat", ["images", "thermal"], [seen], axis=1))
    for stride in (8, 16, 32):
        shape = (6, 4 if thermal else 3, stride, stride)
        weights[f"w{stride}"] = random.normal(0, gain / stride**2, shape).astype(np.float32)
        nodes += [
            helper.make_node("Conv", [seen, f"w{stride}"], [f"c{stride}"], strides=[stride, stride]),
            helper.make_node("Reshape", [f"c{stride}", "shape"], [f"r{stride}"]),
        ]
        rows.append(f"r{stride}")
    nodes += [
        helper.make_node("Concat", rows, ["all"], axis=2),
        helper.make_node("Sigmoid", ["all"], ["shares"]),
        helper.make_node("Mul", ["shares", "span"], ["output0"]),
    ]
    sides = ["h", "w"] if free else [SIDES[1], SIDES[0]]
    count = "n" if free else 126
    planes = {"images": 3, "thermal": 1} if thermal else {"images": 3}
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, number, *sides])
        for name, number in planes.items()
    ]
    outputs = [helper.make_tensor_value_info("output0", TensorProto.FLOAT, [1, 6, count])]
    return save(nodes, inputs, outputs, weights, path, names="{0: 'person', 1: 'car'}", stride="32")


def write_deep_detector(path: Path, free: bool = False) -> Path:
    """A u head of two classes behind a backbone with SiLU, a sum, and two levels joined by Concat."""
    random = np.random.default_rng(2)
    nodes: list = []
    weights = {
        "shape": np.array([1, 6, -1]),
        "span": np.array([SIDES[0], SIDES[1], 30, 30, 1, 1], np.float32).reshape(1, 6, 1),
        "twice": np.array([1, 1, 2, 2], np.float32),
    }

    def convolve(source: str, name: str, planes: tuple[int, int], side: int, stride: int = 1) -> str:
        # Of variance 2 / inputs, so that values neither die nor explode (He et al., ICCV 2015).
        spread = (2 / (planes[0] * side**2)) ** 0.5
        weights[f"{name}.weight"] = random.normal(0, spread, (planes[1], planes[0], side, side)).astype(
            "f4"
        )
        weights[f"{name}.bias"] = random.normal(0, 0.1, planes[1]).astype(np.float32)
        given = [source, f"{name}.weight", f"{name}.bias"]
        pads = [(side - stride + 1) // 2] * 4
        node = helper.make_node("Conv", given, [name], f"/{name}/Conv", strides=[stride] * 2, pads=pads)
        nodes.append(node)
        return name

    def add(kind: str, given: list[str], **options: object) -> str:
        name = f"{kind}{len(nodes)}"
        nodes.append(helper.make_node(kind, given, [name], f"/{name}", **options))
        return name

    def silu(name: str) -> str:
        return add("Mul", [name, add("Sigmoid", [name])])

    fine = silu(convolve("images", "fine", (3, 16), 8, 8))
    middle = silu(convolve(fine, "middle", (16, 16), 3, 2))
    middle = add("Add", [middle, silu(convolve(middle, "again", (16, 16), 3))])
    coarse = silu(convolve(middle, "coarse", (16, 16), 3, 2))
    joined = add("Concat", [add("Resize", [middle, "", "twice"], mode="nearest"), fine], axis=1)
    fine = silu(convolve(joined, "joined", (32, 16), 1))
    rows = [
        add("Reshape", [convolve(level, f"head{index}", (16, 6), 1), "shape"])
        for index, level in enumerate((fine, middle, coarse))
    ]
    nodes.append(
        helper.make_node("Mul", [add("Sigmoid", [add("Concat", rows, axis=2)]), "span"], ["output0"])
    )
    sides = ["h", "w"] if free else [SIDES[1], SIDES[0]]
    inputs = [helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, *sides])]
    count = "n" if free else 126
    outputs = [helper.make_tensor_value_info("output0", TensorProto.FLOAT, [1, 6, count])]
    metadata = {"names": "{0: 'person', 1: 'car'}", "stride": "32", "task": "detect"}
    return save(nodes, inputs, outputs, weights, path, **metadata)
