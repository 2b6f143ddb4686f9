"""Inference backends: one seam between a model file and whatever runs it."""

from ivfusion_ros.faces import later

__getattr__, __all__ = later(
    __name__,
    {
        "backend": ("Backend", "BackendStatus", "ParallelBackend", "PixelBackend"),
        "choice": (
            "available_backends",
            "choose_backend",
            "is_int8",
            "is_usable",
            "load_backend",
            "measured_among",
            "resolve_backend",
        ),
        "compare": ("ImageLimits", "Outcome", "Run"),
        "cpu": ("allowed_cores", "core_limit", "is_x86", "usable_cores"),
        "cuda": ("Gpu", "find_gpu"),
        "device": ("DeviceBackend",),
        "kept_folder": ("KeptFolder", "differences"),
        "layers": ("Layer", "ProfilingBackend"),
        "measured": ("Candidate",),
        "measurements": ("MEASUREMENTS", "key_here", "read_measurements"),
        "openvino_": ("core",),
        "progress": ("Progress", "under_way"),
        "ranges": ("ranged",),
        "self_test": ("check_half", "halve_file", "reference"),
        "silent_openvino": ("openvino",),
        "table": ("BACKENDS", "CHOSEN_HERE", "BackendRow", "backend_names"),
        "tensors": ("Array", "TensorInfo", "checked_inputs"),
    },
)
