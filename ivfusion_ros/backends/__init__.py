"""Inference backends: one seam between a model file and whatever runs it.

To add one: write a file with a class that has Backend's members and the constructor
`(model_path: Path, *, precision: str, threads: int)`, and name it in BACKENDS and INSTALL.
"""

from __future__ import annotations

import importlib
import logging
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

from ivfusion_ros.backends import cuda
from ivfusion_ros.errors import BackendError
from ivfusion_ros.graphs.onnx_file import PRECISION_KEY, read_metadata

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import ModuleType

    from ivfusion_ros.backends.tensors import Array, TensorInfo

logger = logging.getLogger(__name__)

BACKENDS = {
    "onnxruntime": "ivfusion_ros.backends.onnxruntime_:OnnxRuntimeBackend",
    "openvino": "ivfusion_ros.backends.openvino_:OpenVinoBackend",
    "torch": "ivfusion_ros.backends.torch_:TorchBackend",
    "tensorrt": "ivfusion_ros.backends.tensorrt.backend:TensorRtBackend",
}
"""Backend name (that of its Python module) -> the class that runs a model."""

INSTALL = {
    "onnxruntime": "pip install onnxruntime",
    "openvino": "pip install openvino",
    "torch": "pip install torch",
    "tensorrt": "pip install cuda-bindings onnx, with tensorrt_rtx_cu13 (RTX GPU) or tensorrt (other GPU)",
}
"""Backend name -> what to run where it is missing."""


class Backend(Protocol):
    """A loaded model. One object serves one thread at a time; close it when done."""

    name: str
    """key in BACKENDS"""
    description: str
    """for people, e.g. OpenVINO 2026.4.1 bf16 on CPU, 2 threads"""
    inputs: Mapping[str, TensorInfo]
    outputs: Mapping[str, TensorInfo]
    metadata: Mapping[str, str]
    """the model's custom metadata"""

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Run the model once; the caller owns the outputs.

        Raises ModelError on a wrong name, shape or dtype and where the library fails.
        """

    def close(self) -> None:
        """Free the model."""


class BackendStatus(NamedTuple):
    """Whether a backend can run here; detail is the library's version, or the reason and how to fix it."""

    usable: bool
    detail: str


def load_backend(
    model_path: str | Path, backend: str = "auto", *, precision: str = "auto", threads: int = 0
) -> Backend:
    """Load a model into a backend, a name in BACKENDS, or auto for the fastest one installed.

    precision: auto (the backend's fastest) or f32. threads: CPU threads, 0 for all cores.
    Raises BackendError where the backend is unknown or cannot run here, ModelError on a bad model.

    auto takes OpenVINO for a model in int8: ONNX Runtime is slower with it than with the one in f32.
    """
    if precision not in ("auto", "f32"):
        raise BackendError(f"precision is {precision!r}, expected auto or f32")
    if threads < 0:
        raise BackendError(f"threads is {threads}, expected 0 (all cores) or more")
    name = resolve_backend(backend, precision)
    if backend == "auto" and _is_int8(Path(model_path)) and is_usable("openvino"):
        name = "openvino"
    backend_class = getattr(_import_backend(name), BACKENDS[name].split(":")[1])
    loaded: Backend = backend_class(Path(model_path), precision=precision, threads=threads)
    how = ", by auto" if backend == "auto" else ""
    logger.info("%s runs in %s%s", Path(model_path).name, loaded.description, how)
    return loaded


def resolve_backend(backend: str = "auto", precision: str = "auto") -> str:
    """The name in BACKENDS that `backend` stands for here. Raises BackendError.

    auto: TensorRT where there is a GPU for it; OpenVINO where it computes in bf16 or f16 on this CPU (twice
    as fast as f32), else ONNX Runtime, which measured faster than OpenVINO in f32.
    """
    if backend in BACKENDS:
        return backend
    if backend != "auto":
        raise BackendError(f"unknown backend {backend!r}; known: auto, {', '.join(BACKENDS)}")
    # Most machines have no GPU, and are told so before anything of TensorRT is imported.
    if _has_gpu() and is_usable("tensorrt"):
        return "tensorrt"
    usable = [name for name in ("onnxruntime", "openvino") if is_usable(name)]
    if not usable:
        raise BackendError(f"no inference backend is installed; run: {INSTALL['onnxruntime']}")
    fast = "openvino" in usable and _import_backend("openvino").has_low_precision()
    return "openvino" if fast and precision == "auto" else usable[0]


def is_usable(name: str) -> bool:
    """Whether a backend of BACKENDS can run here; imports its library."""
    return _status(name).usable


def available_backends() -> dict[str, BackendStatus]:
    """Every backend and whether it can run here; imports their libraries, which can take seconds."""
    return {name: _status(name) for name in BACKENDS}


def _status(name: str) -> BackendStatus:
    try:
        return BackendStatus(True, _version(name))
    except BackendError as error:
        return BackendStatus(False, str(error))


def _has_gpu() -> bool:
    try:
        cuda.find_gpu()
    except BackendError:
        return False
    return True


def _is_int8(model_path: Path) -> bool:
    return read_metadata(model_path).get(PRECISION_KEY) == "int8"


def _version(name: str) -> str:
    """Version of a backend's library. Raises BackendError where the backend cannot run here."""
    module = _import_backend(name)
    if hasattr(module, "usable_version"):
        return str(module.usable_version())
    return str(importlib.import_module(name).__version__).split("-")[0]


def _import_backend(name: str) -> ModuleType:
    try:
        return importlib.import_module(BACKENDS[name].split(":")[0])
    except (ImportError, OSError) as error:
        raise BackendError(
            f"backend {name} cannot run here: {error}; run: {INSTALL[name]}, or choose another backend"
        ) from error
