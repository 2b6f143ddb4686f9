"""Maps for remapping: for each pixel of the reference camera, where the other camera sees the same.

A map has the reference image's size and holds pixels of the other camera; they may lie outside of its
image, and are NaN where nothing corresponds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import numpy.typing as npt

from ivfusion_ros.geometry.calibration import Remap

if TYPE_CHECKING:
    from collections.abc import Callable

    from ivfusion_ros.geometry.camera import CameraModel
    from ivfusion_ros.geometry.rig import Rig
    from ivfusion_ros.types import CameraName, Floats, Floats32, Mask, Size

FixedMaps = tuple[npt.NDArray[Any], npt.NDArray[Any]]
"""cv2.remap's int16 (H, W, 2) whole pixels and uint16 (H, W) fractions."""

_OUTSIDE = -2.0
_INVERSION_STEPS = 15
_INVERTED_PX = 0.25
_FIT_SAMPLES = 10_000
_SAMPLED_PX = 4
_POINTS = 2**15
"""That are looked up at a time, about: all at once are seven times the map's memory, and twice the time."""


def pixel_grid(size: Size) -> Floats:
    """Centres of all pixels of an image, row by row, (H * W, 2)."""
    x, y = np.meshgrid(np.arange(size[0], dtype=np.float64), np.arange(size[1], dtype=np.float64))
    return np.stack([x.ravel(), y.ravel()], axis=1)


def pinhole_map(camera: CameraModel) -> Remap:
    """Of a camera of the same matrix and size without distortion, with pixels of the camera as it is."""
    rays_from_pixels = np.linalg.inv(camera.matrix).T

    def projected(pixels: Floats) -> Floats:
        return camera.project(
            np.concatenate([pixels, np.ones((len(pixels), 1))], axis=1) @ rays_from_pixels
        )

    return _map_by(projected, camera.size)


def plane_map(rig: Rig, distance_m: float, reference: CameraName) -> Remap:
    """As if all were on a plane that faces the reference camera at a distance."""
    size = rig.cameras(reference)[0].size
    return _map_by(lambda pixels: rig.other_pixels(pixels, distance_m, reference), size)


def homography_map(other_from_reference: Floats, size: Size) -> Remap:
    """Of a 3x3 homography (or affine with 0, 0, 1 below), for a reference image of a size."""
    middle = size[0] // 2, size[1] // 2
    return _map_by(lambda pixels: transform(other_from_reference, pixels, middle), size)


def transform(homography: Floats, points: Floats, visible: tuple[float, float]) -> Floats:
    """Points (N, 2) through a 3x3 homography; NaN where they lie on the other side than `visible`."""
    rows = homography[:, :2] @ points.T + homography[:, 2:]
    # A homography's sign is free; what lies behind the camera has another one than what is seen.
    depth = rows[2] * (homography[2] @ [*visible, 1.0])
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(depth > 0, rows[:2] / rows[2], np.nan).T, np.float64)


def magnification(remap: Remap, other_size: Size) -> float:
    """Pixels of the reference image along one of the other camera's, in the median of what both see.

    other_size: of the other camera's image. 1 for a map that shows nothing, or is too small to tell.
    """
    x, y = (values[::_SAMPLED_PX, ::_SAMPLED_PX] for values in (remap.map_x, remap.map_y))
    if min(x.shape) < 2:
        return 1.0
    (x_down, x_right), (y_down, y_right) = (np.gradient(values, _SAMPLED_PX) for values in (x, y))
    areas = np.abs(x_right * y_down - x_down * y_right)
    areas = areas[np.isfinite(areas) & _known(Remap(x, y), other_size)]
    side = float(np.sqrt(np.median(areas))) if areas.size else 0.0
    return 1.0 / side if side > 0 else 1.0


def scaled_map(remap: Remap, other_size: Size, other_from_calibrated: Floats, size: Size) -> Remap:
    """A map for images of other sizes.

    other_size: of the other camera's image that the map was made for; other_from_calibrated: 3x3, from
    its pixels to those of the actual one; size: of the actual reference image.
    """
    map_x, map_y, share = (
        cv2.resize(values, size, interpolation=cv2.INTER_LINEAR)
        for values in (remap.map_x, remap.map_y, _known(remap, other_size).astype(np.float32))
    )
    (scale_x, _, shift_x), (_, scale_y, shift_y), _ = other_from_calibrated.astype(np.float32)
    # A mean of a coordinate and a mark for "none" is neither.
    unknown = ~(np.asarray(share) > 0.999)
    scaled = Remap(np.asarray(map_x * scale_x + shift_x), np.asarray(map_y * scale_y + shift_y))
    scaled.map_x[unknown] = np.nan
    scaled.map_y[unknown] = np.nan
    return scaled


