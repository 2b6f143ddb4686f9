"""Kalibr's camchain: cam0, cam1 ... with T_cn_cnm1, from the camera before to this one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

from ivfusion_ros.calibrate.imported.parts import Camera, Move, Parts, numbers, whole_size
from ivfusion_ros.errors import ConfigError
from ivfusion_ros.files import read_yaml
from ivfusion_ros.geometry.rig import Extrinsics

if TYPE_CHECKING:
    from pathlib import Path

IMU = "imu"


def read_camchain(path: Path) -> Parts:
    """A camchain or camchain-imucam. Raises ConfigError."""
    content = {
        name: value for name, value in read_yaml(path).items() if re.fullmatch(r"cam\d{1,3}", str(name))
    }
    names = sorted(content, key=lambda name: int(name[3:]))
    moves: list[Move] = []
    shifts: dict[str, float] = {}
    for before, name in zip(["", *names], names, strict=False):
        value = content[name]
        if not isinstance(value, dict):
            raise ConfigError(f"{name} is {value!r}, expected a mapping")
        if before and "T_cn_cnm1" in value:
            moves.append(Move(name, before, _extrinsics(value, name, "T_cn_cnm1"), f"{name}.T_cn_cnm1"))
        if "T_cam_imu" in value:
            moves.append(Move(name, IMU, _extrinsics(value, name, "T_cam_imu"), f"{name}.T_cam_imu"))
        if "timeshift_cam_imu" in value:
            (shifts[name],) = numbers(value["timeshift_cam_imu"], f"{name}.timeshift_cam_imu", 1)
    return Parts(tuple(_camera(name, content[name]) for name in names), tuple(moves), shifts)


def _camera(name: str, value: dict[str, Any]) -> Camera:
    model = value.get("camera_model")
    if model != "pinhole":
        raise ConfigError(
            f"{name}.camera_model is {model!r}, expected pinhole: calibrate with pinhole-radtan, or with "
            "pinhole-equi for a fisheye"
        )
    fx, fy, cx, cy = numbers(value.get("intrinsics"), f"{name}.intrinsics", 4)
    return Camera(
        name,
        str(value.get("rostopic", "")),
        whole_size(value.get("resolution"), f"{name}.resolution"),
        np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]]),
        str(value.get("distortion_model", "none")),
        numbers(value.get("distortion_coeffs", []), f"{name}.distortion_coeffs"),
    )


def _extrinsics(value: dict[str, Any], name: str, key: str) -> Extrinsics:
    matrix = numbers(value[key], f"{name}.{key}", 16).reshape(4, 4)
    return Extrinsics(matrix[:3, :3].copy(), matrix[:3, 3].copy())
