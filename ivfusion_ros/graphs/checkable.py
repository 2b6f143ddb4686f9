"""Variants of a graph that show on a CPU what goes wrong on a GPU, for self-tests."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

RAW = "before_rounding"
"""Output of with_raw_output."""

_MAKE_PIXELS = {"Cast", "Clip", "Round", "Transpose", "Reshape", "Squeeze", "Unsqueeze", "Floor"}
"""What makes grey levels of a network's last floats: there NaN and infinity become 0 or 255."""


def with_raw_output(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy with one more output, RAW: the first output before it was limited and made uint8.

    The model itself where its output is not made that way.
    """
    makers = {name: node for node in model.graph.node for name in node.output}
    name = model.graph.output[0].name
    while (node := makers.get(name)) is not None and node.op_type in _MAKE_PIXELS:
        name = node.input[0]
    if name == model.graph.output[0].name or node is None:
        return model
    result = onnx.ModelProto()
    result.CopyFrom(model)
    result.graph.node.append(helper.make_node("Cast", [name], [RAW], to=TensorProto.FLOAT))
    result.graph.output.append(helper.make_tensor_value_info(RAW, TensorProto.FLOAT, None))
    return result


def rounded(half: onnx.ModelProto) -> onnx.ModelProto:
    """A half model as an f32 one that rounds after each operation, overflow included.

    ONNX Runtime computes halves on a CPU in f32, and where it can leaves out the rounding between two
    nodes; an overflow would go unseen. Casts to half and back that are part of the graph it keeps.
    """
    result = onnx.ModelProto()
    result.CopyFrom(onnx.shape_inference.infer_shapes(half))
    graph = result.graph
    values = {item.name: item for item in graph.value_info}
    halves = {
        name for name, item in values.items() if item.type.tensor_type.elem_type == TensorProto.FLOAT16
    }
    del graph.value_info[:]
    for weight in graph.initializer:
        if weight.data_type == TensorProto.FLOAT16:
            array = numpy_helper.to_array(weight).astype(np.float32)
            weight.CopyFrom(numpy_helper.from_array(array, weight.name))
    nodes = []
    for node in graph.node:
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        nodes.append(copy)
        if copy.op_type == "Cast" and copy.output[0] in halves:
            del copy.attribute[:]
            copy.attribute.append(helper.make_attribute("to", TensorProto.FLOAT))
        for position, name in enumerate(node.output):
            if name in halves:
                copy.output[position] = f"{name}/exact"
                nodes.append(
                    helper.make_node("Cast", [f"{name}/exact"], [f"{name}/16"], to=TensorProto.FLOAT16)
                )
                nodes.append(helper.make_node("Cast", [f"{name}/16"], [name], to=TensorProto.FLOAT))
    del graph.node[:]
    graph.node.extend(nodes)
    return result
