"""Inference backends: one seam between a model file and whatever runs it."""

from ivfusion_ros.backends.backend import Backend, BackendStatus
from ivfusion_ros.backends.choice import (
    available_backends,
    backend_names,
    is_usable,
    load_backend,
    resolve_backend,
)
from ivfusion_ros.backends.table import BACKENDS, BackendRow

__all__ = [
    "BACKENDS",
    "Backend",
    "BackendRow",
    "BackendStatus",
    "available_backends",
    "backend_names",
    "is_usable",
    "load_backend",
    "resolve_backend",
]
