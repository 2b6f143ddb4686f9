"""Detectors: boxes from segmentation maps, data sets of them, training and distillation."""

from ivfusion_ros.faces import later

__getattr__, __all__ = later(
    __name__,
    {
        "classes": ("M3FD_NAMES", "read_class_map"),
        "config": ("CameraConfig", "DetectorConfig"),
        "dataset": ("Kind", "write_dataset"),
        "state": ("STATE",),
        "teacher": ("Teacher",),
        "trainer": ("DetectorTrainer",),
    },
)
