"""Two calibrated cameras in space: from one camera's pixels to the other's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ivfusion_ros.errors import ConfigError
from ivfusion_ros.geometry.camera import CameraModel
from ivfusion_ros.geometry.choices import DEFAULT_PLANE_DISTANCE_M
from ivfusion_ros.types import CameraInfo, CameraName, Floats, Size

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["CameraModel", "CameraName", "Extrinsics", "Rig", "RigParts"]


PLANE_DISTANCES_M = (0.01, 1e6)
"""Least and largest."""
MAX_BASELINE_M = 10.0
"""Cameras whose images are fused stand side by side; a larger number is most likely one of millimetres."""


@dataclass(frozen=True, eq=False)
class Extrinsics:
    """How points move from one camera's optical frame to another's: rotation @ point + translation_m.

    rotation: 3x3 float64. translation_m: (3,) float64. Raises ConfigError for no rotation matrix.
    """

    rotation: Floats
    translation_m: Floats

    def __post_init__(self) -> None:
        good = self.rotation.shape == (3, 3) and self.translation_m.shape == (3,)
        if not good or not (np.isfinite(self.rotation).all() and np.isfinite(self.translation_m).all()):
            raise ConfigError(
                f"rotation is {self.rotation.tolist()} and translation_m {self.translation_m.tolist()}, "
                "expected three rows of three numbers and [x, y, z]"
            )
        apart = np.abs(self.rotation @ self.rotation.T - np.eye(3)).max()
        if apart > 1e-3 or np.linalg.det(self.rotation) < 0:
            raise ConfigError(f"rotation is {self.rotation.tolist()}, which is not a rotation matrix")

    @classmethod
    def from_quaternion(cls, xyzw: Sequence[float], translation_m: Sequence[float]) -> Extrinsics:
        """From a quaternion (x, y, z, w) of any length above zero and a translation, as TF has them.

        For rgb_from_thermal that is the transform with the RGB frame as parent, thermal as child.
        """
        quaternion = np.array(xyzw, np.float64)
        if quaternion.shape != (4,) or not np.linalg.norm(quaternion) > 1e-6:
            raise ConfigError(f"quaternion is {list(xyzw)}, expected [x, y, z, w], not all zero")
        *axis, w = quaternion / np.linalg.norm(quaternion)
        cross = np.cross(np.eye(3), axis)
        rotation = np.eye(3) + 2 * w * cross + 2 * cross @ cross
        return cls(np.asarray(rotation), np.array(translation_m, np.float64))

    def inverse(self) -> Extrinsics:
        """The way back."""
        return Extrinsics(self.rotation.T, -self.rotation.T @ self.translation_m)

    def after(self, first: Extrinsics) -> Extrinsics:
        """One move that does `first`, then this one."""
        return Extrinsics(
            np.asarray(self.rotation @ first.rotation, np.float64),
            np.asarray(self.rotation @ first.translation_m + self.translation_m, np.float64),
        )

    def apply(self, points: Floats) -> Floats:
        """Move points (N, 3), metres."""
        return np.asarray(points @ self.rotation.T + self.translation_m, np.float64)


@dataclass(frozen=True, eq=False)
class Rig:
    """Both cameras and how they stand to each other. Raises ConfigError for cameras far apart."""

    thermal: CameraModel
    rgb: CameraModel
    rgb_from_thermal: Extrinsics

    def __post_init__(self) -> None:
        _check_baseline(self.rgb_from_thermal)

    def cameras(self, reference: CameraName) -> tuple[CameraModel, CameraModel, Extrinsics]:
        """(reference camera, the other one, other_from_reference)."""
        if reference == "rgb":
            return self.rgb, self.thermal, self.rgb_from_thermal.inverse()
        return self.thermal, self.rgb, self.rgb_from_thermal

    def scaled(self, thermal_size: Size, rgb_size: Size) -> Rig:
        """The rig when its images are scaled. Raises ConfigError for another aspect ratio."""
        thermal = self.thermal.scaled("thermal", thermal_size)
        return Rig(thermal, self.rgb.scaled("RGB", rgb_size), self.rgb_from_thermal)

    def other_pixels(self, pixels: Floats, depth_m: Floats | float, reference: CameraName) -> Floats:
        """Pixels (N, 2) of the reference camera to the other's, for depths along the reference's axis.

        depth_m: (N,) or one for all, metres. NaN where the other camera cannot see.
        """
        camera, other, other_from_reference = self.cameras(reference)
        slopes = camera.slopes(pixels)
        depth = np.broadcast_to(np.asarray(depth_m, np.float64), len(slopes))[:, None]
        points = np.concatenate([slopes * depth, depth], axis=1)
        return other.project(other_from_reference.apply(points))


@dataclass(frozen=True, eq=False)
class RigParts:
    """What a calibration file says about a rig; the camera_info topics and TF may give the rest.

    plane_distance_m: of the plane, facing the reference camera, on which both images meet. Raises
    ConfigError.
    """

    thermal: CameraModel | None = None
    rgb: CameraModel | None = None
    rgb_from_thermal: Extrinsics | None = None
    plane_distance_m: float = DEFAULT_PLANE_DISTANCE_M

    def __post_init__(self) -> None:
        least, most = PLANE_DISTANCES_M
        if not least <= self.plane_distance_m <= most:
            raise ConfigError(
                f"plane_distance_m is {self.plane_distance_m}, expected metres from {least:g} to {most:g}"
            )
        if self.rgb_from_thermal is not None:
            _check_baseline(self.rgb_from_thermal)

    def complete(
        self,
        thermal_info: CameraInfo | None = None,
        rgb_info: CameraInfo | None = None,
        rgb_from_thermal: Extrinsics | None = None,
    ) -> Rig:
        """Fill in what the file left out. Raises ConfigError for what lacks.

        Of the intrinsics the file's come first, of the extrinsics those that are given here.
        """
        thermal = self.thermal or _published("thermal", thermal_info)
        rgb = self.rgb or _published("RGB", rgb_info)
        extrinsics = rgb_from_thermal or self.rgb_from_thermal
        if thermal is None or rgb is None or extrinsics is None:
            parts = {"rig.thermal": thermal, "rig.rgb": rgb, "rig.rgb_from_thermal": extrinsics}
            missing = ", ".join(name for name, part in parts.items() if part is None)
            raise ConfigError(
                f"the calibration has no {missing}: add it to the file, or publish camera_info "
                "(for intrinsics) and TF between the cameras' frames (for rgb_from_thermal)"
            )
        return Rig(thermal, rgb, extrinsics)


def _check_baseline(rgb_from_thermal: Extrinsics) -> None:
    baseline_m = float(np.linalg.norm(rgb_from_thermal.translation_m))
    if baseline_m > MAX_BASELINE_M:
        raise ConfigError(
            f"translation_m is {rgb_from_thermal.translation_m.tolist()}, so that the cameras are "
            f"{baseline_m:g} m apart, expected at most {MAX_BASELINE_M:g}: give metres, not millimetres"
        )


def _published(camera: str, info: CameraInfo | None) -> CameraModel | None:
    try:
        return None if info is None else CameraModel.from_camera_info(info)
    except ConfigError as error:
        raise ConfigError(f"{camera} camera_info: {error}") from error
