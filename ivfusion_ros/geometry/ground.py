"""A plane ground in a camera's view: where on it what touches it stands."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ivfusion_ros.errors import ConfigError
from ivfusion_ros.types import Floats

if TYPE_CHECKING:
    from ivfusion_ros.geometry.rig import Extrinsics

_FARTHEST_M = 200.0
"""Beyond, a row of pixels is tens of metres: nothing that a planner could use."""


@dataclass(frozen=True, eq=False)
class GroundPlane:
    """Points p of the camera's optical frame with down @ p = height_m.

    down: (3,) float64 of length 1. height_m: of the camera. Raises ConfigError for one that is not above.
    """

    down: Floats
    height_m: float

    def __post_init__(self) -> None:
        if not 0 < self.height_m < math.inf:
            raise ConfigError(
                f"the camera is {self.height_m:g} m above the ground, expected more than 0: give "
                "positions.camera_height_m, or a positions.base_frame that stands on the ground"
            )

    @classmethod
    def below(cls, height_m: float, tilt_deg: float, roll_deg: float) -> GroundPlane:
        """Of a camera that looks down by a tilt, and is rolled clockwise, in degrees."""
        tilt, roll = math.radians(tilt_deg), math.radians(roll_deg)
        upright = math.cos(tilt)
        down = np.array([upright * math.sin(roll), upright * math.cos(roll), math.sin(tilt)])
        return cls(down, height_m)

    @classmethod
    def of_base(cls, base_from_camera: Extrinsics) -> GroundPlane:
        """The plane z = 0 of a frame whose z axis points up."""
        return cls(-base_from_camera.rotation[2], float(base_from_camera.translation_m[2]))

    def depths(self, slopes: Floats) -> Floats:
        """Distance along the optical axis at which rays (N, 2) meet the ground, (N,) metres.

        NaN above the horizon and beyond _FARTHEST_M.
        """
        falling = slopes @ self.down[:2] + self.down[2]
        with np.errstate(divide="ignore", invalid="ignore"):
            depth = np.where(falling > 0, self.height_m / falling, np.nan)
        return np.where(depth <= _FARTHEST_M, depth, np.nan)

    def depth_errors(self, depths_m: Floats, slope_errors: Floats, tilt_error_rad: float) -> Floats:
        """Standard deviations of depths, (N,) metres, by those of the rays' slopes (N,) and of the tilt."""
        falling_error = np.hypot(slope_errors * np.linalg.norm(self.down[:2]), tilt_error_rad)
        return np.asarray(depths_m**2 / self.height_m * falling_error, np.float64)
