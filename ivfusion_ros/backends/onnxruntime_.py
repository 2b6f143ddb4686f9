"""ONNX Runtime on the CPU: the reference that other backends are compared with. Always f32."""

from __future__ import annotations

import json
import tempfile
import threading
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime

from ivfusion_ros.backends.cpu import usable_cores
from ivfusion_ros.backends.layers import WARM_UPS, Layer, multiply_adds, size_bytes
from ivfusion_ros.backends.tensors import Array, TensorInfo, checked_inputs, runs_alone
from ivfusion_ros.errors import BackendError, ModelError
from ivfusion_ros.graphs.onnx_file import read_metadata

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_DTYPES = {
    "float": "float32",
    "float16": "float16",
    "double": "float64",
    "bool": "bool",
    **{name: name for name in ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64")},
}


class OnnxRuntimeBackend:
    """A model in an ONNX Runtime session (see Backend); precision is f32 whatever is asked."""

    name = "onnxruntime"

    def __init__(self, model_path: Path, *, precision: str, threads: int) -> None:  # noqa: ARG002 (every backend has it)
        self.metadata: Mapping[str, str] = read_metadata(model_path)
        self._path, self._threads = model_path, threads
        self._session = _session(model_path, threads)
        self._alone = threading.Lock()
        self.inputs: Mapping[str, TensorInfo] = _infos(self._session.get_inputs(), model_path)
        self.outputs: Mapping[str, TensorInfo] = _infos(self._session.get_outputs(), model_path)
        count = f"{threads} thread{'s' if threads > 1 else ''}" if threads else "all cores"
        self.description = f"ONNX Runtime {onnxruntime.__version__} f32 on CPU, {count}"

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """See Backend.run."""
        if self._session is None:
            raise BackendError(f"{self._path.name} was closed and cannot run")
        arrays = checked_inputs(inputs, self.inputs, self._path.name)
        try:
            with self._alone if runs_alone(arrays) else nullcontext():
                outputs = self._session.run(list(self.outputs), arrays)
        # ONNX Runtime's errors share no base class but Exception.
        except Exception as error:
            raise ModelError(f"ONNX Runtime cannot run {self._path.name}: {_reason(error)}") from error
        return dict(zip(self.outputs, outputs, strict=True))

    def spread(self, runs: int) -> None:
        """See ParallelBackend."""
        self._threads = self._threads or max(1, usable_cores() // runs)
        self._session = _session(self._path, self._threads)

    def profile(self, inputs: Mapping[str, Array], runs: int) -> list[Layer]:
        """See ProfilingBackend."""
        arrays = checked_inputs(inputs, self.inputs, self._path.name)
        with tempfile.TemporaryDirectory() as folder:
            session = _session(self._path, self._threads, Path(folder) / "profile")
            for _ in range(WARM_UPS + runs):
                session.run(list(self.outputs), arrays)
            events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
        return layers_of(events)

    def close(self) -> None:
        """See Backend.close."""
        self._session = None


def _session(path: Path, threads: int, profile: Path | None = None) -> onnxruntime.InferenceSession:
    """profile: what the name of the file with the times of layers begins with, None for none."""
    options = onnxruntime.SessionOptions()
    if profile is not None:
        options.enable_profiling = True
        options.profile_file_prefix = str(profile)
    options.intra_op_num_threads = threads
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    # Threads wait busily for a run's next layer, but not for the next run: those of two networks would keep
    # each other from the cores. On two cores that made a pair take 1.5 times as long, and rates .8 of it.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    # Errors come as exceptions; without this they are printed as well.
    options.log_severity_level = 4
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise ModelError(
            f"ONNX Runtime {onnxruntime.__version__} cannot load {path}: {_reason(error)}; "
            "the file is damaged or made for a newer version"
        ) from error


def _infos(values: Sequence[onnxruntime.NodeArg], path: Path) -> dict[str, TensorInfo]:
    return {value.name: _info(value, path) for value in values}


def _info(value: onnxruntime.NodeArg, path: Path) -> TensorInfo:
    kind = value.type.removeprefix("tensor(").removesuffix(")")
    if kind not in _DTYPES:
        raise ModelError(f"{path}: {value.name} is a {value.type}, expected a plain tensor")
    shape = tuple(size if isinstance(size, int) else None for size in value.shape)
    return TensorInfo(shape, np.dtype(_DTYPES[kind]))


def layers_of(events: list[dict[str, Any]]) -> list[Layer]:
    """From a trace: of each node the mean time, but for the first WARM_UPS runs."""
    nodes = [
        event for event in events if event.get("cat") == "Node" and event["name"].endswith("_kernel_time")
    ]
    elapsed_us: dict[str, list[int]] = {}
    for event in nodes:
        elapsed_us.setdefault(event["name"], []).append(event["dur"])
    once = {event["name"]: event["args"] for event in nodes}
    means_us = {name: float(np.mean(values[WARM_UPS:])) for name, values in elapsed_us.items()}
    return [_layer(name, args, means_us[name] / 1e3) for name, args in once.items()]


def _layer(name: str, args: dict[str, Any], milliseconds: float) -> Layer:
    kind = args["op_name"]
    inputs, outputs = (
        [(tuple(shape), kind) for entry in args[key] for kind, shape in entry.items()]
        for key in ("input_type_shape", "output_type_shape")
    )
    tensors = [*inputs, *outputs]
    return Layer(
        kind,
        name.removesuffix("_kernel_time"),
        milliseconds,
        multiply_adds(kind, [shape for shape, _ in inputs], outputs[0][0]) if outputs else 0,
        sum(
            size_bytes(shape, np.dtype(_DTYPES.get(dtype, "float32")).itemsize) for shape, dtype in tensors
        ),
    )


def _reason(error: Exception) -> str:
    """The library's message without its codes, first line only."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].split(" : ", 3)[-1].strip()
