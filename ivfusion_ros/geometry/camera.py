"""A calibrated camera: points to pixels, pixels to rays."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import cv2
import numpy as np

from ivfusion_ros.errors import ConfigError
from ivfusion_ros.geometry.choices import DISTORTION_LENGTHS
from ivfusion_ros.geometry.distortion import standard_lens, tilt
from ivfusion_ros.types import Floats, Size

if TYPE_CHECKING:
    from ivfusion_ros.types import CameraInfo, Values

FOCAL_LENGTHS = (0.02, 2000.0)
"""Least and largest focal length in longer sides: from a fisheye to a field of 0.03 degrees."""
FARTHEST_CENTRE = 10.0
"""Most sides that the principal point may lie outside of the image: a crop has it there, but not far."""
MAX_DISTORTION = 1e5

_ASPECT_TOLERANCE = 0.01
_CONVERGED_PX = 0.05
_STOP = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 100, 1e-8)


def scaling(camera: str, calibrated: Size, actual: Size) -> Floats:
    """3x3 from pixels of the calibrated size to pixels of the actual one; integers are pixel centres.

    camera names it in the error. Raises ConfigError for another aspect ratio.
    """
    scale_x, scale_y = actual[0] / calibrated[0], actual[1] / calibrated[1]
    if abs(scale_x / scale_y - 1) > _ASPECT_TOLERANCE:
        raise ConfigError(
            f"{camera} image is {actual[0]}x{actual[1]}, but the calibration was made at "
            f"{calibrated[0]}x{calibrated[1]}, expected the same aspect ratio: calibrate at this size"
        )
    return np.array([[scale_x, 0, (scale_x - 1) / 2], [0, scale_y, (scale_y - 1) / 2], [0, 0, 1]])


@dataclass(frozen=True, eq=False)
class CameraModel:
    """Intrinsics of one camera, for its raw (unrectified) image. Raises ConfigError.

    size: (width, height). matrix: 3x3 float64 K, its skew included. distortion: float64 coefficients of
    distortion_model in the order of sensor_msgs/CameraInfo; plumb_bob may have none.
    """

    size: Size
    matrix: Floats
    distortion_model: str
    distortion: Floats

    def __post_init__(self) -> None:
        _check_size(self.size)
        _check_matrix(self.matrix)
        lengths = DISTORTION_LENGTHS.get(self.distortion_model)
        if lengths is None:
            raise ConfigError(
                f"distortion_model is {self.distortion_model!r}, expected one of "
                f"{', '.join(DISTORTION_LENGTHS)}"
            )
        shape = self.distortion.shape
        if len(shape) != 1 or shape[0] not in lengths or not np.isfinite(self.distortion).all():
            raise ConfigError(
                f"distortion is {self.distortion.tolist()}, expected "
                f"{' or '.join(map(str, lengths))} numbers for {self.distortion_model}"
            )
        _check_plausible(self.size, self.matrix, self.distortion)

    @classmethod
    def from_camera_info(cls, info: CameraInfo) -> CameraModel:
        """K and D as a driver publishes them. Raises ConfigError, also for a camera without calibration."""
        matrix = np.array(info.k, np.float64).reshape(3, 3)
        if matrix[0, 0] == 0:
            raise ConfigError(
                "the camera_info has no calibration (K is zero): calibrate the camera, or give its matrix "
                "and distortion in the calibration file"
            )
        lens = standard_lens(info.distortion_model, np.array(info.d, np.float64))
        return cls((int(info.width), int(info.height)), matrix, *lens)

    def scaled(self, camera: str, size: Size) -> CameraModel:
        """The camera when its image is scaled to a size. Raises ConfigError for another aspect ratio."""
        return replace(self, size=size, matrix=scaling(camera, self.size, size) @ self.matrix)

    def project(self, points: Floats) -> Floats:
        """Points (N, 3) of the camera's optical frame in metres to pixels (N, 2).

        NaN for what is behind the camera, or so far aside that the distortion model folds it back.
        """
        with np.errstate(divide="ignore", invalid="ignore"):
            slopes = points[:, :2] / points[:, 2:]
        seen = (points[:, 2] > 0) & (np.hypot(slopes[:, 0], slopes[:, 1]) <= self.largest_slope)
        pixels = np.full(slopes.shape, np.nan)
        if seen.any():
            pixels[seen] = self._distort(slopes[seen])
        return pixels

    def slopes(self, pixels: Floats) -> Floats:
        """Pixels (N, 2) to where their rays meet the plane z = 1, (N, 2); NaN where no ray leads there."""
        undistorted = self._undistort(np.ascontiguousarray(pixels, np.float64).reshape(-1, 1, 2))
        rays = np.concatenate([undistorted, np.ones((len(undistorted), 1))], axis=1)
        error = np.linalg.norm(self.project(rays) - pixels, axis=1)
        undistorted[~(error < _CONVERGED_PX)] = np.nan
        return undistorted

    @cached_property
    def largest_slope(self) -> float:
        """Tangent of the largest angle from the axis up to which the image does not fold back."""
        radii = np.tan(np.linspace(0, np.radians(89), 1 << 14))
        falling = np.flatnonzero(np.diff(radii * self.radial_factor(radii**2)) <= 0)
        return float(radii[falling[0]] if falling.size else radii[-1])

    def radial_factor(self, squares: Floats) -> Floats:
        """By how much the radius grows through distortion, for squared slopes of any shape."""
        if self.distortion_model == "equidistant":
            radius = np.maximum(np.sqrt(squares), 1e-9)
            angle = np.arctan(radius)
            k1, k2, k3, k4 = self.distortion
            square = angle**2
            polynomial = 1 + square * (k1 + square * (k2 + square * (k3 + square * k4)))
            return np.asarray(angle * polynomial / radius, np.float64)
        k1, k2, _, _, k3, k4, k5, k6 = self._polynomial[:8]
        above = 1 + squares * (k1 + squares * (k2 + squares * k3))
        below = 1 + squares * (k4 + squares * (k5 + squares * k6))
        # A pole of the rational model is the end of the field of view as well.
        return np.asarray(np.where(below > 0, above / np.where(below > 0, below, 1.0), 0.0), np.float64)

    @property
    def has_shifts(self) -> bool:
        """Whether distortion does more than change the radius, on the plane of the lens."""
        return bool(self._polynomial[[2, 3, 8, 9, 10, 11]].any())

    def shifts(self, x: Values, y: Values, squares: Values) -> tuple[Values, Values]:
        """What tangential and thin-prism distortion add to slopes; squares: of their radius."""
        _, _, p1, p2, _, _, _, _, s1, s2, s3, s4, _, _ = self._polynomial.tolist()
        twice = 2 * x * y
        across = p1 * twice + p2 * (squares + 2 * x * x)
        down = p2 * twice + p1 * (squares + 2 * y * y)
        if s1 or s2 or s3 or s4:
            across += squares * (s1 + squares * s2)
            down += squares * (s3 + squares * s4)
        return across, down

    @cached_property
    def pixels_from_distorted(self) -> Floats:
        """3x3 from distorted slopes (x, y, 1) to pixels: K, after the tilt of the sensor if it has one."""
        tilts = self._polynomial[12:].tolist()
        return np.asarray(self.matrix @ tilt(*tilts), np.float64) if any(tilts) else self.matrix

    @cached_property
    def _polynomial(self) -> Floats:
        """(14,) coefficients of OpenCV's polynomial, all 0 for a fisheye."""
        known = np.zeros(0) if self._is_fisheye else self.distortion
        return np.pad(known, (0, 14 - len(known)))

    def _distort(self, slopes: Floats) -> Floats:
        # cv2.projectPoints takes ten times as long, as it differentiates.
        x, y = slopes.T
        square = x**2 + y**2
        factor = self.radial_factor(square)
        across, down = self.shifts(x, y, square)
        rows = self.pixels_from_distorted[:, :2] @ [x * factor + across, y * factor + down]
        rows += self.pixels_from_distorted[:, 2:]
        return np.asarray((rows[:2] / rows[2]).T, np.float64)

    def _undistort(self, pixels: Floats) -> Floats:
        # OpenCV knows of no skew: it gets what is on the plane z = 1 already.
        ahead = np.linalg.inv(self.matrix)
        points, plain = pixels @ ahead[:2, :2].T + ahead[:2, 2], np.eye(3)
        if self._is_fisheye:
            found = cv2.fisheye.undistortPoints(points, plain, self.distortion, criteria=_STOP)
        elif hasattr(cv2, "undistortPointsIter"):  # OpenCV 4, whose undistortPoints stops after 5 steps
            found = cv2.undistortPointsIter(points, plain, self.distortion, None, None, _STOP)
        else:
            found = cv2.undistortPoints(points, plain, self.distortion, criteria=_STOP)
        return np.array(found, np.float64).reshape(-1, 2)

    @property
    def _is_fisheye(self) -> bool:
        return self.distortion_model == "equidistant"


