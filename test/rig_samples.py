"""A rig of two equal cameras side by side, whose images a plane shifts by whole pixels."""

from pathlib import Path

import numpy as np

from ivfusion_ros.geometry.calibration import Calibration, write_calibration
from ivfusion_ros.geometry.camera import CameraModel
from ivfusion_ros.geometry.rig import Extrinsics, RigParts

SIZE = (96, 64)
"""width and height of both cameras' images"""
FOCAL_PX = 60.0
PLANE_M = 10.0
BASELINE_M = 0.5
SEAM_PX = 10
RGB_FRAME, THERMAL_FRAME = "rgb_optical_frame", "thermal_optical_frame"

_RANDOM = np.random.default_rng(4)
THERMAL = _RANDOM.integers(0, 256, SIZE[::-1], np.uint8)
RGB = _RANDOM.integers(0, 256, (*SIZE[::-1], 3), np.uint8)


def side_by_side(baseline_m: float = BASELINE_M) -> Extrinsics:
    """rgb_from_thermal."""
    return Extrinsics(np.eye(3), np.array([baseline_m, 0.0, 0.0]))


def write_rig(path: Path, extrinsics: Extrinsics | None) -> Path:
    """A calibration file with that rig."""
    matrix = np.array([[FOCAL_PX, 0, 47.5], [0, FOCAL_PX, 31.5], [0, 0, 1]])
    camera = CameraModel(SIZE, matrix, "plumb_bob", np.zeros(5))
    write_calibration(path, Calibration(SIZE, SIZE, rig=RigParts(camera, camera, extrinsics, PLANE_M)))
    return path


def fused(depth_m: float = PLANE_M, baseline_m: float = BASELINE_M) -> np.ma.MaskedArray:
    """What the pipeline makes of both images by the blend model where everything is at one distance.

    Where the thermal camera sees nothing it is the RGB image; the soft seam beside that is masked.
    """
    shift = round(FOCAL_PX * baseline_m / depth_m)
    assert abs(FOCAL_PX * baseline_m / depth_m - shift) < 1e-9
    picture = RGB.astype(int)
    picture[:, shift:] = (picture[:, shift:] + THERMAL[:, : SIZE[0] - shift, None]) // 2
    seam = np.zeros(picture.shape, bool)
    seam[:, shift : shift + SEAM_PX] = shift > 0
    return np.ma.array(picture, mask=seam)
