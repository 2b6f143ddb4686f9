"""What a camera_info says of the images as they are sent, and which of several counts."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np

from ivfusion_ros.errors import ConfigError
from ivfusion_ros.geometry.camera import CameraModel
from ivfusion_ros.types import CameraInfo

log = logging.getLogger(__name__)


def read_out(info: CameraInfo, region: tuple[int, int, int, int], binning: tuple[int, int]) -> CameraInfo:
    """Of the whole sensor -> of images that are a region (x, y, width, height) of it, binned afterwards.

    Zeros stand for the whole sensor and for no binning. As CameraInfo and image_geometry have it, the
    principal point is moved by the region, then divided by the binning (across, down).
    """
    x, y, width, height = region
    width, height = width or info.width - x, height or info.height - y
    across, down = (max(1, factor) for factor in binning)
    changed = []
    if (x, y, width, height) != (0, 0, info.width, info.height):
        changed.append(f"region {width}x{height} at ({x}, {y})")
    if (across, down) != (1, 1):
        changed.append(f"binning {across}x{down}")
    if not changed:
        return info
    return replace(
        info,
        width=width // across,
        height=height // down,
        k=_read_out(info.k, (x, y), (across, down)),
        p=_read_out(info.p, (x, y), (across, down)),
        changed=f"{' and '.join(changed)} of {info.width}x{info.height} folded into K and P",
    )


def _read_out(
    matrix: tuple[float, ...], corner: tuple[int, int], binning: tuple[int, int]
) -> tuple[float, ...]:
    """K or P; one of zeros, as of a camera without calibration, stays."""
    rows = np.array(matrix, np.float64).reshape(3, -1)
    if not rows.any():
        return matrix
    rows[:2, 2] -= corner
    rows[:2] /= np.array(binning, np.float64)[:, None]
    return tuple(rows.ravel().tolist())


def rectified(info: CameraInfo) -> CameraInfo:
    """Of raw images -> of those that were rectified by it: P is their K, and they have no distortion."""
    projection = np.array(info.p, np.float64).reshape(3, 4)
    k = tuple(projection[:, :3].ravel().tolist()) if projection.any() else info.k
    note = "the images are rectified, so P is their K, without distortion"
    changed = "; ".join(filter(None, (info.changed, note)))
    return CameraInfo(info.width, info.height, k=k, p=info.p, changed=changed)


def newest_info(known: CameraInfo | None, new: CameraInfo, topic: str = "") -> CameraInfo:
    """The camera_info that counts from now on; the known object itself where nothing changed.

    One without calibration counts while there is none better. topic: of its images; the log says once what
    was changed in reading it. Raises ConfigError for a damaged one, and for one that cannot be used after
    one that could: then the known one still counts.
    """
    if new == known:
        return known
    try:
        CameraModel.from_camera_info(new)
    except ConfigError as error:
        if not np.isfinite((*new.k, *new.d)).all() or (known is not None and _is_usable(known)):
            raise ConfigError(f"camera_info cannot be used, the one before counts on: {error}") from error
    if new.changed and (known is None or known.changed != new.changed):
        log.info("camera_info of %s: %s", topic or "a camera", new.changed)
    return new


def _is_usable(info: CameraInfo) -> bool:
    try:
        CameraModel.from_camera_info(info)
    except ConfigError:
        return False
    return True
