"""OpenVINO on the CPU: computes in bf16 (x86) or f16 (ARM) by itself where the CPU can."""

from __future__ import annotations

import functools
import logging
import threading
from collections import OrderedDict, deque
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ivfusion_ros.backends.cpu import is_x86, usable_cores
from ivfusion_ros.backends.layers import WARM_UPS, Layer, multiply_adds, size_bytes
from ivfusion_ros.backends.openvino_layout import pixel_info, take_pixels, take_planes, to_pixels, to_planes
from ivfusion_ros.backends.silent_openvino import openvino
from ivfusion_ros.backends.tensors import Array, TensorInfo, checked_inputs, runs_alone
from ivfusion_ros.errors import BackendError, ModelError
from ivfusion_ros.graphs.onnx_file import PRECISION_KEY, read_metadata

if TYPE_CHECKING:
    from collections.abc import Mapping

log = logging.getLogger(__name__)

_MAX_SHAPES = 4
"""Compiled shapes kept per model: a robot has one, a folder of mixed sizes must not fill the memory."""

_PRECISIONS = {"float32": "f32", "bfloat16": "bf16", "float16": "f16"}


_Given = tuple[tuple[tuple[int, ...], str], ...]
"""Shape and dtype of each input, in order."""


class _Compiled(NamedTuple):
    """A model for inputs of one shape, and its requests that are not in work."""

    model: Any
    free: deque[Any]


