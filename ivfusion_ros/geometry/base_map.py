"""The map that a calibration gives for images of given sizes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ivfusion_ros.geometry.camera import scaling
from ivfusion_ros.geometry.maps import homography_map, inverted_map, scaled_map

if TYPE_CHECKING:
    from ivfusion_ros.geometry.calibration import Calibration, Remap
    from ivfusion_ros.types import CameraName, Floats, Size


def uncalibrated_map(other_size: Size, reference_size: Size) -> Remap:
    """Of cameras that see the same: images are scaled, each axis by itself."""
    x, y = (other / reference for other, reference in zip(other_size, reference_size, strict=True))
    scale = np.array([[x, 0, (x - 1) / 2], [0, y, (y - 1) / 2], [0, 0, 1]])
    return homography_map(scale, reference_size)


def calibrated_map(
    calibration: Calibration, reference: CameraName, other_size: Size, reference_size: Size
) -> Remap:
    """Of a calibration by homography or remap. Raises ConfigError for another aspect ratio."""
    thermal_size, rgb_size = calibration.thermal_size, calibration.rgb_size
    if reference == "rgb":
        other_from_calibrated = scaling("thermal", thermal_size, other_size)
        reference_from_calibrated = scaling("RGB", rgb_size, reference_size)
    else:
        other_from_calibrated = scaling("RGB", rgb_size, other_size)
        reference_from_calibrated = scaling("thermal", thermal_size, reference_size)
    if calibration.remap is not None:
        if reference == "rgb":
            return scaled_map(calibration.remap, thermal_size, other_from_calibrated, reference_size)
        inverted = inverted_map(calibration.remap, thermal_size)
        return scaled_map(inverted, rgb_size, other_from_calibrated, reference_size)
    homography = _other_from_reference(calibration, reference)
    return homography_map(
        other_from_calibrated @ homography @ np.linalg.inv(reference_from_calibrated), reference_size
    )


def _other_from_reference(calibration: Calibration, reference: CameraName) -> Floats:
    assert calibration.rgb_from_thermal is not None
    if reference == "thermal":
        return calibration.rgb_from_thermal
    return np.asarray(np.linalg.inv(calibration.rgb_from_thermal), np.float64)
