"""A fusion backend for tests: takes as long as it is told, fails on demand, and copies the RGB image."""

import os
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ivfusion_ros.backends.tensors import Array, TensorInfo

POISON = 13
"""The backend raises when the first byte of the RGB image has this value."""


class SleepingBackend:
    """See ivfusion_ros.backends.Backend. SLEEP_S: seconds per image, LOAD_S: seconds to load."""

    name = "sleeping"

    def __init__(self, model_path: Path, *, precision: str, threads: int) -> None:
        time.sleep(float(os.environ.get("LOAD_S", "0")))
        self._seconds = float(os.environ.get("SLEEP_S", "0"))
        self.description = f"sleeping {self._seconds} s"
        self.inputs = {
            "thermal": TensorInfo((1, None, None), np.dtype(np.uint8)),
            "rgb": TensorInfo((1, None, None, 3), np.dtype(np.uint8)),
        }
        self.outputs = {"fused": TensorInfo((1, None, None, 3), np.dtype(np.uint8))}
        self.metadata: Mapping[str, str] = {}

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        time.sleep(self._seconds)
        if inputs["rgb"].flat[0] == POISON:
            raise RuntimeError("poisoned image")
        return {"fused": inputs["rgb"].copy()}

    def close(self) -> None:
        pass
