"""Inference backends: one seam between a model file and whatever runs it."""

from ivfusion_ros.faces import later

__getattr__, __all__ = later(
    __name__,
    {
        "backend": ("Backend", "BackendStatus", "ParallelBackend"),
        "choice": (
            "available_backends",
            "choose_backend",
            "is_usable",
            "load_backend",
            "measured_among",
            "resolve_backend",
        ),
        "compare": ("ImageLimits", "Outcome", "Run"),
        "cuda": ("Gpu", "find_gpu"),
        "device": ("DeviceBackend",),
        "layers": ("Layer", "ProfilingBackend"),
        "measured": ("Candidate",),
        "openvino_": ("core",),
        "progress": ("Progress", "under_way"),
        "ranges": ("ranged",),
        "self_test": ("check_half", "halve_file", "reference"),
        "silent_openvino": ("openvino",),
        "table": ("BACKENDS", "BackendRow", "backend_names"),
        "tensors": ("Array", "TensorInfo", "checked_inputs"),
    },
)
