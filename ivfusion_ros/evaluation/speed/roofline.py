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

from ivfusion_ros.backends import BACKENDS, backend_names, cuda, load_backend
from ivfusion_ros.errors import BackendError, IvfusionError
from ivfusion_ros.evaluation.speed.benchmark import sample_pair
from ivfusion_ros.pipeline.fuser import Fuser

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ivfusion_ros.types import Size

_CHANNELS = 128
_LAYERS = 4
_SIZES = ((160, 120), (320, 240), (640, 480), (1280, 960))
_LONG_ENOUGH_MS = 100.0
"""A probe that takes less is repeated with a larger image: what starts and ends a run counts in it too."""

_COPY_BYTES = 1 << 27
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
        _write_probe(model)
        rates = {}
        for backend, precision in backends:
            # The probe is none of this project's networks.
            if BACKENDS[backend].any_graph:
                rate, description = _rate(model, backend, precision, threads)
                rates[description] = rate
    if not rates:
        able = [name for name in backend_names("fusion") if BACKENDS[name].any_graph]
        raise BackendError(f"the machine's peak is measured with one of {', '.join(able)}; install one")
    by = max(rates, key=rates.__getitem__)
    return Peak(rates[by], _copied_per_s(), by)


def _rate(model: Path, backend: str, precision: str, threads: int) -> tuple[float, str]:
    """(operations per second, the backend's description)."""
    loaded = load_backend(model, backend, precision=precision, threads=threads)
    fuser, rate = Fuser(loaded), 0.0
    try:
        for size in _SIZES:
            thermal, rgb = sample_pair(size)
            seconds = _fastest(partial(fuser, thermal, rgb))
            rate = max(rate, 2 * _multiply_adds(size) / seconds)
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
        source = np.ones(_COPY_BYTES, np.uint8)
        target = np.zeros_like(source)
        return 2 * _COPY_BYTES / _fastest(lambda: np.copyto(target, source))


def _copied_on_gpu() -> float:
    cuda.find_gpu()
    stream = cuda.Stream()
    source, target = cuda.DeviceMemory(_COPY_BYTES), cuda.DeviceMemory(_COPY_BYTES)

    def copy() -> None:
        for _ in range(_LAYERS):
            stream.copy(target, source)
        stream.synchronize()

    try:
        return 2 * _LAYERS * _COPY_BYTES / _fastest(copy)
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


def _multiply_adds(size: Size) -> int:
    per_pixel = 9 * (_CHANNELS * 4 + _CHANNELS**2 * _LAYERS + 3 * _CHANNELS)
    return per_pixel * size[0] * size[1]


def _write_probe(path: Path) -> None:
    """A fusion graph of wide 3x3 convolutions."""
    try:
        import onnx
    except ImportError as error:
        raise BackendError(f"the probe of the peak needs onnx ({error}); run: pip install onnx") from error
    from onnx import TensorProto, helper, numpy_helper

    widths = [4, *([_CHANNELS] * (_LAYERS + 1)), 3]
    random = np.random.default_rng(0)
    weights = {"axis": np.array([3])}
    nodes = [
        helper.make_node("Unsqueeze", ["thermal", "axis"], ["grey"]),
        helper.make_node("Cast", ["grey"], ["grey32"], to=TensorProto.FLOAT),
        helper.make_node("Cast", ["rgb"], ["rgb32"], to=TensorProto.FLOAT),
        helper.make_node("Concat", ["grey32", "rgb32"], ["pixels"], axis=3),
        helper.make_node("Transpose", ["pixels"], ["x0"], perm=[0, 3, 1, 2]),
    ]
    for layer, (inputs, outputs) in enumerate(pairwise(widths)):
        scale = (9 * inputs) ** -0.5
        weights[f"w{layer}"] = random.normal(0, scale, (outputs, inputs, 3, 3)).astype(np.float32)
        nodes.append(helper.make_node("Conv", [f"x{layer}", f"w{layer}"], [f"y{layer}"], pads=[1] * 4))
        nodes.append(helper.make_node("Relu", [f"y{layer}"], [f"x{layer + 1}"]))
    last = f"x{len(widths) - 1}"
    nodes.append(helper.make_node("Transpose", [last], ["colour"], perm=[0, 2, 3, 1]))
    nodes.append(helper.make_node("Cast", ["colour"], ["fused"], to=TensorProto.UINT8))
    colour: list[str | int | None] = [1, "h", "w", 3]
    graph = helper.make_graph(
        nodes,
        "probe",
        [
            helper.make_tensor_value_info("thermal", TensorProto.UINT8, colour[:3]),
            helper.make_tensor_value_info("rgb", TensorProto.UINT8, colour),
        ],
        [helper.make_tensor_value_info("fused", TensorProto.UINT8, colour)],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
