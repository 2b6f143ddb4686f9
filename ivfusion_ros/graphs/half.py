"""ONNX graph in f32 -> the same graph with its expensive part in half precision (f16).

Engines of TensorRT take their precision from the graph. Here only what lies between the first and the last
convolution or matrix product becomes half: before it are colours and padding, after it colours, rounding,
and box coordinates of hundreds of pixels, of which a half has only three digits. Islands of f32 stay
inside, where
many terms are summed or exponents are taken: softmax (and the convolution that reads the distribution of a
box edge from it), averages over the whole image, normalisation by an image's own statistics, sampling
grids, and squares up to the ratio or root that is taken of them, as the square of 256 is too large for a
half.

Inputs, outputs and metadata stay as they are, so a half model is used like the one it came from. This pass
is our own since the known converters round between any two nodes that stay in f32, or go by operator types
alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from ivfusion_ros.errors import ModelError
from ivfusion_ros.graphs.onnx_file import PRECISION_KEY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_PRODUCTS = {"Conv", "ConvTranspose", "MatMul", "Gemm"}
_ALWAYS_F32 = {
    "Softmax",
    "LogSoftmax",
    "GlobalAveragePool",
    "InstanceNormalization",
    "GroupNormalization",
    "LayerNormalization",
    "ReduceSumSquare",
    "ReduceL2",
    "ReduceLogSumExp",
    "Exp",
    "GridSample",
    "CumSum",
    "Range",
    "Cast",
    "ConstantOfShape",
}
_ENDS_OF_ENERGY = {"Div", "Sqrt", "Reciprocal", "Sigmoid", "Tanh"}
_LAYOUT = {
    "Reshape",
    "Transpose",
    "Squeeze",
    "Unsqueeze",
    "Flatten",
    "Identity",
    "Slice",
    "Gather",
    "Split",
}
_SPATIAL_AXES = {2, 3, -1, -2}
_F32_OPERANDS = {"Resize": {2}}
"""Inputs that are f32 by the operator's definition."""