def inverted_map(remap: Remap, other_size: Size) -> Remap:
    """The map of the other direction: of other_size, with pixels of the reference camera.

    By iteration around the affine transform that comes closest, so for maps that are nearly affine, as
    those of cameras side by side are; NaN where that finds nothing.
    """
    height, width = remap.map_x.shape
    known = _known(remap, other_size)
    targets = pixel_grid(other_size)
    if np.count_nonzero(known) < 3:
        return _as_map(np.full_like(targets, np.nan), other_size)
    points = pixel_grid((width, height))
    values = np.stack([remap.map_x.ravel(), remap.map_y.ravel()], axis=1).astype(np.float64)
    linear, shift = _fit_affine(points, values, known.ravel())
    rest = np.where(known.ravel()[:, None], values - points @ linear.T - shift, 0.0)
    rest_image = rest.reshape(height, width, 2).astype(np.float32)
    inverse = np.linalg.pinv(linear)
    found = (targets - shift) @ inverse.T
    for _ in range(_INVERSION_STEPS):
        found = (targets - shift - _sample(rest_image, found)) @ inverse.T
    error = found @ linear.T + shift + _sample(rest_image, found) - targets
    valid = np.linalg.norm(error, axis=1) < _INVERTED_PX
    valid &= _sample(known.astype(np.float32)[:, :, None], found, border=cv2.BORDER_CONSTANT)[:, 0] > 0.999
    return _as_map(np.where(valid[:, None], found, np.nan), other_size)


def look_up(remap: Remap, points: Floats) -> Floats:
    """The other camera's pixels (N, 2) of reference pixels (N, 2), bilinear; NaN where there is none.

    Points up to half a pixel outside are extrapolated, so that corners of images have a place as well.
    """
    limit = np.array(remap.map_x.shape[::-1]) - 1.0
    nearest = np.clip(points, 0.0, limit)
    mirrored = np.clip(2 * nearest - points, 0.0, limit)
    found = 2 * _bilinear(remap, nearest) - _bilinear(remap, mirrored)
    found[np.abs(points - nearest).max(axis=1, initial=0.0) > 0.5] = np.nan
    return found


def fixed_point(remap: Remap) -> FixedMaps:
    """For cv2.remap in 1/32 pixel: the same bytes in OpenCV 4 and 5, which float maps do not give."""
    # A cast of NaN to int depends on the processor.
    map_x, map_y = (cv2.patchNaNs(values.copy(), _OUTSIDE) for values in (remap.map_x, remap.map_y))
    return cv2.convertMaps(map_x, map_y, cv2.CV_16SC2)


def _map_by(other_pixels: Callable[[Floats], Floats], size: Size) -> Remap:
    """A map of a size whose pixels (N, 2) are looked up some rows at a time: in float64 they are large."""
    width, height = size
    planes = np.empty((2, height, width), np.float32)
    step = max(1, _POINTS // width)
    for top in range(0, height, step):
        rows = planes[:, top : top + step]
        pixels = pixel_grid((width, rows.shape[1])) + np.array([0.0, top])
        rows[...] = other_pixels(pixels).T.reshape(rows.shape)
    return Remap(planes[0], planes[1])


def _as_map(pixels: Floats, size: Size) -> Remap:
    planes = pixels.T.reshape(2, size[1], size[0]).astype(np.float32)
    return Remap(planes[0], planes[1])


def _known(remap: Remap, other_size: Size) -> Mask:
    """Where a map from a file shows a pixel of the other image; it has no NaN."""
    width, height = other_size
    inside = (remap.map_x > -1) & (remap.map_x < width) & (remap.map_y > -1) & (remap.map_y < height)
    return np.asarray(inside, np.bool_)


def _fit_affine(points: Floats, values: Floats, known: Mask) -> tuple[Floats, Floats]:
    """(2x2, 2) with values = 2x2 @ point + 2, least squares over some of the known points."""
    chosen = np.flatnonzero(known)
    chosen = chosen[:: max(1, len(chosen) // _FIT_SAMPLES)]
    design = np.concatenate([points[chosen], np.ones((len(chosen), 1))], axis=1)
    solution = np.linalg.lstsq(design, values[chosen], rcond=None)[0]
    return solution[:2].T, solution[2]


def _sample(image: Floats32, at: Floats, border: int = cv2.BORDER_REPLICATE) -> Floats:
    """(N, C) values of an (H, W, C) image at points (N, 2)."""
    # cv2.remap takes no more than 32767 rows.
    x, y = (
        np.ascontiguousarray(axis.reshape(-1, 64) if len(axis) % 64 == 0 else axis[None]) for axis in at.T
    )
    sampled = cv2.remap(
        image, x.astype(np.float32), y.astype(np.float32), cv2.INTER_LINEAR, borderMode=border
    )
    return np.asarray(sampled, np.float64).reshape(len(at), -1)


def _bilinear(remap: Remap, at: Floats) -> Floats:
    height, width = remap.map_x.shape
    x0 = np.minimum(at[:, 0].astype(np.intp), max(0, width - 2))
    y0 = np.minimum(at[:, 1].astype(np.intp), max(0, height - 2))
    x1, y1 = np.minimum(x0 + 1, width - 1), np.minimum(y0 + 1, height - 1)
    fx, fy = at[:, 0] - x0, at[:, 1] - y0
    found = np.empty_like(at)
    for column, plane in enumerate((remap.map_x, remap.map_y)):
        upper = plane[y0, x0] * (1 - fx) + plane[y0, x1] * fx
        lower = plane[y1, x0] * (1 - fx) + plane[y1, x1] * fx
        found[:, column] = upper * (1 - fy) + lower * fy
    return found


def displacements_at(points: Floats, matrix: Floats) -> Floats:
    """(N, 2): by how much the content that a 3x3 matrix brings to points (N, 2) moved."""
    inverse = np.linalg.inv(matrix)
    rows = inverse[:, :2] @ points.T + inverse[:, 2:]
    return np.asarray(points - (rows[:2] / rows[2]).T, np.float64)
