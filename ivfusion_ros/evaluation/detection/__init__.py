"""Judging what a detector finds in thermal, RGB and fused images of the same scenes."""

from ivfusion_ros.faces import later

__getattr__, __all__ = later(
    __name__,
    {
        "by_scene": ("scene_rows",),
        "calibration": ("Calibration", "pooled", "write_calibration"),
        "curves": ("write_curves",),
        "find": ("CameraMethod", "DetectorUnderTest", "Found", "classes_of"),
        "gain": ("Gain", "gains"),
        "levels": ("ENOUGH_IMAGES", "FALSE_ALARMS"),
        "precision": ("ALL",),
        "results": ("Entry", "complete", "figures", "judge", "page", "rows", "subsets"),
        "scenes": ("Scene", "Truth", "of_present_classes", "read_scenes", "read_truth"),
        "sheet": ("write_sheet",),
    },
)
