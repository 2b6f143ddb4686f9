"""A fusion graph of nothing but wide 3x3 convolutions, which shows a machine's peak of arithmetic."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from ivfusion_ros.errors import BackendError

if TYPE_CHECKING:
    from pathlib import Path

    from ivfusion_ros.types import Size

_CHANNELS = 128
_LAYERS = 4


def multiply_adds(size: Size) -> int:
    """Of the graph, at an image of this (width, height)."""
    per_pixel = 9 * (_CHANNELS * 4 + _CHANNELS**2 * _LAYERS + 3 * _CHANNELS)
    return per_pixel * size[0] * size[1]


def probe_widths() -> list[int]:
    """Channels before, between and after the convolutions."""
    return [4, *([_CHANNELS] * (_LAYERS + 1)), 3]


def write_probe(path: Path) -> None:
    """Write the graph. Raises BackendError where onnx is missing."""
    try:
        import onnx
    except ImportError as error:
        raise BackendError(f"the probe of the peak needs onnx ({error}); run: pip install onnx") from error
    from onnx import TensorProto, helper, numpy_helper

    widths = probe_widths()
    random = np.random.default_rng(0)
    weights = {"axis": np.array([3])}
    nodes = [
        helper.make_node("Unsqueeze", ["thermal", "axis"], ["grey"]),
        helper.make_node("Cast", ["grey"], ["grey32"], to=TensorProto.FLOAT),
        helper.make_node("Cast", ["rgb"], ["rgb32"], to=TensorProto.FLOAT),
        helper.make_node("Concat", ["grey32", "rgb32"], ["pixels"], axis=3),
        helper.make_node("Transpose", ["pixels"], ["x0"], perm=[0, 3, 1, 2]),
    ]
    for layer, (inputs, outputs) in enumerate(pairwise(widths)):
        scale = (9 * inputs) ** -0.5
        weights[f"w{layer}"] = random.normal(0, scale, (outputs, inputs, 3, 3)).astype(np.float32)
        nodes.append(helper.make_node("Conv", [f"x{layer}", f"w{layer}"], [f"y{layer}"], pads=[1] * 4))
        nodes.append(helper.make_node("Relu", [f"y{layer}"], [f"x{layer + 1}"]))
    last = f"x{len(widths) - 1}"
    nodes.append(helper.make_node("Transpose", [last], ["colour"], perm=[0, 2, 3, 1]))
    nodes.append(helper.make_node("Cast", ["colour"], ["fused"], to=TensorProto.UINT8))
    colour: list[str | int | None] = [1, "h", "w", 3]
    graph = helper.make_graph(
        nodes,
        "probe",
        [
            helper.make_tensor_value_info("thermal", TensorProto.UINT8, colour[:3]),
            helper.make_tensor_value_info("rgb", TensorProto.UINT8, colour),
        ],
        [helper.make_tensor_value_info("fused", TensorProto.UINT8, colour)],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
