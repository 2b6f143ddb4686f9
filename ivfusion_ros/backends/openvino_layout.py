"""How images enter and leave OpenVINO: those of fusion as planes, those of a detector as pixels.

A fusion graph only turns pixels into planes and back, for which OpenVINO takes nine times as long as
OpenCV: measured on x86 with 2026.4, one thread, 640x480 uint8, .76 ms from planes to pixels, .28 ms back;
OpenCV .08 and .13 ms. Of a detector's pixels it makes floats faster than of planes: yolov5n_int8 takes .935
of the time that it takes with planes in f32 made by NumPy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from ivfusion_ros.backends.silent_openvino import openvino
from ivfusion_ros.backends.tensors import TensorInfo

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ivfusion_ros.backends.tensors import Array

_TO_PLANES, _TO_PIXELS = [0, 3, 1, 2], [0, 2, 3, 1]


def take_planes(model: Any) -> tuple[set[str], set[str]]:
    """Cut the transposes off the ends of a model, in place; (inputs, outputs) that are planes from now on.

    Of one uint8 colour image each: an input all of whose readers make planes of it, an output that is made
    of planes.
    """
    inputs = {port.get_any_name() for port in model.inputs if _cut_input(model, port)}
    outputs = {port.get_any_name() for port in list(model.outputs) if _cut_output(port)}
    model.validate_nodes_and_infer_types()
    return inputs, outputs


def pixel_info(info: TensorInfo) -> TensorInfo | None:
    """The uint8 image (1, H, W, C) in place of an input of floats (1, C, H, W); None for other inputs."""
    if info.shape is None or len(info.shape) != 4 or info.dtype not in (np.float32, np.float16):
        return None
    batch, channels, height, width = info.shape
    fits = batch in (1, None) and channels in (1, 3)
    return TensorInfo((1, height, width, channels), np.dtype(np.uint8)) if fits else None


def take_pixels(model: Any, names: Iterable[str]) -> Any:
    """The model, which is changed, with these inputs as pixel_info says; they become 0 to 1 in it."""
    from openvino.preprocess import PrePostProcessor

    steps = PrePostProcessor(model)
    for name in names:
        steps.input(name).model().set_layout(openvino.Layout("NCHW"))
        steps.input(name).tensor().set_layout(openvino.Layout("NHWC")).set_element_type(openvino.Type.u8)
        steps.input(name).preprocess().convert_element_type(openvino.Type.f32).scale(255.0)
    return steps.build()


def to_planes(images: Array) -> Array:
    """(1, H, W, 3) uint8 -> (1, 3, H, W), contiguous."""
    height, width = images.shape[1:3]
    planes = np.empty((1, 3, height, width), np.uint8)
    cv2.split(images[0], list(planes[0]))
    return planes


def to_pixels(planes: Array) -> Array:
    """(1, 3, H, W) uint8 -> (1, H, W, 3), contiguous, the caller's own."""
    return np.asarray(cv2.merge(list(planes[0])), np.uint8)[None]


def _cut_input(model: Any, port: Any) -> bool:
    readers = [target.get_node() for target in port.get_target_inputs()]
    if not _is_colour(port) or not all(_transposes(node, _TO_PLANES) for node in readers):
        return False
    batch, height, width, channels = port.get_partial_shape()
    names = port.get_names()
    planes = openvino.opset13.parameter([batch, channels, height, width], np.uint8)
    for node in readers:
        node.output(0).replace(planes.output(0))
    model.remove_parameter(port.get_node())
    model.add_parameters([planes])
    planes.output(0).set_names(names)
    planes.set_friendly_name(port.get_node().get_friendly_name())
    return bool(readers)


def _cut_output(port: Any) -> bool:
    maker = port.get_node().input_value(0).get_node()
    # Exporters make pixels of floats, and uint8 of these.
    rounds = maker.get_type_name() == "Convert"
    transpose = maker.input_value(0).get_node() if rounds else maker
    if not _is_colour(port) or not _transposes(transpose, _TO_PIXELS):
        return False
    names, planes = port.get_names(), transpose.input_value(0)
    if rounds:
        planes = openvino.opset13.convert(planes, "u8").output(0)
    port.get_node().input(0).replace_source_output(planes)
    planes.set_names(names)
    return True


def _is_colour(port: Any) -> bool:
    """Whether it is (1, H, W, 3) uint8."""
    shape = port.get_partial_shape()
    if shape.rank.is_dynamic or port.get_element_type().to_dtype() != np.uint8:
        return False
    sides = [side.get_length() if side.is_static else 0 for side in shape]
    return len(sides) == 4 and sides[0] == 1 and sides[3] == 3


def _transposes(node: Any, order: list[int]) -> bool:
    if node.get_type_name() != "Transpose":
        return False
    axes = node.input_value(1).get_node()
    return bool(axes.get_type_name() == "Constant" and axes.get_data().ravel().tolist() == order)
