"""Warping of the thermal image into the RGB image's geometry."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from ivfusion_ros.errors import ConfigError, ImageError
from ivfusion_ros.registration.calibration import Calibration, Floats, Remap
from ivfusion_ros.types import Image

Size = tuple[int, int]
"""(width, height) in pixels."""

FixedMaps = tuple[npt.NDArray[Any], npt.NDArray[Any]]
"""cv2.remap's int16 (H, W, 2) whole pixels and uint16 (H, W) fractions."""

_ASPECT_TOLERANCE = 0.01
_OUTSIDE = -2.0


class Warp:
    """Brings thermal images into the RGB view by a static calibration.

    None: both cameras see the same, the thermal image is only scaled. Images of other sizes than the
    calibration's are taken as scaled as a whole, which needs the same aspect ratio (within 1%).
    """

    def __init__(self, calibration: Calibration | None) -> None:
        self._calibration = calibration
        self._maps: dict[tuple[Size, Size], FixedMaps] = {}

    def usual_rgb_size(self, thermal_size: Size) -> Size:
        """The RGB size to assume while none was seen: the calibration's, else the thermal image's."""
        return thermal_size if self._calibration is None else self._calibration.rgb_size

    def __call__(self, thermal: Image, rgb_size: Size) -> Image:
        """(H, W) uint8 thermal -> (H, W) uint8 of rgb_size; black where thermal sees nothing.

        Nothing to do is nothing done: then the result is the input. Raises ImageError for another
        kind of image, ConfigError for an aspect ratio that the calibration does not have.
        """
        if thermal.ndim != 2 or thermal.dtype != np.uint8 or thermal.size == 0:
            raise ImageError(f"thermal image is {thermal.dtype} {thermal.shape}, expected uint8 (H, W)")
        thermal_size = (thermal.shape[1], thermal.shape[0])
        if self._calibration is None:
            if thermal_size == rgb_size:
                return thermal
            return np.asarray(cv2.resize(thermal, rgb_size, interpolation=cv2.INTER_LINEAR), np.uint8)
        key = (thermal_size, rgb_size)
        if key not in self._maps:
            self._maps[key] = _fixed_point_maps(self._calibration, *key)
        return np.asarray(cv2.remap(thermal, *self._maps[key], cv2.INTER_LINEAR), np.uint8)


def _fixed_point_maps(calibration: Calibration, thermal_size: Size, rgb_size: Size) -> FixedMaps:
    thermal_from_calibrated = _scaling("thermal", calibration.thermal_size, thermal_size)
    rgb_from_calibrated = _scaling("RGB", calibration.rgb_size, rgb_size)
    if calibration.remap is not None:
        maps = _scale_maps(calibration.remap, calibration.thermal_size, thermal_from_calibrated, rgb_size)
    else:
        assert calibration.rgb_from_thermal is not None
        thermal_from_rgb = np.linalg.inv(calibration.rgb_from_thermal)
        maps = _plane_maps(
            thermal_from_calibrated @ thermal_from_rgb @ np.linalg.inv(rgb_from_calibrated), rgb_size
        )
    # Fixed-point maps (1/32 pixel) give the same bytes in OpenCV 4 and 5; float maps do not.
    return cv2.convertMaps(maps.map_x, maps.map_y, cv2.CV_16SC2)


def _scaling(camera: str, calibrated: Size, actual: Size) -> Floats:
    """3x3 from pixels of the calibrated size to pixels of the actual one; integers are pixel centres."""
    scale_x, scale_y = actual[0] / calibrated[0], actual[1] / calibrated[1]
    if abs(scale_x / scale_y - 1) > _ASPECT_TOLERANCE:
        raise ConfigError(
            f"{camera} image is {actual[0]}x{actual[1]}, but the calibration was made at "
            f"{calibrated[0]}x{calibrated[1]}, expected the same aspect ratio: calibrate at this size"
        )
    return np.array([[scale_x, 0, (scale_x - 1) / 2], [0, scale_y, (scale_y - 1) / 2], [0, 0, 1]])


def _scale_maps(remap: Remap, thermal_size: Size, thermal_from_calibrated: Floats, rgb_size: Size) -> Remap:
    width, height = thermal_size
    inside = (remap.map_x > -1) & (remap.map_x < width) & (remap.map_y > -1) & (remap.map_y < height)
    map_x, map_y, share = (
        cv2.resize(values, rgb_size, interpolation=cv2.INTER_LINEAR)
        for values in (remap.map_x, remap.map_y, inside.astype(np.float32))
    )
    (scale_x, _, shift_x), (_, scale_y, shift_y), _ = thermal_from_calibrated.astype(np.float32)
    # A mean of a coordinate and a mark for "none" is neither.
    known = np.asarray(share) > 0.999
    return Remap(
        np.where(known, map_x * scale_x + shift_x, np.float32(_OUTSIDE)),
        np.where(known, map_y * scale_y + shift_y, np.float32(_OUTSIDE)),
    )


def _plane_maps(thermal_from_rgb: Floats, rgb_size: Size) -> Remap:
    width, height = rgb_size
    x, y = np.meshgrid(np.arange(width, dtype=np.float64), np.arange(height, dtype=np.float64))
    at_x, at_y, depth = (row[0] * x + row[1] * y + row[2] for row in thermal_from_rgb)
    # A homography's sign is free; what lies behind the camera has another one than the centre.
    in_front = depth * depth[height // 2, width // 2] > 0
    depth = np.where(in_front, depth, 1.0)
    return Remap(
        np.where(in_front, at_x / depth, _OUTSIDE).astype(np.float32),
        np.where(in_front, at_y / depth, _OUTSIDE).astype(np.float32),
    )
