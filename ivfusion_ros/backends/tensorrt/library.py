"""The TensorRT of this machine: `tensorrt` (10.3 to 11), else TensorRT for RTX, which has the same
interface."""

from __future__ import annotations

import importlib
import logging
import platform
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ivfusion_ros.errors import BackendError

log = logging.getLogger(__name__)

OLDEST = (10, 3)
"""TensorRT of JetPack 6.2; older ones differ in the interface."""

FLAVOURS = {"tensorrt": "TensorRT", "tensorrt_rtx": "TensorRT for RTX"}
"""Python module -> name, in order of preference."""

_JETSON = (
    "on this Jetson: sudo apt install python3-libnvinfer, in a virtual environment made with "
    "--system-site-packages, and pip install cuda-bindings onnx"
)
_DESKTOP = (
    "on a desktop with an RTX GPU: pip install tensorrt_rtx_cu13 cuda-bindings onnx; with another NVIDIA "
    "GPU: pip install tensorrt cuda-bindings onnx"
)


@dataclass(frozen=True)
class Library:
    """An imported TensorRT. flavour: key of FLAVOURS."""

    module: Any
    flavour: str
    version: str

    @property
    def is_rtx(self) -> bool:
        """Whether it is TensorRT for RTX: builds without a GPU, and compiles its kernels on first use."""
        return self.flavour == "tensorrt_rtx"

    @property
    def title(self) -> str:
        """Flavour and version, for people."""
        return f"{FLAVOURS[self.flavour]} {self.version}"

    def supports(self, capability: tuple[int, int]) -> bool:
        """Whether it runs on a GPU of this compute capability."""
        return not self.is_rtx or capability[0] in (8, 12) or capability == (7, 5)


def load_library() -> Library:
    """Import TensorRT. Raises BackendError where there is none, naming what to install."""
    reasons = []
    for name in FLAVOURS:
        try:
            module = importlib.import_module(name)
        # TensorRT's loader of its shared libraries raises more than ImportError.
        except (ImportError, OSError, RuntimeError) as error:
            reasons.append(f"{name}: {error}")
            continue
        version = getattr(module, "__version__", None)
        if version is None:
            reasons.append(f"{name}: an empty package; its installation did not finish")
            continue
        if name == "tensorrt" and _number(version) < OLDEST:
            reasons.append(f"{name}: version {version}, expected {OLDEST[0]}.{OLDEST[1]} or newer")
            continue
        return Library(module, name, str(version))
    raise BackendError(f"there is no TensorRT here ({'; '.join(reasons)}); {installation()}")


def installation() -> str:
    """What to install for engines on this machine."""
    return _JETSON if is_jetson() else _DESKTOP


def is_jetson() -> bool:
    """Whether this is an NVIDIA Jetson."""
    return platform.machine() == "aarch64" and Path("/etc/nv_tegra_release").exists()


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2] if part.isdigit())


def make_logger(module: Any) -> Any:
    """A TensorRT logger that passes warnings to `logging` and keeps errors in its list `errors`."""

    base: Any = module.ILogger

    class _Logger(base):  # type: ignore[misc]
        def __init__(self) -> None:
            base.__init__(self)
            # A robot runs for days, and may meet the same error with each pair.
            self.errors: deque[str] = deque(maxlen=20)

        def log(self, severity: Any, message: str) -> None:
            if severity <= base.Severity.ERROR:
                self.errors.append(message)
            # Its warnings are about its own workings; what concerns the model comes as an error.
            level = logging.DEBUG if severity >= base.Severity.WARNING else logging.INFO
            log.log(level, "TensorRT: %s", message)

    return _Logger()


def make_profiler(module: Any, elapsed_ms: dict[str, float]) -> Any:
    """A TensorRT profiler that adds each layer's time to elapsed_ms, by its name."""

    base: Any = module.IProfiler

    class _Profiler(base):  # type: ignore[misc]
        def __init__(self) -> None:
            base.__init__(self)

        def report_layer_time(self, name: str, ms: float) -> None:
            elapsed_ms[name] = elapsed_ms.get(name, 0.0) + ms

    return _Profiler()


def reason(logger: Any) -> str:
    """The first line of the first error that a logger kept, without the places in TensorRT's sources."""
    lines = [line for message in logger.errors for line in message.splitlines() if line.strip()]
    telling = [line for line in lines if not line.startswith(("---", "While parsing", "ModelImporter"))]
    if not telling:
        return "it gave no reason"
    return str(telling[0]).split(" (In ", 1)[0].strip()
