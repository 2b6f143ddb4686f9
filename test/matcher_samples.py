"""Matchers in ONNX files: small graphs that really match, and pairs that they match."""

from pathlib import Path

import cv2
import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

SIDES = 160, 120
"""(width, height) of the small matchers' inputs."""


def write(path: Path, nodes: list, weights: dict[str, np.ndarray], sides=(120, 160), inputs=None) -> Path:
    planes = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 1, *sides])
        for name in inputs or ("thermal", "visible")
    ]
    outputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("matches", "confidence")
    ]
    kept = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    graph = helper.make_graph(nodes, "matcher", planes, outputs, kept)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(model, path)
    return path


def block_matcher(path: Path) -> Path:
    """Correlation of 56 patches of the thermal image with all places of the visible one, by their grey."""
    return write(path, *_correlation("thermal", "visible", patch_px=15, step_px=(18, 16)))


def edge_matcher(path: Path) -> Path:
    """Correlation of 88 larger patches by the directions of their edges, which both cameras share."""
    nodes, weights = [], {"two": np.array(2, np.float32), "flat_energy": np.array(1, np.float32)}
    gaussian = cv2.getGaussianKernel(5, 1.0).astype(np.float32)
    slope = np.outer([1, 2, 1], [-1, 0, 1]).astype(np.float32) * 255 / 8
    weights |= {
        "blur": (gaussian @ gaussian.T)[None, None],
        "slopes": np.stack([slope, slope.T])[:, None],
        "soften": np.stack([gaussian @ gaussian.T] * 2)[:, None],
    }
    node = helper.make_node
    for name in ("thermal", "visible"):
        x, y, energy = f"{name}_x", f"{name}_y", f"{name}_energy"
        nodes += [
            node("Conv", [name, "blur"], [f"{name}_smooth"], pads=[2] * 4),
            node("Conv", [f"{name}_smooth", "slopes"], [f"{name}_slopes"], pads=[1] * 4),
            node("Split", [f"{name}_slopes"], [x, y], axis=1, num_outputs=2),
            node("Mul", [x, x], [f"{x}x"]),
            node("Mul", [y, y], [f"{y}y"]),
            node("Mul", [x, y], [f"{x}y"]),
            node("Sum", [f"{x}x", f"{y}y", "flat_energy"], [energy]),
            node("Sub", [f"{x}x", f"{y}y"], [f"{name}_cosine"]),
            node("Mul", [f"{x}y", "two"], [f"{name}_sine"]),
            node("Concat", [f"{name}_cosine", f"{name}_sine"], [f"{name}_both"], axis=1),
            node("Div", [f"{name}_both", energy], [f"{name}_directions"]),
            node("Conv", [f"{name}_directions", "soften"], [f"{name}_edges"], pads=[2] * 4, group=2),
        ]
    more = _correlation("thermal_edges", "visible_edges", patch_px=31, step_px=(12, 11))
    return write(path, nodes + more[0], weights | more[1])


def _correlation(
    first: str, second: str, *, patch_px: int, step_px: tuple[int, int]
) -> tuple[list[NodeProto], dict[str, np.ndarray]]:
    """Matches by normalised correlation of patches of a tensor (1, C, h, w) with all places of another."""
    width, height = SIDES
    rows, across = range(2, height - patch_px, step_px[1]), range(2, width - patch_px, step_px[0])
    corners = [(x, y) for y in rows for x in across]
    nodes, weights = [], {"plane": np.array([2, 3]), "all": np.array([1, 2, 3])}
    node = helper.make_node
    for index, (x, y) in enumerate(corners):
        weights[f"from{index}"] = np.array([y, x])
        weights[f"to{index}"] = np.array([y + patch_px, x + patch_px])
        nodes.append(node("Slice", [first, f"from{index}", f"to{index}", "plane"], [f"patch{index}"]))
    weights |= {
        "flat": np.array([1, len(corners), -1]),
        "columns": np.array(width - patch_px + 1),
        "half": np.array((patch_px - 1) / 2, np.float32),
        "area": np.array(patch_px**2, np.float32),
        "tiny": np.array(1e-3, np.float32),
        "centres": np.array(corners, np.float32) + (patch_px - 1) / 2,
        "last": np.array([2]),
        "first": np.array([0]),
        "column": np.array([1]),
    }
    window = {"kernel_shape": [patch_px, patch_px]}
    nodes += [
        node("Concat", [f"patch{index}" for index in range(len(corners))], ["patches"], axis=0),
        node("ReduceMean", ["patches", "plane"], ["mean"]),
        node("Sub", ["patches", "mean"], ["plain"]),
        node("ReduceL2", ["plain", "all"], ["length"]),
        node("Add", ["length", "tiny"], ["safe_length"]),
        node("Div", ["plain", "safe_length"], ["kernels"]),
        node("Conv", [second, "kernels"], ["products"]),
        node("AveragePool", [second], ["local"], **window),
        node("Mul", [second, second], ["square"]),
        node("AveragePool", ["square"], ["local_square"], **window),
        node("Mul", ["local", "local"], ["squared_local"]),
        node("Sub", ["local_square", "squared_local"], ["variance"]),
        node("Relu", ["variance"], ["no_less"]),
        node("ReduceSum", ["no_less", "column"], ["of_channels"]),
        node("Mul", ["of_channels", "area"], ["energy"]),
        node("Sqrt", ["energy"], ["norm"]),
        node("Add", ["norm", "tiny"], ["safe_norm"]),
        node("Div", ["products", "safe_norm"], ["scores"]),
        node("Reshape", ["scores", "flat"], ["by_patch"]),
        node("ArgMax", ["by_patch"], ["best"], axis=2, keepdims=0),
        node("ReduceMax", ["by_patch", "last"], ["peak"], keepdims=0),
        node("Squeeze", ["peak", "first"], ["peaks"]),
        node("Squeeze", ["best", "first"], ["places"]),
        node("Mod", ["places", "columns"], ["x"]),
        node("Div", ["places", "columns"], ["y"]),
        node("Cast", ["x"], ["x_real"], to=TensorProto.FLOAT),
        node("Cast", ["y"], ["y_real"], to=TensorProto.FLOAT),
        node("Add", ["x_real", "half"], ["x_centre"]),
        node("Add", ["y_real", "half"], ["y_centre"]),
        node("Unsqueeze", ["x_centre", "column"], ["x_column"]),
        node("Unsqueeze", ["y_centre", "column"], ["y_column"]),
        node("Concat", ["centres", "x_column", "y_column"], ["matches"], axis=1),
        node("HardSigmoid", ["peaks"], ["confidence"], alpha=1.0, beta=0.0),
    ]
    return nodes, weights


def street(seed: int, shift: int, width: int = 640) -> tuple[np.ndarray, np.ndarray]:
    """Boxes and discs, 1.375 widths of them and 3/4 as high; each camera sees one width, `shift` apart."""
    random = np.random.default_rng(seed)
    canvas = np.full((480, 880), 110, np.uint8)
    for _ in range(160):
        x, y, side, grey = (int(random.integers(0, most)) for most in (880, 480, 60, 256))
        if random.random() < 0.5:
            cv2.rectangle(canvas, (x, y), (x + side, y + side // 2), grey, -1)
        else:
            cv2.circle(canvas, (x, y), side // 2, grey, -1)
    canvas = cv2.GaussianBlur(canvas, (0, 0), 1.0)
    height = width * 3 // 4
    canvas = cv2.resize(canvas, (width * 11 // 8, height), interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(canvas[:, shift : shift + width]), np.ascontiguousarray(canvas[:, :width])
