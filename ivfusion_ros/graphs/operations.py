"""Parameters and multiply-adds of an ONNX fusion graph."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from ivfusion_ros.errors import BackendError, ModelError
from ivfusion_ros.graphs.onnx_file import read_model

if TYPE_CHECKING:
    from pathlib import Path

    import onnx

    from ivfusion_ros.types import Size

Shape = tuple[int, ...]


def count_operations(model_path: Path, size: Size) -> tuple[int, int]:
    """(parameters, multiply-adds) at an image size of (width, height).

    Multiply-adds are those of convolutions and matrix products, as papers count them.
    Raises ModelError, and BackendError where onnx or onnxruntime is missing.
    """
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
    except ImportError as error:
        raise BackendError(
            f"counting operations needs onnx and onnxruntime ({error}); run: pip install onnx onnxruntime"
        ) from error
    model = read_model(model_path)
    nodes = [node for node in model.graph.node if node.op_type in _COUNTS]
    names = {name for node in nodes for name in (*node.input[:2], node.output[0])}
    parameters = _parameters(model)
    shapes = _shapes(model, sorted(names), size, model_path)
    counts = (
        _COUNTS[node.op_type](shapes[node.input[0]], shapes[node.input[1]], shapes[node.output[0]])
        for node in nodes
    )
    return parameters, sum(counts)


def _parameters(model: onnx.ModelProto) -> int:
    """Entries of all weights; scalars and longer integers are constants of the graph, not weights."""
    from onnx import TensorProto as T

    kinds = {T.FLOAT, T.FLOAT16, T.BFLOAT16, T.DOUBLE, T.INT8, T.UINT8}
    weights = [item for item in model.graph.initializer if item.dims and item.data_type in kinds]
    return sum(math.prod(item.dims) for item in weights)


def _shapes(model: onnx.ModelProto, names: list[str], size: Size, path: Path) -> dict[str, Shape]:
    """Shapes of named tensors, seen in a run of the graph with black images; adds outputs to the model.

    Inference of shapes without a run stops at the padding to the network's stride, whose extent is itself
    computed in the graph.
    """
    import onnx
    import onnxruntime

    probes = [f"shape of {name}" for name in names]
    for name, probe in zip(names, probes, strict=True):
        model.graph.node.append(onnx.helper.make_node("Shape", [name], [probe]))
        model.graph.output.append(onnx.helper.make_tensor_value_info(probe, onnx.TensorProto.INT64, [None]))
    width, height = size
    black = {
        "thermal": np.zeros((1, height, width), np.uint8),
        "rgb": np.zeros((1, height, width, 3), np.uint8),
    }
    options = onnxruntime.SessionOptions()
    # Errors come as exceptions; without this they are printed as well.
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        found = session.run(probes, black) if probes else []
    # ONNX Runtime's errors share no base class but Exception.
    except Exception as error:
        raise ModelError(f"cannot count the operations of {path}: {error}") from error
    return {name: tuple(map(int, shape)) for name, shape in zip(names, found, strict=True)}


def convolution(_: Shape, weight: Shape, output: Shape) -> int:
    """Multiply-adds of one, also of one in groups: the shapes of its image, weights and output."""
    return math.prod(output) * math.prod(weight[1:])


def transposed_convolution(image: Shape, weight: Shape, _: Shape) -> int:
    """As convolution."""
    return math.prod(image) * math.prod(weight[1:])


def batched_product(left: Shape, _: Shape, output: Shape) -> int:
    """As convolution, of two stacks of matrices."""
    # A backend's left matrix may be transposed as well.
    inner = left[-1] if len(left) < 2 else math.prod(left[-2:]) // output[-2]
    return math.prod(output) * inner


def product(left: Shape, _: Shape, output: Shape) -> int:
    """As convolution, of two matrices."""
    # Gemm's left matrix may be transposed.
    return math.prod(left) * output[1]


_COUNTS = {
    "Conv": convolution,
    "ConvTranspose": transposed_convolution,
    "MatMul": batched_product,
    "Gemm": product,
}
