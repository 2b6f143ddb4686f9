"""ONNX model -> the graph that TensorRT compiles: for one image size, from bytes in to bytes out.

TensorRT takes bytes only into and out of a cast, so images become f32 first. With the size fixed it folds
all that depends on it. A detector gets scaling, padding and the order of its planes into the graph: it then
reads the same (1, H, W, 3) uint8 image that the fusion graph gives, which need not leave the GPU.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from ivfusion_ros.errors import ModelError
from ivfusion_ros.graphs.letterbox import GREY, Letterbox
from ivfusion_ros.graphs.task import _inputs, keep_detections, network_input_size, task_of

if TYPE_CHECKING:
    from ivfusion_ros.types import Size


def engine_graph(model: onnx.ModelProto, size: Size) -> onnx.ModelProto:
    """The graph for images of this size; the model stays as it is. Raises ModelError."""
    result = onnx.ModelProto()
    result.CopyFrom(model)
    graph = result.graph
    # Types and sizes of what is between are inferred again.
    del graph.value_info[:]
    width, height = size
    if task_of(model) == "detection":
        _read_image(result, size)
        keep_detections(result)
    else:
        for value in _inputs(result):
            _fix(value, (1, height, width) if value.name == "thermal" else (1, height, width, 3))
    _cast_images(graph)
    return result


def _fix(value: onnx.ValueInfoProto, shape: tuple[int, ...]) -> None:
    dimensions = value.type.tensor_type.shape.dim
    if len(dimensions) != len(shape):
        raise ModelError(f"input {value.name} has {len(dimensions)} dimensions, expected {len(shape)}")
    for dimension, side in zip(dimensions, shape, strict=True):
        if dimension.HasField("dim_value") and dimension.dim_value not in (0, side):
            raise ModelError(
                f"input {value.name} is made for {dimension.dim_value}, not for {side}; "
                "choose the size that the model was exported for"
            )
        dimension.dim_value = side


def _cast_images(graph: onnx.GraphProto) -> None:
    """All that reads a byte image reads it in f32."""
    images = [value.name for value in graph.input if value.type.tensor_type.elem_type == TensorProto.UINT8]
    names = {name: f"{name}/f32" for name in images}
    for node in graph.node:
        for position, name in enumerate(node.input):
            node.input[position] = names.get(name, name)
    casts = [helper.make_node("Cast", [name], [names[name]], to=TensorProto.FLOAT) for name in images]
    for node in reversed(casts):
        graph.node.insert(0, node)


def _read_image(model: onnx.ModelProto, size: Size) -> None:
    """Replace the input of a detector by an image of this size, letterboxed in the graph."""
    graph = model.graph
    old = _inputs(model)[0]
    name, kind = old.name, old.type.tensor_type.elem_type
    target = network_input_size(model, size)
    box = Letterbox.fit(size, target)
    _fix(old, (1, 3, target[1], target[0]))
    rows, columns = box.out_height - box.scaled_height, box.out_width - box.scaled_width
    constants: dict[str, npt.NDArray[Any]] = {
        "sizes": np.array([1, 3, box.scaled_height, box.scaled_width], np.int64),
        "pads": np.array([0, 0, box.top, box.left, 0, 0, rows - box.top, columns - box.left], np.int64),
        "grey": np.array(GREY, np.float32),
        "scale": np.array(1 / 255, np.float32),
    }
    for key, value in constants.items():
        graph.initializer.append(numpy_helper.from_array(value, f"letterbox/{key}"))
    image = f"{name}/image"
    resize = {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}
    steps = [
        helper.make_node("Transpose", [image], ["letterbox/planes"], perm=[0, 3, 1, 2]),
        helper.make_node(
            "Resize", ["letterbox/planes", "", "", "letterbox/sizes"], ["letterbox/scaled"], **resize
        ),
        helper.make_node(
            "Pad", ["letterbox/scaled", "letterbox/pads", "letterbox/grey"], ["letterbox/padded"]
        ),
        helper.make_node("Mul", ["letterbox/padded", "letterbox/scale"], ["letterbox/f32"]),
        helper.make_node("Cast", ["letterbox/f32"], [name], to=kind),
    ]
    for node in reversed(steps):
        graph.node.insert(0, node)
    graph.input.remove(old)
    shape = [1, size[1], size[0], 3]
    graph.input.append(helper.make_tensor_value_info(image, TensorProto.UINT8, shape))
