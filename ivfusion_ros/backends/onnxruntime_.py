"""ONNX Runtime on the CPU: the reference that other backends are compared with. Always f32."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnxruntime

from ivfusion_ros.backends.tensors import Array, TensorInfo, checked_inputs
from ivfusion_ros.errors import BackendError, ModelError
from ivfusion_ros.graphs.onnx_file import read_metadata

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

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
        self._model = model_path.name
        self._session = _session(model_path, threads)
        self.inputs: Mapping[str, TensorInfo] = _infos(self._session.get_inputs(), model_path)
        self.outputs: Mapping[str, TensorInfo] = _infos(self._session.get_outputs(), model_path)
        count = f"{threads} threads" if threads else "all cores"
        self.description = f"ONNX Runtime {onnxruntime.__version__} f32 on CPU, {count}"

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """See Backend.run."""
        if self._session is None:
            raise BackendError(f"{self._model} was closed and cannot run")
        arrays = checked_inputs(inputs, self.inputs, self._model)
        try:
            outputs = self._session.run(list(self.outputs), arrays)
        # ONNX Runtime's errors share no base class but Exception.
        except Exception as error:
            raise ModelError(f"ONNX Runtime cannot run {self._model}: {_reason(error)}") from error
        return dict(zip(self.outputs, outputs, strict=True))

    def close(self) -> None:
        """See Backend.close."""
        self._session = None


def _session(path: Path, threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
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


def _reason(error: Exception) -> str:
    """The library's message without its codes, first line only."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].split(" : ", 3)[-1].strip()
