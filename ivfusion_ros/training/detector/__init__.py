"""Detectors: boxes from segmentation maps, data sets of them, training and distillation."""

from ivfusion_ros.faces import later

__getattr__, __all__ = later(
    __name__,
    {
        "anchors": ("read_detector",),
        "config": ("CameraConfig", "DetectorConfig", "PasteConfig"),
        "dataset": ("write_dataset", "written_data"),
        "kinds": ("Kind",),
        "paste": ("check_cut_outs",),
        "state": ("STATE",),
        "teacher": ("Teacher",),
        "trainer": ("DetectorTrainer",),
        "ultralytics_settings": ("check_detector", "check_start"),
    },
)
