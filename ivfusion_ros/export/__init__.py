"""Trained networks to ONNX: fusion networks, detectors, and detectors in int8."""

from ivfusion_ros.faces import later

__getattr__, __all__ = later(
    __name__,
    {
        "detector": ("export_detector", "is_detector"),
        "fusion": ("export_fusion",),
        "int8": ("quantise_file",),
    },
)
