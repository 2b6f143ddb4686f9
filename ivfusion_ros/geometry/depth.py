"""Registration by a depth image: each pixel of the reference camera at its own distance."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from ivfusion_ros.geometry.calibration import Remap
from ivfusion_ros.geometry.maps import pixel_grid

if TYPE_CHECKING:
    from ivfusion_ros.geometry.camera import CameraModel
    from ivfusion_ros.geometry.rig import Rig
    from ivfusion_ros.types import CameraName, DepthImage, Floats32


_TABLE_LENGTH = 1 << 16
_FARTHEST_M = 1e5
_NEAREST_M = 1e-3
_FAR_ASIDE = 1e6
"""A slope, or a factor on slopes, that no image contains."""


def metres(depth: DepthImage, plane_distance_m: float) -> Floats32:
    """(H, W) float32 metres, the plane's distance where the depth is not known."""
    known = depth > 0
    values = np.multiply(depth, np.float32(0.001 if depth.dtype == np.uint16 else 1.0), dtype=np.float32)
    np.minimum(values, np.float32(_FARTHEST_M), out=values)
    np.copyto(values, np.float32(plane_distance_m), where=~known)
    return values


class DepthMapper:
    """Maps from the reference camera to the other one that follow a depth image; quick for each frame.

    What something nearer hides from the other camera alone shows that nearer thing.
    """

    def __init__(self, rig: Rig, reference: CameraName) -> None:
        camera, other, other_from_reference = rig.cameras(reference)
        self._size = camera.size
        slopes = camera.slopes(pixel_grid(camera.size))
        rays = np.concatenate([slopes, np.ones((len(slopes), 1))], axis=1) @ other_from_reference.rotation.T
        rays[np.isnan(rays).any(axis=1)] = _FAR_ASIDE, 0.0, 1.0
        self._rays = rays.T.reshape(3, camera.size[1], camera.size[0]).astype(np.float32)
        self._shift = other_from_reference.translation_m.astype(np.float32)
        self._lens = _Lens(other)
        # New memory for each frame would take as long as the computation.
        self._scratch = np.empty_like(self._rays)
        self._remap = Remap(np.empty_like(self._rays[0]), np.empty_like(self._rays[0]))

    def __call__(self, depth: DepthImage, plane_distance_m: float) -> Remap:
        """The map, without NaN, of a depth image of any size; the next call overwrites it."""
        distance = metres(depth, plane_distance_m)
        if distance.shape != self._rays.shape[1:]:
            distance = np.asarray(
                cv2.resize(distance, self._size, interpolation=cv2.INTER_NEAREST), np.float32
            )
        x, y, z = self._scratch
        for axis, ray, shift in zip((x, y, z), self._rays, self._shift, strict=True):
            np.multiply(ray, distance, out=axis)
            axis += shift
        np.maximum(z, np.float32(_NEAREST_M), out=z)
        x /= z
        y /= z
        self._lens.project(x, y, z, self._remap)
        return self._remap


class _Lens:
    """Slopes to pixels by a table of the radial distortion, the same for all distortion models."""

    def __init__(self, camera: CameraModel) -> None:
        limit = _image_limit(camera)
        squares = np.linspace(0, limit**2, _TABLE_LENGTH)
        factors = camera.radial_factor(squares)
        factors[-1] = _FAR_ASIDE
        self._table = factors.astype(np.float32)
        self._per_square = np.float32((_TABLE_LENGTH - 1) / limit**2)
        self._matrix = camera.pixels_from_distorted.astype(np.float32)
        self._shifts = camera.shifts if camera.has_shifts else None

    def project(self, x: Floats32, y: Floats32, free: Floats32, remap: Remap) -> None:
        """Slopes x, y (overwritten, as is free) -> pixels in remap."""
        np.multiply(x, x, out=free)
        np.multiply(y, y, out=remap.map_y)
        free += remap.map_y
        if self._shifts is not None:
            shifts: tuple[Floats32, Floats32] = self._shifts(x, y, free)
        free *= self._per_square
        np.minimum(free, np.float32(_TABLE_LENGTH - 1), out=free)
        factor = np.take(self._table, free.astype(np.intp), out=free, mode="clip")
        x *= factor
        y *= factor
        if self._shifts is not None:
            x += shifts[0]
            y += shifts[1]
        (fx, skew, cx), (bend, fy, cy), below = self._matrix
        np.multiply(x, fx, out=remap.map_x)
        np.multiply(y, fy, out=remap.map_y)
        np.add(remap.map_x, cx, out=remap.map_x)
        np.add(remap.map_y, cy, out=remap.map_y)
        if skew or bend:
            remap.map_x[...] += skew * y
            remap.map_y[...] += bend * x
        if below[0] or below[1]:
            scale = below[0] * x + below[1] * y + below[2]
            remap.map_x[...] /= scale
            remap.map_y[...] /= scale


def _image_limit(camera: CameraModel) -> float:
    """Slope of the farthest pixel from the axis, with a margin; all further ones are outside."""
    width, height = camera.size
    grid = pixel_grid(camera.size)
    border = grid[(grid[:, 0] % (width - 1) == 0) | (grid[:, 1] % (height - 1) == 0)]
    farthest = float(np.linalg.norm(camera.slopes(border), axis=1).max())
    return camera.largest_slope if np.isnan(farthest) else min(1.05 * farthest, camera.largest_slope)
