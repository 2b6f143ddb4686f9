"""How fast this machine can be at all: its measured peak of arithmetic and of copying.

A network takes at least the time of its multiply-adds at that peak, and of reading its weights and images
and writing its result once; the share of that bound in its measured time says what is left to gain
(Williams et al., "Roofline: an insightful visual performance model", 2009).
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ivfusion_ros.backends import cuda
from ivfusion_ros.backends.choice import load_backend
from ivfusion_ros.backends.table import BACKENDS, backend_names
from ivfusion_ros.errors import BackendError, IvfusionError
from ivfusion_ros.evaluation.speed.benchmark import sample_pair
from ivfusion_ros.evaluation.speed.probe import multiply_adds, probe_widths, write_probe
from ivfusion_ros.pipeline.fuser import Fuser

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

PROBE_SIZES = ((160, 120), (320, 240), (640, 480), (1280, 960))
_LONG_ENOUGH_MS = 100.0
"""A probe that takes less is repeated with a larger image: what starts and ends a run counts in it too."""

COPY_BYTES = 1 << 27
_COPIES = 4
_REPEATS = 5


@dataclass(frozen=True)
class Peak:
    """operations_per_s: of multiplications and additions; by: the backend that reached it."""

    operations_per_s: float
    bytes_per_s: float
    by: str

    def least_ms(self, multiply_adds: int, moved_bytes: int) -> float:
        """Shortest time of this work, in ms."""
        arithmetic = 2 * multiply_adds / self.operations_per_s
        return max(arithmetic, moved_bytes / self.bytes_per_s) * 1e3

    def __str__(self) -> str:
        return (
            f"{self.operations_per_s / 1e9:.0f} G operations/s in convolutions ({self.by}), "
            f"{self.bytes_per_s / 1e9:.1f} GB/s copied"
        )


def measure_peak(backends: Iterable[tuple[str, str]], threads: int) -> Peak:
    """The best of the (backend, precision) pairs at a stack of wide convolutions, and the fastest copy.

    Raises BackendError where none of them can run it, or onnx is missing.
    """
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "probe.onnx"
        write_probe(model)
        rates = {}
        for backend, precision in backends:
            # The probe is none of this project's networks.
            if BACKENDS[backend].any_graph:
                rate, description = _rate(model, backend, precision, threads)
                rates[description] = rate
            elif backend in _OWN_PROBES:
                rate, description = _OWN_PROBES[backend]()
                rates[description] = rate
    if not rates:
        able = [name for name in backend_names("fusion") if BACKENDS[name].any_graph or name in _OWN_PROBES]
        raise BackendError(f"the machine's peak is measured with one of {', '.join(able)}; install one")
    by = max(rates, key=rates.__getitem__)
    return Peak(rates[by], _copied_per_s(), by)


def _torch_rate() -> tuple[float, str]:
    """As _rate, of the same convolutions in torch; in halves where there is a GPU."""
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    dtype = torch.float16 if device == "cuda" else torch.float32
    widths = probe_widths()
    layers: list[torch.nn.Module] = []
    for inputs, outputs in pairwise(widths):
        layers += [torch.nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), torch.nn.ReLU()]
    network = torch.nn.Sequential(*layers).to(device, dtype).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    rate, before = 0.0, torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = True
    try:
        for width, height in PROBE_SIZES:
            pixels = torch.rand(1, widths[0], height, width, device=device).to(dtype)
            pixels = pixels.contiguous(memory_format=torch.channels_last)

            def run(pixels: torch.Tensor = pixels) -> None:
                with torch.inference_mode():
                    network(pixels)
                if device == "cuda":
                    torch.cuda.synchronize()

            seconds = _fastest(run)
            rate = max(rate, 2 * multiply_adds((width, height)) / seconds)
            if seconds * 1e3 > _LONG_ENOUGH_MS:
                break
    finally:
        torch.backends.cudnn.benchmark = before
    kind = "f16" if device == "cuda" else "f32"
    return rate, f"torch {torch.__version__} {kind} on {device}"


_OWN_PROBES: dict[str, Callable[[], tuple[float, str]]] = {"torch": _torch_rate}
"""Of backends that run this project's networks alone: operations per second, and the description."""


def _rate(model: Path, backend: str, precision: str, threads: int) -> tuple[float, str]:
    """(operations per second, the backend's description)."""
    loaded = load_backend(model, backend, precision=precision, threads=threads)
    fuser, rate = Fuser(loaded), 0.0
    try:
        for size in PROBE_SIZES:
            thermal, rgb = sample_pair(size)
            seconds = _fastest(partial(fuser, thermal, rgb))
            rate = max(rate, 2 * multiply_adds(size) / seconds)
            if seconds * 1e3 > _LONG_ENOUGH_MS:
                break
    finally:
        loaded.close()
    return rate, loaded.description


def _copied_per_s() -> float:
    """Bytes read and written by a copy, per second: in the GPU's memory where there is one."""
    try:
        return _copied_on_gpu()
    except IvfusionError:
        source = np.ones(COPY_BYTES, np.uint8)
        target = np.zeros_like(source)
        return 2 * COPY_BYTES / _fastest(lambda: np.copyto(target, source))


def _copied_on_gpu() -> float:
    cuda.find_gpu()
    stream = cuda.Stream()
    source, target = cuda.DeviceMemory(COPY_BYTES), cuda.DeviceMemory(COPY_BYTES)

    def copy() -> None:
        for _ in range(_COPIES):
            stream.copy(target, source)
        stream.synchronize()

    try:
        return 2 * _COPIES * COPY_BYTES / _fastest(copy)
    finally:
        for part in (source, target, stream):
            part.free()


def _fastest(run: Callable[[], object]) -> float:
    """Seconds of the fastest run after a first one; what disturbs only makes it slower."""
    run()
    times = []
    for _ in range(_REPEATS):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return min(times)
