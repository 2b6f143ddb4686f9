"""Judging what a detector finds in thermal, RGB and fused images of the same scenes."""

from ivfusion_ros.faces import later

__getattr__, __all__ = later(
    __name__,
    {
        "calibration": ("FALSE_ALARMS", "Calibration", "pooled", "write_calibration"),
        "curves": ("write_curves",),
        "find": ("CameraMethod", "DetectorUnderTest", "Found"),
        "results": ("ALL", "Entry", "complete", "figures", "judge", "page", "rows"),
        "scenes": ("Scene", "Truth", "read_scenes", "read_truth"),
        "sheet": ("write_sheet",),
    },
)
