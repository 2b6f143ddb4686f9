"""Cameras, rigs and warps: where a pixel of one camera lies in the other; no image content is looked at."""

from ivfusion_ros.faces import later

__getattr__, __all__ = later(
    __name__,
    {
        "calibration": ("Calibration", "Remap", "read_calibration", "write_calibration"),
        "camera": ("CameraModel",),
        "camera_info": ("newest_info", "read_out", "rectified"),
        "choices": ("DEFAULT_PLANE_DISTANCE_M", "DISTORTION_LENGTHS", "TOOLS", "Tool"),
        "distortion": ("standard_lens",),
        "enlarge": ("enlarged",),
        "ground": ("GroundPlane",),
        "learned": ("write_learned",),
        "maps": ("displacements_at", "fixed_point", "pinhole_map", "pixel_grid", "plane_map"),
        "other_tools": ("tool_of",),
        "rig": ("Extrinsics", "Rig", "RigParts"),
        "tf": ("TransformTree", "bare", "differ", "frames_problem", "missing_base", "missing_transform"),
        "warp": ("PointMap", "Warp"),
    },
)
