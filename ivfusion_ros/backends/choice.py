"""Which backend runs a model: the one that is named, or the fastest one that this machine has."""

from __future__ import annotations

import importlib
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ivfusion_ros.backends import cuda
from ivfusion_ros.backends.backend import BackendStatus
from ivfusion_ros.backends.table import BACKENDS
from ivfusion_ros.errors import BackendError
from ivfusion_ros.graphs.onnx_file import PRECISION_KEY, read_metadata

if TYPE_CHECKING:
    from ivfusion_ros.backends.backend import Backend

log = logging.getLogger(__name__)


def load_backend(
    model_path: str | Path, backend: str = "auto", *, precision: str = "auto", threads: int = 0
) -> Backend:
    """Load a model into a backend, a name in BACKENDS, or auto for the fastest one installed.

    precision: auto (the backend's fastest) or f32. threads: CPU threads, 0 for all cores.
    Raises BackendError where the backend is unknown or cannot run here, ModelError on a bad model.
    """
    if precision not in ("auto", "f32"):
        raise BackendError(f"precision is {precision!r}, expected auto or f32")
    if threads < 0:
        raise BackendError(f"threads is {threads}, expected 0 (all cores) or more")
    by_auto = backend == "auto"
    name = resolve_backend(backend, int8=by_auto and _is_int8(Path(model_path)))
    backend_class = _import(name, BACKENDS[name].runs)
    loaded: Backend = backend_class(Path(model_path), precision=precision, threads=threads)
    how = ", by auto" if by_auto else ""
    log.info("%s runs in %s%s", Path(model_path).name, loaded.description, how)
    return loaded


def resolve_backend(backend: str = "auto", *, int8: bool = False) -> str:
    """The name in BACKENDS that `backend` stands for here. Raises BackendError.

    auto: TensorRT where there is a GPU for it, else OpenVINO, else ONNX Runtime. On x86 OpenVINO takes .65
    to .8 of ONNX Runtime's time for each fusion network that ships, in f32 too, and less in bf16.
    int8: for a model in int8. Then auto takes OpenVINO beside a GPU too: ONNX Runtime is slower with it
    than with the one in f32, and TensorRT does not take it.
    """
    if backend in BACKENDS:
        return backend
    if backend != "auto":
        raise BackendError(f"unknown backend {backend!r}; known: auto, {', '.join(BACKENDS)}")
    eligible = [name for name, row in BACKENDS.items() if row.auto]
    gaining = [name for name in eligible if BACKENDS[name].int8] if int8 else []
    # Most machines have no GPU, which is found out before anything of TensorRT is imported.
    on_gpu = [name for name in eligible if "cpu" not in BACKENDS[name].devices] if _has_gpu() else []
    on_cpu = [name for name in eligible if "cpu" in BACKENDS[name].devices]
    found = next(filter(is_usable, [*gaining, *on_gpu, *on_cpu]), None)
    if found is None:
        raise BackendError(f"no inference backend is installed; run: {BACKENDS[on_cpu[0]].install}")
    return found


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
    row = BACKENDS[name]
    _import(name, row.runs)
    if row.probe:
        return str(_import(name, row.probe)())
    library = _import(name, row.library) if row.library else None
    return str(getattr(library, "__version__", "")).split("-")[0]


def _import(name: str, what: str) -> Any:
    """What a backend's row names. Raises BackendError where that cannot be imported."""
    module, _, member = what.partition(":")
    try:
        found = importlib.import_module(module)
        return getattr(found, member) if member else found
    except (ImportError, OSError, RuntimeError, AttributeError) as error:
        raise BackendError(
            f"backend {name} cannot run here: {error}; run: {BACKENDS[name].install}, "
            "or choose another backend"
        ) from error
