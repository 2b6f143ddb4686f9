"""Self-test of a half model or an engine: its outputs beside those of the model it came from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from ivfusion_ros.backends.tensors import Array
from ivfusion_ros.errors import BackendError, ModelError
from ivfusion_ros.files import write_whole
from ivfusion_ros.graphs.byte_input import engine_graph
from ivfusion_ros.graphs.half import to_half
from ivfusion_ros.graphs.onnx_file import read_model
from ivfusion_ros.graphs.task import Task, fixed_network_size, network_input_size, task_of
from ivfusion_ros.graphs.yolo import identify_head
from ivfusion_ros.images.files import read_image
from ivfusion_ros.types import CAMERAS

if TYPE_CHECKING:
    from ivfusion_ros.types import Image, Size

MAX_GREY_LEVELS = 1.0
"""Largest mean error of a fused image, grey levels of 255."""

MAX_PIXELS = 1.0
MAX_SCORE = 0.02
"""Largest mean error of box edges in pixels and of scores, over the anchors that score highest."""

_CHECKED_SIDE = 320
"""Longest side of the images with which a half model is checked on the CPU, pixels."""

_ANCHORS = 100
_SURE = 0.25
"""Score of an end-to-end head's boxes that are compared: those below come and go."""

# Made by `python test/make_self_test_images.py`.
_IMAGES = [Path(__file__).with_name(f"self_test_{camera}.jpg") for camera in CAMERAS]
"""The same simulated streets in both: by day, and below that by night."""

_SCENES = 2

Run = Callable[[Mapping[str, Array]], Mapping[str, Array]]
"""Inputs by name -> outputs by name."""


@dataclass(frozen=True)
class Outcome:
    """Outcome of a self-test; text has the errors and their units."""

    passed: bool
    text: str


def sample_pairs(size: Size) -> list[tuple[Image, Image]]:
    """Thermal (H, W) and RGB (H, W, 3) uint8 images of size (width, height): streets by day and by night.

    Raises ImageError where the installation is damaged.
    """
    thermal, rgb = (
        [np.asarray(cv2.resize(scene, size), np.uint8) for scene in _scenes(path)] for path in _IMAGES
    )
    return list(zip(thermal, rgb, strict=True))


def _scenes(path: Path) -> list[Image]:
    return np.split(np.asarray(read_image(path), np.uint8), _SCENES)


def check_half(model: onnx.ModelProto, half: onnx.ModelProto, size: Size) -> Outcome:
    """Self-test of a half model on the CPU, on the sample images at size (width, height), made smaller."""
    scale = min(1.0, _CHECKED_SIDE / max(size))
    small = max(8, round(size[0] * scale)), max(8, round(size[1] * scale))
    if task_of(model) == "fusion":
        small = fixed_network_size(model) or small
    return self_test(model, small, reference(rounded(engine_graph(half, small))))


