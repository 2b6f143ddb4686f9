"""Cameras, rigs and warps: where a pixel of one camera lies in the other; no image content is looked at."""

from ivfusion_ros.geometry.calibration import Calibration, Remap, read_calibration, write_calibration
from ivfusion_ros.geometry.camera import CameraModel
from ivfusion_ros.geometry.camera_info import newest_info, read_out, rectified
from ivfusion_ros.geometry.distortion import DISTORTION_LENGTHS, standard_lens
from ivfusion_ros.geometry.enlarge import enlarged
from ivfusion_ros.geometry.ground import GroundPlane
from ivfusion_ros.geometry.learned import write_learned
from ivfusion_ros.geometry.maps import displacements_at, fixed_point, pinhole_map, pixel_grid, plane_map
from ivfusion_ros.geometry.other_tools import TOOLS, Tool, tool_of
from ivfusion_ros.geometry.rig import DEFAULT_PLANE_DISTANCE_M, Extrinsics, Rig, RigParts
from ivfusion_ros.geometry.tf import (
    TransformTree,
    bare,
    differ,
    frames_problem,
    missing_base,
    missing_transform,
)
from ivfusion_ros.geometry.warp import PointMap, Warp

__all__ = [
    "DEFAULT_PLANE_DISTANCE_M",
    "DISTORTION_LENGTHS",
    "TOOLS",
    "Calibration",
    "CameraModel",
    "Extrinsics",
    "GroundPlane",
    "PointMap",
    "Remap",
    "Rig",
    "RigParts",
    "Tool",
    "TransformTree",
    "Warp",
    "bare",
    "differ",
    "displacements_at",
    "enlarged",
    "fixed_point",
    "frames_problem",
    "missing_base",
    "missing_transform",
    "newest_info",
    "pinhole_map",
    "pixel_grid",
    "plane_map",
    "read_calibration",
    "read_out",
    "rectified",
    "standard_lens",
    "tool_of",
    "write_calibration",
    "write_learned",
]
