"""Inference backends: one seam between a model file and whatever runs it."""

from ivfusion_ros.backends.backend import Backend, BackendStatus
from ivfusion_ros.backends.choice import (
    available_backends,
    backend_names,
    is_usable,
    load_backend,
    resolve_backend,
)
from ivfusion_ros.backends.cuda import Gpu, find_gpu
from ivfusion_ros.backends.device import DeviceBackend
from ivfusion_ros.backends.layers import Layer, ProfilingBackend
from ivfusion_ros.backends.progress import Progress, under_way
from ivfusion_ros.backends.ranges import ranged
from ivfusion_ros.backends.table import BACKENDS, BackendRow
from ivfusion_ros.backends.tensors import Array, TensorInfo, checked_inputs
from ivfusion_ros.faces import later

__getattr__, _later = later(
    __name__,
    {
        "openvino_": ("core",),
        "silent_openvino": ("openvino",),
        "compare": ("Outcome", "Run"),
        "self_test": ("check_half", "halve_file", "reference"),
    },
)

__all__ = [
    "Array",
    "BACKENDS",
    "Backend",
    "BackendRow",
    "BackendStatus",
    "DeviceBackend",
    "Gpu",
    "Layer",
    "ProfilingBackend",
    "Progress",
    "TensorInfo",
    "available_backends",
    "backend_names",
    "checked_inputs",
    "find_gpu",
    "is_usable",
    "load_backend",
    "ranged",
    "resolve_backend",
    "under_way",
    *_later,
]
