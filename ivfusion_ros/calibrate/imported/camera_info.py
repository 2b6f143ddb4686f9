"""ROS's camera_info as YAML: of camera_calibration and drivers, or of `ros2 topic echo`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ivfusion_ros.calibrate.imported.parts import Camera, Move, Parts, numbers
from ivfusion_ros.errors import ConfigError
from ivfusion_ros.files import read_yaml
from ivfusion_ros.geometry.camera_info import read_out
from ivfusion_ros.geometry.rig import Extrinsics
from ivfusion_ros.types import CameraInfo, Floats

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_SAME_FRAME = 1e-9


def read_camera_infos(paths: Sequence[Path]) -> Parts:
    """One file a camera; the move between a stereo pair is in their R and P. Raises ConfigError."""
    infos = [(path.stem, *_read(path)) for path in paths]
    cameras = tuple(_camera(name, described, info) for name, described, info in infos)
    if len(infos) != 2:
        return Parts(cameras)
    (first, _, one), (second, _, other) = infos
    move = _stereo(one, other)
    written = f"R and P of {first} and {second}"
    return Parts(cameras, () if move is None else (Move(second, first, move, written),))


def _read(path: Path) -> tuple[str, CameraInfo]:
    """(what tells which camera it is, what the file says)."""
    content = read_yaml(path)
    header = content.get("header")
    frame = header.get("frame_id", "") if isinstance(header, dict) else ""
    described = f"{path.stem} {content.get('camera_name', '')} {frame}"
    info = CameraInfo(
        int(_first(content, "image_width", "width")),
        int(_first(content, "image_height", "height")),
        str(content.get("distortion_model", "plumb_bob")),
        tuple(_data(content, "distortion_coefficients", "d", "D")),
        tuple(_data(content, "camera_matrix", "k", "K", count=9)),
        tuple(_data(content, "rectification_matrix", "r", "R", count=9, default=np.eye(3).ravel())),
        tuple(_data(content, "projection_matrix", "p", "P", count=12, default=np.zeros(12))),
    )
    roi = content.get("roi")
    roi = roi if isinstance(roi, dict) else {}
    x, y, width, height = (_whole(roi, key) for key in ("x_offset", "y_offset", "width", "height"))
    binning = (_whole(content, "binning_x"), _whole(content, "binning_y"))
    return described, read_out(info, (x, y, width, height), binning)


def _whole(content: dict[str, Any], name: str) -> int:
    return int(numbers(content.get(name, 0), name, 1)[0])


def _camera(name: str, described: str, info: CameraInfo) -> Camera:
    matrix = np.reshape(info.k, (3, 3))
    size = (info.width, info.height)
    return Camera(name, described, size, matrix, info.distortion_model, np.array(info.d, np.float64))


def _stereo(one: CameraInfo, other: CameraInfo) -> Extrinsics | None:
    """How points move from the one to the other, None where neither file is of a stereo calibration.

    R turns each camera's frame into that of the rectified pair, in which P's fourth column moves the second
    one along x.
    """
    turns = [np.reshape(info.r, (3, 3)) for info in (one, other)]
    shifts = [_shift_m(np.reshape(info.p, (3, 4))) for info in (one, other)]
    apart = shifts[1] - shifts[0]
    if np.abs(apart).max() < _SAME_FRAME:
        return None
    return Extrinsics(
        np.asarray(turns[1].T @ turns[0], np.float64), np.asarray(turns[1].T @ apart, np.float64)
    )


def _shift_m(projection: Floats) -> Floats:
    focal = projection[[0, 1], [0, 1]]
    with np.errstate(divide="ignore", invalid="ignore"):
        across, down = np.where(focal > 0, projection[:2, 3] / focal, 0.0)
    return np.array([across, down, 0.0])


def _first(content: dict[str, Any], *names: str) -> float:
    name = next((name for name in names if name in content), names[0])
    return float(numbers(content.get(name), name, 1)[0])


def _data(
    content: dict[str, Any], *names: str, count: int | None = None, default: Floats | None = None
) -> list[float]:
    """The numbers of a list, or of a mapping with rows, cols and data."""
    name = next((name for name in names if name in content), None)
    if name is None:
        if default is None and count is not None:
            raise ConfigError(f"there is no {names[0]}")
        return [] if default is None else default.tolist()
    value = content[name]
    row = value.get("data") if isinstance(value, dict) else value
    return list(map(float, numbers(row, name, count)))
