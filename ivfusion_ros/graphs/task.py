"""What an ONNX model is for, and the size of image that it takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import onnx
from onnx import TensorProto

from ivfusion_ros.errors import ModelError
from ivfusion_ros.graphs.letterbox import network_size, stride_of
from ivfusion_ros.graphs.onnx_file import THERMAL
from ivfusion_ros.graphs.yolo import detection_output

if TYPE_CHECKING:
    from ivfusion_ros.types import Size

Task = Literal["fusion", "detection"]


def task_of(model: onnx.ModelProto) -> Task:
    """What the model is for, by its inputs. Raises ModelError for another kind of model."""
    inputs = _inputs(model)
    floats = all(
        value.type.tensor_type.elem_type in (TensorProto.FLOAT, TensorProto.FLOAT16) for value in inputs
    )
    if {value.name for value in inputs} == {THERMAL, "rgb"}:
        return "fusion"
    if len(inputs) - takes_thermal(model) == 1 and floats:
        return "detection"
    raise ModelError(
        f"the model has the inputs {', '.join(value.name for value in inputs)}, expected thermal and rgb, "
        "or the image of a detector, alone or with thermal beside it; engines are made for those only"
    )


def takes_thermal(model: onnx.ModelProto) -> bool:
    """Whether the registered thermal image goes in."""
    return any(value.name == THERMAL for value in _inputs(model))


def fixed_network_size(model: onnx.ModelProto) -> Size | None:
    """(width, height) of the only input that the network takes, None where any will do."""
    value = next(value for value in _inputs(model) if value.name != THERMAL)
    sides = _sides(value)
    height, width = sides[1:3] if task_of(model) == "fusion" else sides[2:4]
    return (width, height) if width > 0 and height > 0 else None


def network_input_size(model: onnx.ModelProto, size: Size) -> Size:
    """(width, height) of what the network itself gets of an image of this size."""
    if task_of(model) == "fusion":
        return size
    metadata = {item.key: item.value for item in model.metadata_props}
    return fixed_network_size(model) or network_size(size, stride_of(metadata))


def keep_detections(model: onnx.ModelProto) -> None:
    """Remove a detector's outputs beside its detections. Raises ModelError."""
    outputs = {
        value.name: tuple(side.dim_value for side in value.type.tensor_type.shape.dim)
        for value in model.graph.output
    }
    kept = detection_output(outputs)
    for value in list(model.graph.output):
        if value.name != kept:
            model.graph.output.remove(value)


def _sides(value: onnx.ValueInfoProto) -> list[int]:
    """Sizes of all four dimensions, 0 where one is free. Raises ModelError."""
    sides = [item.dim_value for item in value.type.tensor_type.shape.dim]
    if len(sides) != 4:
        raise ModelError(f"input {value.name} has {len(sides)} dimensions, expected 4")
    return sides


def _inputs(model: onnx.ModelProto) -> list[onnx.ValueInfoProto]:
    weights = {item.name for item in model.graph.initializer}
    return [value for value in model.graph.input if value.name not in weights]