def _check_size(size: Size) -> None:
    if len(size) != 2 or not all(type(side) is int and side > 0 for side in size):
        raise ConfigError(f"camera size is {size!r}, expected [width, height] in pixels")


def _check_matrix(matrix: Floats) -> None:
    good = matrix.shape == (3, 3) and np.isfinite(matrix).all()
    good = good and matrix[0, 0] > 0 and matrix[1, 1] > 0 and abs(matrix[0, 1]) < matrix[0, 0]
    if not good or matrix[1, 0] != 0 or matrix[2].tolist() != [0, 0, 1]:
        raise ConfigError(
            f"camera matrix is {matrix.tolist()}, expected [[fx, skew, cx], [0, fy, cy], "
            "[0, 0, 1]] in pixels"
        )


def _check_plausible(size: Size, matrix: Floats, distortion: Floats) -> None:
    """Refuse what no camera has, with which maps would overflow, or show nothing without a word."""
    longest = max(size)
    least, most = (factor * longest for factor in FOCAL_LENGTHS)
    focal, centre = (matrix[0, 0], matrix[1, 1]), matrix[:2, 2]
    if not least <= min(focal) <= max(focal) <= most:
        raise ConfigError(
            f"focal lengths are {focal[0]:g} and {focal[1]:g} px in an image of {size[0]}x{size[1]}, "
            f"expected {least:g} to {most:g}: give pixels, not millimetres"
        )
    if (np.abs(centre / size - 0.5) > FARTHEST_CENTRE + 0.5).any():
        raise ConfigError(
            f"the principal point is ({centre[0]:g}, {centre[1]:g}) px, far outside of the image of "
            f"{size[0]}x{size[1]}: calibrate the camera at this size"
        )
    if distortion.size and np.abs(distortion).max() > MAX_DISTORTION:
        raise ConfigError(
            f"distortion is {distortion.tolist()}, expected numbers up to {MAX_DISTORTION:g}: "
            "calibrate the camera again"
        )
