"""A correction that online refinement has found becomes part of the calibration."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from ivfusion_ros.errors import ConfigError
from ivfusion_ros.geometry.calibration import Calibration, Remap
from ivfusion_ros.geometry.camera import scaling
from ivfusion_ros.geometry.correction import Corrector
from ivfusion_ros.geometry.maps import displacements_at, transform
from ivfusion_ros.geometry.rig import Extrinsics, Rig, RigParts

if TYPE_CHECKING:
    from ivfusion_ros.types import CameraName, Floats, Size

_GRID = 13
_STEPS = 6
_DELTA = 1e-5
_MAX_RMS_PX = 1.0


def accept_correction(
    calibration: Calibration,
    correction: Floats,
    reference_size: Size,
    reference: CameraName = "rgb",
    rig: Rig | None = None,
    plane_distance_m: float = 0.0,
) -> Calibration:
    """The calibration that gives alone what `calibration` followed by a correction gives.

    correction: 3x3 in pixels of the reference image, (width, height) reference_size. rig: for a
    calibration whose rig leaves out something, the complete one, of the calibration's sizes.
    plane_distance_m: at which the rig shall do the same, 0 for its own. A rig takes the correction as the
    thermal camera's roll, principal point and focal lengths. Raises ConfigError where that is not enough.
    """
    thermal = reference == "thermal"
    calibrated = calibration.thermal_size if thermal else calibration.rgb_size
    scale = scaling("thermal" if thermal else "RGB", calibrated, reference_size)
    correction = np.asarray(np.linalg.inv(scale) @ correction @ scale, np.float64)
    moved_px = float(np.hypot(*displacements_at(_grid(calibrated), correction).T).mean())
    quality: dict[str, Any] = {**calibration.quality, "accepted_correction_px": round(moved_px, 2)}
    if calibration.rgb_from_thermal is not None:
        planar = calibration.rgb_from_thermal
        planar = planar @ np.linalg.inv(correction) if thermal else correction @ planar
        return replace(calibration, rgb_from_thermal=planar / planar[2, 2], quality=quality)
    if calibration.remap is not None:
        remap = _corrected_remap(calibration.remap, calibration.thermal_size, correction, thermal)
        return replace(calibration, remap=remap, quality=quality)
    assert calibration.rig is not None
    distance_m = plane_distance_m or calibration.rig.plane_distance_m
    complete = rig or calibration.rig.complete()
    changed, quality["accepted_rms_px"] = _corrected_rig(complete, correction, reference, distance_m)
    parts = RigParts(
        changed.thermal, changed.rgb, changed.rgb_from_thermal, calibration.rig.plane_distance_m
    )
    return replace(calibration, rig=parts, quality=quality)


def _corrected_remap(remap: Remap, thermal_size: Size, correction: Floats, thermal: bool) -> Remap:
    width, height = thermal_size
    known = (remap.map_x > -1) & (remap.map_x < width) & (remap.map_y > -1) & (remap.map_y < height)
    map_x, map_y = (np.where(known, plane, np.float32(np.nan)) for plane in (remap.map_x, remap.map_y))
    if thermal:
        pixels = np.stack([map_x[known], map_y[known]], axis=1).astype(np.float64)
        map_x[known], map_y[known] = transform(correction, pixels, (width / 2, height / 2)).T
    else:
        offsets = Corrector(Remap(map_x, map_y))(correction)
        map_x, map_y = map_x + offsets.map_x, map_y + offsets.map_y
    plain = (np.nan_to_num(plane, nan=-1.0).astype(np.float32) for plane in (map_x, map_y))
    return Remap(*plain)


def _corrected_rig(
    rig: Rig, correction: Floats, reference: CameraName, distance_m: float
) -> tuple[Rig, float]:
    """The rig that comes closest by Gauss-Newton, and what is left, px RMS of the other camera."""
    size = rig.cameras(reference)[0].size
    points = _grid(size)
    before = transform(np.asarray(np.linalg.inv(correction)), points, (size[0] / 2, size[1] / 2))
    wanted = rig.other_pixels(before, distance_m, reference)
    seen = np.isfinite(wanted).all(axis=1)
    points, wanted = points[seen], wanted[seen]

    def rest(parameters: Floats) -> Floats:
        off = _changed(rig, parameters).other_pixels(points, distance_m, reference) - wanted
        return np.nan_to_num(off).ravel()

    parameters = np.zeros(5)
    for _ in range(_STEPS):
        start = rest(parameters)
        slopes = [(rest(parameters + step) - start) / _DELTA for step in _DELTA * np.eye(5)]
        parameters = parameters - np.linalg.lstsq(np.stack(slopes, axis=1), start, rcond=None)[0]
    left_px = float(np.sqrt(2 * np.mean(rest(parameters) ** 2)))
    if left_px > _MAX_RMS_PX:
        raise ConfigError(
            f"the rig's cameras cannot take up the correction: {left_px:.1f} px RMS would be left, "
            f"expected at most {_MAX_RMS_PX:g}; calibrate again with a target, or refine by a shift only"
        )
    return _changed(rig, parameters), round(left_px, 3)


def _changed(rig: Rig, parameters: Floats) -> Rig:
    """parameters: (5,) radians around the optical axis, and changes of the thermal camera's K.

    Those are logarithms of the focal lengths' factors, and the principal point's change in focal lengths.
    """
    turn = np.asarray(cv2.Rodrigues(np.array([0.0, 0.0, parameters[0]]))[0], np.float64)
    matrix = rig.thermal.matrix.copy()
    focal = matrix[[0, 1], [0, 1]]
    matrix[[0, 1], [0, 1]] = focal * np.exp(parameters[1:3])
    matrix[:2, 2] += focal * parameters[3:]
    extrinsics = Extrinsics(turn @ rig.rgb_from_thermal.rotation, rig.rgb_from_thermal.translation_m)
    return Rig(replace(rig.thermal, matrix=matrix), rig.rgb, extrinsics)


def _grid(size: Size) -> Floats:
    """(N, 2) pixels all over an image."""
    x, y = np.meshgrid(np.linspace(0, size[0] - 1, _GRID), np.linspace(0, size[1] - 1, _GRID))
    return np.stack([x.ravel(), y.ravel()], axis=1)
