"""ONNX model -> the graph that TensorRT compiles: for one image size, from bytes in to bytes out.

TensorRT takes bytes only into and out of a cast, so images become f32 first. With the size fixed it folds
all that depends on it. A detector gets scaling, padding and the order of its planes into the graph: it then
reads the same (1, H, W, 3) uint8 image that the fusion graph gives, which need not leave the GPU, and where
it takes the thermal image too, the (1, H, W) uint8 that the fusion graph takes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from ivfusion_ros.errors import ModelError
from ivfusion_ros.graphs.letterbox import GREY, Letterbox
from ivfusion_ros.graphs.onnx_file import THERMAL
from ivfusion_ros.graphs.task import _inputs, keep_detections, network_input_size, task_of

if TYPE_CHECKING:
    from ivfusion_ros.types import Image, Size

_RESIZE = {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}


def engine_graph(model: onnx.ModelProto, size: Size) -> onnx.ModelProto:
    """The graph for images of this size; the model stays as it is. Raises ModelError."""
    result = onnx.ModelProto()
    result.CopyFrom(model)
    graph = result.graph
    # Types and sizes of what is between are inferred again.
    del graph.value_info[:]
    width, height = size
    if task_of(model) == "detection":
        target = network_input_size(model, size)
        for value in _inputs(result):
            _read_image(graph, value, size, target)
        keep_detections(result)
    else:
        for value in _inputs(result):
            _fix(value, (1, height, width) if value.name == "thermal" else (1, height, width, 3))
    _cast_images(graph)
    return result


def engine_inputs(model: onnx.ModelProto, thermal: Image, rgb: Image) -> dict[str, npt.NDArray[np.uint8]]:
    """What engine_graph of a model takes of an (H, W) thermal and an (H, W, 3) RGB image, uint8."""
    detects = task_of(model) == "detection"
    names = [value.name for value in _inputs(model)]
    return {
        image_input(name) if detects else name: (thermal if name == THERMAL else rgb)[None]
        for name in names
    }


def image_input(name: str) -> str:
    """The name in engine_graph of the bytes for an input of a detector."""
    return f"{name}/image"


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


def _read_image(graph: onnx.GraphProto, old: onnx.ValueInfoProto, size: Size, target: Size) -> None:
    """Replace an input of a detector by an image of this size, letterboxed in the graph to the target."""
    name, kind = old.name, old.type.tensor_type.elem_type
    planes, shape = 3, [1, size[1], size[0], 3]
    if name == THERMAL:
        planes, shape = 1, shape[:3]
    box = Letterbox.fit(size, target)
    _fix(old, (1, planes, target[1], target[0]))
    rows, columns = box.out_height - box.scaled_height, box.out_width - box.scaled_width
    at = f"{name}/letterbox"
    constants: dict[str, npt.NDArray[Any]] = {
        "plane": np.array([1, 1, size[1], size[0]], np.int64),
        "sizes": np.array([1, planes, box.scaled_height, box.scaled_width], np.int64),
        "pads": np.array([0, 0, box.top, box.left, 0, 0, rows - box.top, columns - box.left], np.int64),
        "grey": np.array(GREY, np.float32),
        "scale": np.array(1 / 255, np.float32),
    }
    for key, value in constants.items():
        graph.initializer.append(numpy_helper.from_array(value, f"{at}/{key}"))
    image = image_input(name)
    steps = [
        helper.make_node("Reshape", [image, f"{at}/plane"], [f"{at}/planes"])
        if name == THERMAL
        else helper.make_node("Transpose", [image], [f"{at}/planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Resize", [f"{at}/planes", "", "", f"{at}/sizes"], [f"{at}/scaled"], **_RESIZE),
        helper.make_node("Pad", [f"{at}/scaled", f"{at}/pads", f"{at}/grey"], [f"{at}/padded"]),
        helper.make_node("Mul", [f"{at}/padded", f"{at}/scale"], [f"{at}/f32"]),
        helper.make_node("Cast", [f"{at}/f32"], [name], to=kind),
    ]
    for node in reversed(steps):
        graph.node.insert(0, node)
    graph.input.remove(old)
    graph.input.append(helper.make_tensor_value_info(image, TensorProto.UINT8, shape))
