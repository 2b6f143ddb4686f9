"""Trained networks to ONNX: fusion networks and detectors (in int8 too), and matchers."""

from ivfusion_ros.faces import later

__getattr__, __all__ = later(
    __name__,
    {
        "detector": ("export_detector", "is_detector", "is_final"),
        "folded": ("NETWORKS", "folded_model"),
        "fusion": ("export_fusion",),
        "matcher": ("export_matcher",),
        "int8": ("quantise_detector", "read_for_int8"),
        "int8_fusion": ("quantise_fusion",),
        "quantise": ("quantise_file",),
    },
)
