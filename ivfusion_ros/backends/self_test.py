"""Self-test of a half model or an engine: its outputs beside those of the model it came from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from ivfusion_ros.backends.compare import Outcome, Run, compare
from ivfusion_ros.errors import BackendError, ModelError
from ivfusion_ros.files import write_whole
from ivfusion_ros.graphs.byte_input import engine_graph, engine_inputs
from ivfusion_ros.graphs.checkable import rounded, with_raw_output
from ivfusion_ros.graphs.half import to_half
from ivfusion_ros.graphs.onnx_file import read_model
from ivfusion_ros.graphs.task import fixed_network_size, network_input_size, task_of
from ivfusion_ros.images.files import read_image
from ivfusion_ros.types import CAMERAS

if TYPE_CHECKING:
    import onnx

    from ivfusion_ros.types import Image, Size

_CHECKED_SIDE = 320
"""Longest side of the images with which a half model is checked on the CPU, pixels."""

# Made by `python test/make_self_test_images.py`.
_IMAGES = [Path(__file__).with_name(f"self_test_{camera}.jpg") for camera in CAMERAS]
"""The same simulated streets in both: by day, and below that by night."""

_SCENES = 2


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
    return self_test(model, small, reference(with_raw_output(rounded(engine_graph(half, small)))))


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
    graph = reference(engine_graph(model, size))
    inputs = [engine_inputs(model, *pair) for pair in sample_pairs(size)]
    return compare(task_of(model), network_input_size(model, size), graph, found, inputs)


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
