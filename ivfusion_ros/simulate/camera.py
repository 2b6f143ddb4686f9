"""Pinhole camera with radial distortion: points to pixels, pixels to rays."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import cv2
import numpy as np

from ivfusion_ros.errors import ConfigError
from ivfusion_ros.types import CameraInfo, Floats, Floats32, Mask

if TYPE_CHECKING:
    from ivfusion_ros.simulate.scenario import RgbConfig, RigConfig, ThermalCameraConfig


NEAR_M = 0.05
"""Points nearer than this (or behind) are projected as if they were here: outside the image."""


@dataclass(frozen=True, eq=False)
class Camera:
    """A camera in the world; the world is the RGB camera's optical frame (x right, y down, z forward).

    matrix: (3, 3) intrinsics K. distortion: plumb_bob k1, k2.
    rotation: (3, 3), world to camera. position: (3,) in the world, metres.
    Pixel coordinates have integers at pixel centres, as in OpenCV.
    """

    width: int
    height: int
    matrix: Floats
    distortion: tuple[float, float]
    rotation: Floats
    position: Floats

    @property
    def info(self) -> CameraInfo:
        """Intrinsics as the driver would publish them; unrectified, so P is [K | 0]."""
        projection = np.hstack([self.matrix, np.zeros((3, 1))])
        return CameraInfo(
            width=self.width,
            height=self.height,
            d=(*self.distortion, 0.0, 0.0, 0.0),
            k=tuple(self.matrix.ravel().tolist()),
            p=tuple(projection.ravel().tolist()),
        )

    def project(self, points: Floats) -> Floats:
        """World points (N, 3) in metres to pixels (N, 2).

        Points outside the field of view keep their direction but not their distance from the image.
        """
        local = (points - self.position) @ self.rotation.T
        slopes = local[:, :2] / np.maximum(local[:, 2:], NEAR_M)
        radius = np.linalg.norm(slopes, axis=1, keepdims=True)
        # The polynomial folds back far outside the image; it must not bring points in again.
        slopes = slopes * np.minimum(1.0, self._largest_slope / np.maximum(radius, 1e-9))
        square = np.sum(slopes**2, axis=1, keepdims=True)
        k1, k2 = self.distortion
        distorted = slopes * (1 + k1 * square + k2 * square**2)
        return np.asarray(distorted @ self.matrix[:2, :2].T + self.matrix[:2, 2], np.float64)

    def depth(self, points: Floats) -> Floats:
        """Distance of world points (N, 3) along the optical axis, (N,) metres."""
        return np.asarray((points - self.position) @ self.rotation[2], np.float64)

    def contains(self, pixels: Floats) -> Mask:
        """Whether pixels (..., 2) lie in the image."""
        limit = np.array([self.width, self.height]) - 0.5
        return np.asarray(np.all((pixels >= -0.5) & (pixels <= limit), axis=-1), np.bool_)

    def rays(self, oversampling: int = 1) -> Floats32:
        """World directions seen by the pixels: dx/dz and dy/dz, (H, W, 2) float32.

        oversampling: rays per pixel along each axis; H and W grow by it.
        """
        step = 1.0 / oversampling
        columns = (np.arange(self.width * oversampling) + 0.5) * step - 0.5
        rows = (np.arange(self.height * oversampling) + 0.5) * step - 0.5
        grid = np.stack(np.meshgrid(columns, rows), axis=-1)
        slopes = self._undistort((grid - self.matrix[:2, 2]) @ np.linalg.inv(self.matrix[:2, :2]).T)
        directions = np.concatenate([slopes, np.ones((*slopes.shape[:2], 1))], axis=-1) @ self.rotation
        return (directions[..., :2] / directions[..., 2:]).astype(np.float32)

    def _undistort(self, slopes: Floats) -> Floats:
        undistorted, distorted = self._radii
        radius = np.linalg.norm(slopes, axis=-1)
        ratio = np.interp(radius, distorted, undistorted) / np.maximum(radius, 1e-12)
        return np.asarray(slopes * ratio[..., None], np.float64)

    @cached_property
    def _radii(self) -> tuple[Floats, Floats]:
        """Distances from the axis without and with distortion, up to where the image folds back."""
        k1, k2 = self.distortion
        radii = np.linspace(0, 4, 1 << 15)
        distorted = radii * (1 + k1 * radii**2 + k2 * radii**4)
        falling = np.flatnonzero(np.diff(distorted) <= 1e-5)
        end = int(falling[0]) + 1 if falling.size else len(radii)
        return radii[:end], distorted[:end]

    @cached_property
    def _largest_slope(self) -> float:
        """Tangent of the largest angle that is projected as it is: a little outside the corners."""
        corners = np.array([(x, y) for x in (-1, self.width) for y in (-1, self.height)], float)
        slopes = (corners - self.matrix[:2, 2]) @ np.linalg.inv(self.matrix[:2, :2]).T
        needed = 1.05 * float(np.linalg.norm(slopes, axis=1).max())
        undistorted, distorted = self._radii
        if needed > distorted[-1]:
            raise ConfigError(
                f"distortion {self.distortion} folds the image back within the field of view; "
                "expected smaller coefficients or a narrower hfov_deg"
            )
        return float(np.interp(needed, distorted, undistorted))


def make_cameras(rig: RigConfig) -> dict[str, Camera]:
    """The rig's cameras, "thermal" and "rgb". Raises ConfigError for a distortion that folds back."""
    thermal = rig.thermal
    rotation = cv2.Rodrigues(np.radians(thermal.rotation_deg))[0]
    cameras = {
        "thermal": _make_camera(thermal, np.asarray(rotation, float), np.array(thermal.position_m, float)),
        "rgb": _make_camera(rig.rgb, np.eye(3), np.zeros(3)),
    }
    for camera in cameras.values():
        camera.project(np.array([[0.0, 0.0, 1.0]]))
    return cameras


def _make_camera(config: RgbConfig | ThermalCameraConfig, rotation: Floats, position: Floats) -> Camera:
    focal = config.width / 2 / np.tan(np.radians(config.hfov_deg) / 2)
    dx, dy = config.principal_offset_px
    centre = (config.width - 1) / 2 + dx, (config.height - 1) / 2 + dy
    matrix = np.array([[focal, 0.0, centre[0]], [0.0, focal, centre[1]], [0.0, 0.0, 1.0]])
    return Camera(config.width, config.height, matrix, config.distortion, rotation, position)
