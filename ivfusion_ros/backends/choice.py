"""Which backend runs a model: the one that is named, or the fastest one that this machine has."""

from __future__ import annotations

import importlib
import logging
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ivfusion_ros.backends import cuda
from ivfusion_ros.backends.backend import BackendStatus
from ivfusion_ros.backends.cpu import is_x86
from ivfusion_ros.backends.measured import Candidate
from ivfusion_ros.backends.measurements import measured_choice
from ivfusion_ros.backends.table import BACKENDS, CHOSEN_HERE
from ivfusion_ros.errors import BackendError
from ivfusion_ros.graphs.onnx_file import PRECISION_KEY, read_metadata

if TYPE_CHECKING:
    from ivfusion_ros.backends.backend import Backend

log = logging.getLogger(__name__)


def load_backend(
    model_path: str | Path, backend: str = "auto", *, precision: str = "auto", threads: int = 0
) -> Backend:
    """Load a model into a backend, a name in BACKENDS, or auto or measured for the fastest one installed.

    precision: auto (the backend's fastest) or f32. threads: CPU threads, 0 for all cores, or with measured
    for as many as are fastest. Raises BackendError where the backend is unknown or cannot run here,
    ModelError on a bad model.
    """
    path = Path(model_path)
    chosen = choose_backend(path, backend, precision=precision, threads=threads)
    loaded = _load(path, precision, chosen)
    how = f", by {backend}" if backend in CHOSEN_HERE else ""
    log.info("%s runs in %s%s", path.name, loaded.description, how)
    return loaded


def choose_backend(
    model_path: Path, backend: str = "auto", *, precision: str = "auto", threads: int = 0
) -> Candidate:
    """The backend that load_backend loads a model into, and its threads; arguments and errors are the same.

    Where measured_among names some it is the fastest of them, with the number of threads at which it is:
    measured now if this machine does not remember it, which takes some seconds.
    """
    if precision not in ("auto", "f32"):
        raise BackendError(f"precision is {precision!r}, expected auto or f32")
    if threads < 0:
        raise BackendError(f"threads is {threads}, expected 0 (all cores) or more")
    int8 = backend in CHOSEN_HERE and is_int8(model_path)
    names = measured_among(backend, int8=int8)
    if not names:
        return Candidate(resolve_backend(backend, int8=int8), threads)
    versions = {name: _version(name) for name in names}
    load = partial(_load, model_path, precision)
    return measured_choice(model_path, versions, load, precision=precision, threads=threads)


def resolve_backend(backend: str = "auto", *, int8: bool = False) -> str:
    """The name in BACKENDS that `backend` stands for here. Raises BackendError.

    auto: TensorRT where there is a GPU for it, else OpenVINO, else ONNX Runtime. On x86 OpenVINO takes .65
    to .8 of ONNX Runtime's time for each fusion network that ships, in f32 too, and less in bf16.
    measured: what auto is, as long as no model is known; for a CPU the model decides, see measured_among.
    int8: for a model in int8. Then auto takes OpenVINO beside a GPU too: ONNX Runtime is slower with it
    than with the one in f32, and TensorRT does not take it.
    """
    if backend in BACKENDS:
        return backend
    if backend not in CHOSEN_HERE:
        known = ", ".join((*CHOSEN_HERE, *BACKENDS))
        raise BackendError(f"unknown backend {backend!r}; known: {known}")
    eligible = [name for name, row in BACKENDS.items() if row.auto]
    gaining = [name for name in eligible if BACKENDS[name].int8] if int8 else []
    # Most machines have no GPU, which is found out before anything of TensorRT is imported.
    on_gpu = [name for name in eligible if not _is_on_cpu(name)] if _has_gpu() else []
    on_cpu = [name for name in eligible if _is_on_cpu(name)]
    found = next(filter(is_usable, [*gaining, *on_gpu, *on_cpu]), None)
    if found is None:
        raise BackendError(f"no inference backend is installed; run: {BACKENDS[on_cpu[0]].install}")
    return found


def measured_among(backend: str = "auto", *, int8: bool = False) -> tuple[str, ...]:
    """The backends of the CPU among which load_backend takes the fastest, measured for each model.

    None where it does not measure: where a backend is named, and where auto takes one of a GPU, with which
    nobody compares a CPU. measured: those that auto may take here. auto: the same on CPUs other than x86,
    if there are several; on x86 it is known which is faster. int8: as in resolve_backend.
    """
    if backend not in CHOSEN_HERE or (backend == "auto" and is_x86()):
        return ()
    if not _is_on_cpu(resolve_backend(backend, int8=int8)):
        return ()
    eligible = (name for name, row in BACKENDS.items() if row.auto and _is_on_cpu(name))
    usable = tuple(filter(is_usable, eligible))
    return usable if backend == "measured" or len(usable) > 1 else ()


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


def _load(model_path: Path, precision: str, chosen: Candidate) -> Backend:
    backend_class = _import(chosen.backend, BACKENDS[chosen.backend].runs)
    loaded: Backend = backend_class(model_path, precision=precision, threads=chosen.threads)
    return loaded


def _is_on_cpu(name: str) -> bool:
    return "cpu" in BACKENDS[name].devices


def _has_gpu() -> bool:
    try:
        cuda.find_gpu()
    except BackendError:
        return False
    return True


def is_int8(model_path: Path) -> bool:
    """Whether a model was made in int8. Raises ModelError."""
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
