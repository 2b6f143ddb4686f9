"""What a fusion model costs: parameters, multiply-adds, bytes of its file, time and memory of a run."""

from __future__ import annotations

import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ivfusion_ros.backends.choice import choose_backend, is_usable, load_backend
from ivfusion_ros.errors import BackendError
from ivfusion_ros.evaluation.speed.benchmark import sample_pair
from ivfusion_ros.graphs.operations import count_operations
from ivfusion_ros.pipeline.fuser import Fuser
from ivfusion_ros.types import Size

ROUNDS = 5
"""Timed runs, after one in which the backend may compile the model."""


@dataclass(frozen=True)
class Cost:
    """Cost of one fused image of size (width, height).

    multiply_adds: of convolutions and matrix products.
    peak_bytes: how far the process's resident memory grew from before the model was loaded to its
    largest; None where the system does not tell.
    """

    size: Size
    parameters: int
    multiply_adds: int
    file_bytes: int
    median_ms: float
    peak_bytes: int | None


def measure_cost(
    model_path: Path,
    size: Size,
    backend: str = "auto",
    precision: str = "auto",
    threads: int = 0,
) -> Cost:
    """Count the graph's operations, and run it in a process of its own.

    Raises ModelError or BackendError.
    """
    parameters, multiply_adds = count_operations(model_path, size)
    # Here, as measuring which is fastest would be part of that process's memory.
    name, threads = choose_backend(model_path, backend, precision=precision, threads=threads)
    # A fresh interpreter: a fork would share its resident memory with this process.
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        try:
            median_ms, peak_bytes = pool.submit(_run, model_path, size, name, precision, threads).result()
        except BrokenProcessPool as error:
            raise BackendError(
                f"the process of {model_path.name} at {size[0]}x{size[1]} was killed, most likely for lack "
                "of memory; use smaller images or another backend"
            ) from error
    return Cost(size, parameters, multiply_adds, model_path.stat().st_size, median_ms, peak_bytes)


def _run(
    model_path: Path, size: Size, backend: str, precision: str, threads: int
) -> tuple[float, int | None]:
    """(median ms of a run, growth of resident memory in bytes); needs a process of its own."""
    # Imports the backend's library, which is no part of the model's memory.
    is_usable(backend)
    thermal, rgb = sample_pair(size)
    before = _resident_bytes("VmRSS")
    fuser = Fuser(load_backend(model_path, backend, precision=precision, threads=threads))
    times_ms = []
    for _ in range(1 + ROUNDS):
        start = time.perf_counter()
        fuser(thermal, rgb)
        times_ms.append((time.perf_counter() - start) * 1e3)
    peak = _resident_bytes("VmHWM")
    growth = None if before is None or peak is None else peak - before
    return float(np.median(times_ms[1:])), growth


def _resident_bytes(field: str) -> int | None:
    """Resident memory now (VmRSS) or its peak (VmHWM), where the system is Linux."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    values = [int(line.split()[1]) for line in lines if line.startswith(f"{field}:")]
    return values[0] * 1024 if values else None
