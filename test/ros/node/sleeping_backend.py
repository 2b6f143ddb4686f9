"""A fusion backend for tests: takes as long as it is told, fails on demand, and copies the RGB image."""

import os
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ivfusion_ros.backends.tensors import Array, TensorInfo
from ivfusion_ros.errors import DeviceLostError

POISON = 13
"""The backend raises when the first byte of the RGB image has this value."""
LOSS = 14
"""The same, and the GPU is lost."""


class SleepingBackend:
    """See ivfusion_ros.backends.Backend.

    SLEEP_S: seconds per image. LOAD_S: seconds to load. GATE: a file; an image waits while it is missing.
    LOAD_GATE: likewise for loading. What takes long is printed when it begins.
    """

    name = "sleeping"

    def __init__(self, model_path: Path, *, precision: str, threads: int) -> None:
        _sleep(float(os.environ.get("LOAD_S", "0")), "loading")
        _wait_at(Path(os.environ.get("LOAD_GATE", "/")), "loading waits at the gate")
        self._gate = Path(os.environ.get("GATE", "/"))
        self._seconds = float(os.environ.get("SLEEP_S", "0"))
        self.description = f"sleeping {self._seconds} s"
        self.inputs = {
            "thermal": TensorInfo((1, None, None), np.dtype(np.uint8)),
            "rgb": TensorInfo((1, None, None, 3), np.dtype(np.uint8)),
        }
        self.outputs = {"fused": TensorInfo((1, None, None, 3), np.dtype(np.uint8))}
        self.metadata: Mapping[str, str] = {}

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        _sleep(self._seconds, "an image is in work")
        _wait_at(self._gate, "an image is at the gate")
        if inputs["rgb"].flat[0] == POISON:
            raise RuntimeError("poisoned image")
        if inputs["rgb"].flat[0] == LOSS:
            raise DeviceLostError("CUDA: cudaEventSynchronize failed with cudaErrorIllegalAddress")
        return {"fused": inputs["rgb"].copy()}

    def close(self) -> None:
        pass


def _sleep(seconds: float, what: str) -> None:
    if seconds >= 1:
        print(what, flush=True)
    time.sleep(seconds)


def _wait_at(gate: Path, what: str) -> None:
    if not gate.exists():
        print(what, flush=True)
    while not gate.exists():
        time.sleep(0.01)
