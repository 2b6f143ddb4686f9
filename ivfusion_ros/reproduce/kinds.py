"""What kinds of tables there are, and the function that makes each; its libraries are imported then."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from ivfusion_ros.errors import BackendError

if TYPE_CHECKING:
    from ivfusion_ros.reproduce.job import Job, Outcome

KINDS = {
    "quality": ("quality", "quality", "torch onnx onnxscript"),
    "ablation": ("quality", "ablation", "torch onnx onnxscript"),
    "detection": ("detection", "detection", "torch onnx onnxscript ultralytics openvino"),
    "cost": ("cost", "cost", "torch onnx onnxscript"),
}
"""Kind: module of this room, function, and what it needs installed."""


def make_table(job: Job) -> Outcome:
    """Train what is missing, and measure. Raises IvfusionError; BackendError where a library is missing."""
    job.check()
    module, function, libraries = KINDS[job.table.kind]
    try:
        found = importlib.import_module(f"ivfusion_ros.reproduce.{module}")
    except ImportError as error:
        raise BackendError(
            f"table {job.table.number} needs {libraries} ({error}); run: pip install {libraries}"
        ) from error
    outcome: Outcome = getattr(found, function)(job)
    return outcome