class OpenVinoBackend:
    """A model in OpenVINO (see Backend); free dimensions are fixed per input shape, which is faster."""

    name = "openvino"

    def __init__(self, model_path: Path, *, precision: str, threads: int) -> None:
        self.metadata: Mapping[str, str] = read_metadata(model_path)
        self._name = model_path.name
        self._properties = _properties(precision, threads)
        self._model = _read(model_path)
        self._compiled: OrderedDict[_Given, _Compiled] = OrderedDict()
        self._lock = threading.Lock()
        self.inputs: Mapping[str, TensorInfo] = _infos(self._model.inputs)
        self.outputs: Mapping[str, TensorInfo] = _infos(self._model.outputs)
        self._pixels = {name: pixels for name, info in self.inputs.items() if (pixels := pixel_info(info))}
        self._planes_in, self._planes_out = take_planes(self._model)
        count = f"{threads} thread{'s' if threads > 1 else ''}" if threads else "all cores"
        is_int8 = self.metadata.get(PRECISION_KEY) == "int8"
        if is_int8 and "fused" in self.outputs and not sums_bytes():
            # A detector's weights have 7 bits, which need no VNNI.
            log.warning(
                "%s has weights of 8 bits, whose products this CPU without VNNI cannot sum: the fused "
                "image is wrong in places; take the same network in f32",
                self._name,
            )
        # A graph in int8 has layers that are not: they decide how fast it is.
        rest = _precision(precision)
        computes_in = f"int8 and {rest}" if is_int8 else rest
        self.description = f"OpenVINO {_version()} {computes_in} on CPU, {count}"

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """See Backend.run; the first run of a shape compiles the model for it."""
        if self._model is None:
            raise BackendError(f"{self._name} was closed and cannot run")
        arrays = self._arrays(inputs)
        try:
            with self._lock:
                compiled = self._compile(arrays)
                request = compiled.free.pop() if compiled.free else compiled.model.create_infer_request()
            results = request.infer(arrays, share_inputs=True, share_outputs=True)
        except RuntimeError as error:
            raise ModelError(f"OpenVINO cannot run {self._name}: {_reason(error)}") from error
        # The request uses its output memory again, hence one copy per output.
        outputs = {
            name: to_pixels(results[index]) if name in self._planes_out else results[index].copy()
            for index, name in enumerate(self.outputs)
        }
        compiled.free.append(request)
        return outputs

    def takes_pixels(self, name: str) -> bool:
        """See PixelBackend."""
        return name in self._pixels

    def spread(self, runs: int) -> None:
        """See ParallelBackend."""
        self._properties["NUM_STREAMS"] = runs
        self._properties.setdefault("INFERENCE_NUM_THREADS", usable_cores())

    def profile(self, inputs: Mapping[str, Array], runs: int) -> list[Layer]:
        """See ProfilingBackend."""
        arrays = self._arrays(inputs)
        model = self._shaped(arrays)
        compiled = core().compile_model(model, "CPU", self._properties | {"PERF_COUNT": True})
        request = compiled.create_infer_request()
        for _ in range(WARM_UPS):
            request.infer(arrays, share_inputs=True)
        before_us = {name: mean_us for name, (_, mean_us) in _timed(compiled).items()}
        for _ in range(runs):
            request.infer(arrays, share_inputs=True)
        return [
            _layer(node, mean_of_last(before_us.get(name, 0), mean_us, runs) / 1e3)
            for name, (node, mean_us) in _timed(compiled).items()
        ]

    def close(self) -> None:
        """See Backend.close."""
        self._compiled.clear()
        self._model = None

    def _arrays(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        pixels = {name: info for name, info in self._pixels.items() if _is_image(inputs.get(name))}
        arrays = checked_inputs(inputs, {**self.inputs, **pixels}, self._name)
        for name in self._planes_in:
            arrays[name] = to_planes(arrays[name])
        return arrays

    def _compile(self, arrays: Mapping[str, Array]) -> _Compiled:
        key = tuple((array.shape, array.dtype.str) for array in arrays.values())
        if key in self._compiled:
            self._compiled.move_to_end(key)
            return self._compiled[key]
        if len(self._compiled) == _MAX_SHAPES:
            self._compiled.popitem(last=False)
        properties = self._properties
        if "NUM_STREAMS" in properties and runs_alone(arrays):
            # Each stream has memory of its own.
            share = properties["INFERENCE_NUM_THREADS"] // properties["NUM_STREAMS"]
            properties = properties | {"NUM_STREAMS": 1, "INFERENCE_NUM_THREADS": max(1, share)}
        model = core().compile_model(self._shaped(arrays), "CPU", properties)
        self._compiled[key] = _Compiled(model, deque())
        return self._compiled[key]

    def _shaped(self, arrays: Mapping[str, Array]) -> Any:
        pixels = [name for name in self._pixels if _is_image(arrays[name])]
        if not self._model.is_dynamic() and not pixels:
            return self._model
        model = self._model.clone()
        shapes = {name: list(array.shape) for name, array in arrays.items()}
        for name in pixels:
            batch, height, width, channels = shapes[name]
            shapes[name] = [batch, channels, height, width]
        model.reshape(shapes)
        return take_pixels(model, pixels) if pixels else model


@functools.cache
def core() -> openvino.Core:
    """The only Core of this process.

    A Core puts a signal stack of its own instead of the one that it finds, and puts that back when it
    ends. Where the first of two ends first, the stack that stays in the end is one that is gone, and the
    next signal, be it Ctrl-C, is a segmentation fault (OpenVINO 2026.4).
    """
    return openvino.Core()


def sums_bytes() -> bool:
    """Whether the CPU sums products of 8 bits without overflow: on x86 only one with VNNI does.

    True where the system does not tell.
    """
    if not is_x86():
        return True
    try:
        return "vnni" in Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return True


def _is_image(array: object) -> bool:
    return isinstance(array, np.ndarray) and array.dtype == np.uint8


def _version() -> str:
    return str(openvino.__version__).split("-")[0]


def _precision(asked: str) -> str:
    if asked == "f32":
        return asked
    hint = str(core().get_property("CPU", "INFERENCE_PRECISION_HINT").to_string())
    return _PRECISIONS.get(hint, hint)


def _properties(precision: str, threads: int) -> dict[str, Any]:
    # Pinned, the threads of a second network would wait for the same cores while others are idle.
    properties: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY", "ENABLE_CPU_PINNING": False}
    if threads:
        properties["INFERENCE_NUM_THREADS"] = threads
    if precision == "f32":
        properties["INFERENCE_PRECISION_HINT"] = "f32"
    return properties


def _read(path: Path) -> Any:
    try:
        return core().read_model(str(path))
    except RuntimeError as error:
        raise ModelError(
            f"OpenVINO {_version()} cannot load {path}: {_reason(error)}; "
            "the file is damaged or made for a newer version"
        ) from error


def _infos(ports: list[Any]) -> dict[str, TensorInfo]:
    return {port.get_any_name(): _info(port) for port in ports}


def _info(port: Any) -> TensorInfo:
    partial = port.get_partial_shape()
    if partial.rank.is_dynamic:
        return TensorInfo(None, port.get_element_type().to_dtype())
    shape = tuple(size.get_length() if size.is_static else None for size in partial)
    return TensorInfo(shape, port.get_element_type().to_dtype())


def _timed(compiled: Any) -> dict[str, tuple[Any, int]]:
    """Nodes that took time by their names, and the means of all runs so far in microseconds."""
    nodes = compiled.get_runtime_model().get_ordered_ops()
    times = [(node, node.rt_info["execTimeMcs"].astype(str)) for node in nodes]
    return {node.get_friendly_name(): (node, int(mean)) for node, mean in times if mean.isdigit()}


def mean_of_last(before: float, after: float, runs: int) -> float:
    """Of so many runs: `before` is the mean of the WARM_UPS runs before them, `after` that of all."""
    return max(0.0, (after * (WARM_UPS + runs) - before * WARM_UPS) / runs)


def _layer(node: Any, milliseconds: float) -> Layer:
    """Of a node of the graph that ran."""
    kind = node.rt_info["layerType"].astype(str)
    inputs = [tuple(port.get_shape()) for port in node.inputs()]
    outputs = [tuple(port.get_shape()) for port in node.outputs()]
    tensors = [*zip(inputs, node.inputs(), strict=True), *zip(outputs, node.outputs(), strict=True)]
    return Layer(
        kind,
        node.rt_info["originalLayersNames"].astype(str) or node.get_friendly_name(),
        milliseconds,
        multiply_adds(kind, inputs, outputs[0]) if outputs else 0,
        sum(size_bytes(shape, port.get_element_type().bitwidth / 8) for shape, port in tensors),
    )


def _reason(error: RuntimeError) -> str:
    """The library's message without the places in its own sources."""
    lines = [line.strip() for line in str(error).splitlines()]
    places = ("Exception from", "Check '", "FrontEnd API failed", "Summary:")
    telling = [line for line in lines if line and not line.startswith(places)]
    return "; ".join(telling[:2]) or type(error).__name__