def halve_file(path: Path) -> Outcome:
    """Turn an ONNX file into half precision, unless its self-test fails. Raises ModelError."""
    model = read_model(path)
    half = to_half(model)
    outcome = check_half(model, half, (_CHECKED_SIDE, _CHECKED_SIDE * 3 // 4))
    if outcome.passed:
        write_whole(path, half.SerializeToString())
    return outcome


def self_test(model: onnx.ModelProto, size: Size, found: Run) -> Outcome:
    """Whether `found` gives for images of size (width, height) what the model gives in ONNX Runtime.

    found takes what engine_graph's inputs are. Raises ModelError, BackendError.
    """
    task, graph = task_of(model), engine_graph(model, size)
    if task == "fusion":
        inputs = [{"thermal": thermal[None], "rgb": rgb[None]} for thermal, rgb in sample_pairs(size)]
    else:
        name = graph.graph.input[0].name
        inputs = [{name: rgb[None]} for _, rgb in sample_pairs(size)]
    return compare(task, network_input_size(model, size), reference(graph), found, inputs)


def compare(task: Task, size: Size, expected: Run, found: Run, inputs: list[dict[str, Array]]) -> Outcome:
    """Run both on the same inputs. size: (width, height) of the network's input, which names the head."""
    pairs = [
        (np.asarray(next(iter(expected(one).values()))), np.asarray(next(iter(found(one).values()))))
        for one in inputs
    ]
    if not all(np.isfinite(new).all() for _, new in pairs):
        return Outcome(False, "the output has NaN or infinite values")
    outcome = _compare_images(pairs) if task == "fusion" else _compare_boxes(pairs, size)
    if outcome.passed and task == "fusion" and any(np.ptp(new) == 0 for _, new in pairs):
        # NaN becomes black in both.
        return Outcome(False, "a fused image has one grey level: its weights are damaged, or overflow")
    return outcome


def _compare_images(pairs: list[tuple[Array, Array]]) -> Outcome:
    errors = [np.abs(old.astype(np.float32) - new.astype(np.float32)) for old, new in pairs]
    mean, worst = max(float(error.mean()) for error in errors), max(float(error.max()) for error in errors)
    return Outcome(mean < MAX_GREY_LEVELS, f"mean error {mean:.3f}, largest {worst:.0f} grey levels")


def _compare_boxes(pairs: list[tuple[Array, Array]], size: Size) -> Outcome:
    edges, scores = [], []
    for old, new in pairs:
        head = identify_head(old.shape, size)
        if head.layout == "end2end":
            rows, other = _matched(old[0], new[0])
            edges.append(_mean_error(rows[:, :4], other[:, :4]))
            scores.append(_mean_error(rows[:, 4], other[:, 4]))
            continue
        rows, other = (x[0] if head.layout == "classic" else x[0].T for x in (old, new))
        best = np.argsort(_scores(rows, head.layout))[-_ANCHORS:]
        edges.append(_mean_error(rows[best, :4], other[best, :4]))
        scores.append(_mean_error(rows[best, 4:], other[best, 4:]))
    passed = max(edges) < MAX_PIXELS and max(scores) < MAX_SCORE
    text = f"mean error {max(edges):.3f} px of boxes, {max(scores):.5f} of scores"
    return Outcome(passed, f"{text}, over the {_ANCHORS} best anchors")


def _matched(old: npt.NDArray[Any], new: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """(M, 6) sure boxes of an end-to-end head, and the nearest of the other's: their order may differ."""
    sure = old[old[:, 4] >= _SURE]
    if not len(sure) or not len(new):
        return sure, np.zeros_like(sure)
    apart = np.abs(sure[:, None, :4].astype(np.float64) - new[None, :, :4]).sum(axis=2)
    apart += np.where(sure[:, None, 5] == new[None, :, 5], 0.0, np.abs(apart).max() + 1)
    return sure, new[apart.argmin(axis=1)]


def _scores(rows: npt.NDArray[Any], layout: str) -> npt.NDArray[Any]:
    return np.asarray(rows[:, 4] if layout == "classic" else rows[:, 4:].max(axis=1))


def _mean_error(old: npt.NDArray[Any], new: npt.NDArray[Any]) -> float:
    return float(np.abs(old.astype(np.float64) - new.astype(np.float64)).mean()) if old.size else 0.0


def reference(model: onnx.ModelProto) -> Run:
    """The model in ONNX Runtime on the CPU. Raises ModelError, and BackendError where that is missing."""
    try:
        import onnxruntime
    except ImportError as error:
        raise BackendError(
            f"the self-test needs ONNX Runtime ({error}); run: pip install onnxruntime"
        ) from error
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
    # ONNX Runtime's errors share no base class but Exception.
    except Exception as error:
        raise ModelError(f"ONNX Runtime cannot load the model: {error}") from error
    names = [value.name for value in session.get_outputs()]
    return lambda inputs: dict(zip(names, session.run(names, dict(inputs)), strict=True))


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
