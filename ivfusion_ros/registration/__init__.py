"""Spatial registration: from thermal pixels to RGB pixels."""

from ivfusion_ros.faces import later

__getattr__, __all__ = later(
    __name__,
    {
        "alike": ("PAIRS", "Likeness"),
        "registrar": ("Registered", "Registrar", "build_registrar"),
    },
)