def to_half(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of the model whose expensive part is in half precision. Raises ModelError."""
    result = onnx.ModelProto()
    result.CopyFrom(model)
    graph = result.graph
    if any(attribute.HasField("g") for node in graph.node for attribute in node.attribute):
        raise ModelError("the model has branches or loops, which half precision does not support; use f32")
    _constants_to_initializers(graph)
    chosen = _half_nodes(graph)
    if not chosen:
        raise ModelError("the model has no convolution and no product, half precision would change nothing")
    _Rewriter(graph, _float_tensors(result)).rewrite(chosen)
    # What was inferred before has types of before.
    del graph.value_info[:]
    for entry in [item for item in result.metadata_props if item.key == PRECISION_KEY]:
        result.metadata_props.remove(entry)
    result.metadata_props.add(key=PRECISION_KEY, value="f16")
    return result


def _constants_to_initializers(graph: onnx.GraphProto) -> None:
    """Constant nodes as initializers, of which each use can have the type it needs."""
    kept = []
    for node in graph.node:
        values = [item.t for item in node.attribute if item.name == "value"]
        if node.op_type != "Constant" or not values:
            kept.append(node)
            continue
        initializer = graph.initializer.add()
        initializer.CopyFrom(values[0])
        initializer.name = node.output[0]
    _replace_nodes(graph, kept)


def _replace_nodes(graph: onnx.GraphProto, nodes: Iterable[onnx.NodeProto]) -> None:
    copies = []
    for node in nodes:
        copies.append(onnx.NodeProto())
        copies[-1].CopyFrom(node)
    del graph.node[:]
    graph.node.extend(copies)


def _float_tensors(model: onnx.ModelProto) -> set[str]:
    """Names of all tensors of type f32."""
    try:
        graph = onnx.shape_inference.infer_shapes(model, data_prop=False).graph
    except onnx.shape_inference.InferenceError as error:
        raise ModelError(f"types in the model cannot be inferred: {error}") from error
    values = (*graph.value_info, *graph.input, *graph.output)
    names = {value.name for value in values if value.type.tensor_type.elem_type == TensorProto.FLOAT}
    return names | {item.name for item in graph.initializer if item.data_type == TensorProto.FLOAT}


def _half_nodes(graph: onnx.GraphProto) -> set[int]:
    """Positions of the nodes that become half."""
    producers = {name: index for index, node in enumerate(graph.node) for name in node.output}
    products = {
        index
        for index, node in enumerate(graph.node)
        if node.op_type in _PRODUCTS and not _reads_distribution(graph, node, producers)
    }
    before = [[producers[name] for name in node.input if name in producers] for node in graph.node]
    after: list[list[int]] = [[] for _ in graph.node]
    for index, sources in enumerate(before):
        for source in sources:
            after[source].append(index)
    # Nodes are in an order in which each follows those it reads.
    behind = _reachable(range(len(before)), before, products)
    ahead = _reachable(range(len(before) - 1, -1, -1), after, products)
    axes = {item.name: item for item in graph.initializer}
    islands = _grid_nodes(graph, producers, products) | _energy_nodes(graph, products)
    return {
        index
        for index, node in enumerate(graph.node)
        if index in behind & ahead and index not in islands and not _is_island(node, axes)
    }


def _reachable(order: Iterable[int], neighbours: list[list[int]], starts: set[int]) -> set[int]:
    found: set[int] = set()
    for index in order:
        if index in starts or any(other in found for other in neighbours[index]):
            found.add(index)
    return found


def _is_island(node: onnx.NodeProto, initializers: dict[str, TensorProto]) -> bool:
    if node.op_type in _ALWAYS_F32:
        return True
    if node.op_type not in ("ReduceMean", "ReduceSum"):
        return False
    # Over channels a few dozen values are summed, over the image hundreds of thousands.
    given = [list(item.ints) for item in node.attribute if item.name == "axes"]
    if len(node.input) > 1 and node.input[1] in initializers:
        given = [numpy_helper.to_array(initializers[node.input[1]]).ravel().tolist()]
    return not given or bool(_SPATIAL_AXES & set(given[0]))


def _reads_distribution(graph: onnx.GraphProto, node: onnx.NodeProto, producers: dict[str, int]) -> bool:
    """Whether a convolution takes the mean of a softmax, as the anchor-free heads do for a box edge."""
    if node.op_type != "Conv":
        return False
    name = node.input[0]
    while name in producers and graph.node[producers[name]].op_type in _LAYOUT:
        name = graph.node[producers[name]].input[0]
    return name in producers and graph.node[producers[name]].op_type == "Softmax"


def _grid_nodes(graph: onnx.GraphProto, producers: dict[str, int], products: set[int]) -> set[int]:
    """What computes sampling positions, back to the last product."""
    islands: set[int] = set()
    waiting = [node.input[1] for node in graph.node if node.op_type == "GridSample"]
    while waiting:
        index = producers.get(waiting.pop())
        if index is not None and index not in islands and index not in products:
            islands.add(index)
            waiting.extend(graph.node[index].input)
    return islands


def _energy_nodes(graph: onnx.GraphProto, products: set[int]) -> set[int]:
    """Squares and what is made of them, up to the next ratio, root, sigmoid or product."""
    islands: set[int] = set()
    energies: set[str] = set()
    for index, node in enumerate(graph.node):
        square = node.op_type == "Pow" or (node.op_type == "Mul" and node.input[0] == node.input[1])
        if index in products or not (square or energies & set(node.input)):
            continue
        islands.add(index)
        if node.op_type not in _ENDS_OF_ENERGY:
            energies.update(node.output)
    return islands


class _Rewriter:
    """Gives each node inputs of its own precision, by way of casts where a neighbour has the other one."""

    def __init__(self, graph: onnx.GraphProto, floats: set[str]) -> None:
        self._graph = graph
        self._floats = floats
        self._weights = {item.name: item for item in graph.initializer if item.name in floats}
        self._halves: set[str] = set()
        self._casts: dict[tuple[str, int], str] = {}
        self._nodes: list[onnx.NodeProto] = []

    def rewrite(self, chosen: set[int]) -> None:
        self._convert_weights(chosen)
        outputs = {item.name for item in self._graph.output}
        for index, node in enumerate(self._graph.node):
            kind = TensorProto.FLOAT16 if index in chosen else TensorProto.FLOAT
            for position, name in enumerate(node.input):
                fixed = position in _F32_OPERANDS.get(node.op_type, ())
                if name in self._floats and not self._accepts_any(node):
                    node.input[position] = self._as(name, TensorProto.FLOAT if fixed else kind)
            self._nodes.append(node)
            if index in chosen:
                self._end_in_half(node, outputs)
        _replace_nodes(self._graph, self._nodes)

    @staticmethod
    def _accepts_any(node: onnx.NodeProto) -> bool:
        # What turns into another type, or into none, needs no cast before it.
        return node.op_type in ("Cast", "Shape", "Size")

    def _end_in_half(self, node: onnx.NodeProto, outputs: set[str]) -> None:
        for position, name in enumerate(node.output):
            if name not in self._floats:
                continue
            if name not in outputs:
                self._halves.add(name)
                continue
            node.output[position] = f"{name}/half"
            self._nodes.append(helper.make_node("Cast", [f"{name}/half"], [name], to=TensorProto.FLOAT))

    def _as(self, name: str, kind: int) -> str:
        """The tensor in this precision; a cast of it is made once."""
        if (name in self._halves) == (kind == TensorProto.FLOAT16):
            return name
        if (name, kind) not in self._casts:
            self._casts[name, kind] = f"{name}/{'half' if kind == TensorProto.FLOAT16 else 'f32'}"
            cast = helper.make_node("Cast", [name], [self._casts[name, kind]], to=kind)
            self._nodes.append(cast)
        return self._casts[name, kind]

    def _convert_weights(self, chosen: set[int]) -> None:
        """Weights to half; those that f32 nodes read too stay, with a copy in half beside them."""
        users: Callable[[bool], set[str]] = lambda half: {  # noqa: E731
            name
            for index, node in enumerate(self._graph.node)
            for position, name in enumerate(node.input)
            if (index in chosen and position not in _F32_OPERANDS.get(node.op_type, ())) == half
        }
        in_f32, in_half = users(False), users(True)
        for name, weight in self._weights.items():
            if name in in_f32 and name not in in_half:
                continue
            with np.errstate(over="ignore"):  # the self-test sees what does not fit
                half = numpy_helper.from_array(numpy_helper.to_array(weight).astype("float16"), name)
            if name in in_f32:
                half.name = f"{name}/half"
                self._graph.initializer.append(half)
                self._casts[name, TensorProto.FLOAT16] = half.name
            else:
                weight.CopyFrom(half)
                self._halves.add(name)
