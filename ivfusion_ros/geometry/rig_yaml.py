"""The rig of a calibration file: intrinsics of both cameras, extrinsics and plane distance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ivfusion_ros.errors import ConfigError
from ivfusion_ros.files import brief
from ivfusion_ros.geometry.camera import CameraModel
from ivfusion_ros.geometry.choices import DEFAULT_PLANE_DISTANCE_M
from ivfusion_ros.geometry.distortion import standard_lens
from ivfusion_ros.geometry.rig import Extrinsics, RigParts

if TYPE_CHECKING:
    from ivfusion_ros.types import Floats, Size

_ROWS = {2: "two", 3: "three"}


def rig_from_yaml(value: Any, thermal_size: Size, rgb_size: Size) -> RigParts:
    """The `rig` of a calibration file; what it leaves out is None. Raises ConfigError."""
    content = _mapping(value, "rig", ("thermal", "rgb", "rgb_from_thermal", "plane_distance_m"))
    distance = content.get("plane_distance_m", DEFAULT_PLANE_DISTANCE_M)
    return RigParts(
        _camera(content["thermal"], "rig.thermal", thermal_size) if "thermal" in content else None,
        _camera(content["rgb"], "rig.rgb", rgb_size) if "rgb" in content else None,
        _extrinsics(content["rgb_from_thermal"]) if "rgb_from_thermal" in content else None,
        float(_numbers(distance, "rig.plane_distance_m", ())),
    )


def rig_to_yaml(rig: RigParts) -> dict[str, Any]:
    """What rig_from_yaml reads."""
    content: dict[str, Any] = {
        name: {
            "distortion_model": camera.distortion_model,
            "distortion": camera.distortion.tolist(),
            "matrix": camera.matrix.tolist(),
        }
        for name, camera in (("thermal", rig.thermal), ("rgb", rig.rgb))
        if camera is not None
    }
    if rig.rgb_from_thermal is not None:
        content["rgb_from_thermal"] = {
            "rotation": rig.rgb_from_thermal.rotation.tolist(),
            "translation_m": rig.rgb_from_thermal.translation_m.tolist(),
        }
    return {**content, "plane_distance_m": float(rig.plane_distance_m)}


def as_matrix(value: Any, name: str, shape: tuple[int, int]) -> Floats:
    """A matrix of numbers from YAML. Raises ConfigError."""
    matrix = _numbers(value, name, None, f"{_ROWS[shape[0]]} rows of {_ROWS[shape[1]]} numbers")
    if matrix.shape != shape:
        raise ConfigError(f"calibration's {name} has shape {matrix.shape}, expected {shape}")
    return matrix


def _camera(value: Any, name: str, size: Size) -> CameraModel:
    content = _mapping(value, name, ("matrix", "distortion_model", "distortion"))
    if "matrix" not in content:
        raise ConfigError(f"{name} has no matrix; leave out {name} to take it from camera_info")
    distortion = np.atleast_1d(_numbers(content.get("distortion", []), f"{name}.distortion", None))
    model = str(content.get("distortion_model", "plumb_bob"))
    try:
        matrix = as_matrix(content["matrix"], f"{name}.matrix", (3, 3))
        return CameraModel(size, matrix, *standard_lens(model, distortion))
    except ConfigError as error:
        raise ConfigError(f"{name}: {error}") from error


def _extrinsics(value: Any) -> Extrinsics:
    name = "rig.rgb_from_thermal"
    content = _mapping(value, name, ("rotation", "quaternion_xyzw", "translation_m"))
    if "translation_m" not in content or ("rotation" in content) == ("quaternion_xyzw" in content):
        raise ConfigError(
            f"{name} has {', '.join(content) or 'nothing'}; expected translation_m, and rotation or "
            "quaternion_xyzw"
        )
    translation = _numbers(content["translation_m"], f"{name}.translation_m", (3,))
    if "rotation" in content:
        return Extrinsics(as_matrix(content["rotation"], f"{name}.rotation", (3, 3)), translation)
    quaternion = _numbers(content["quaternion_xyzw"], f"{name}.quaternion_xyzw", (4,))
    return Extrinsics.from_quaternion(quaternion.tolist(), translation.tolist())


def _mapping(value: Any, name: str, keys: tuple[str, ...]) -> dict[str, Any]:
    """A mapping with no other keys; entries without a value are left out. Raises ConfigError."""
    if not isinstance(value, Mapping):
        raise ConfigError(f"{name} is {value!r}, expected a mapping with {', '.join(keys)}")
    unknown = sorted(str(key) for key in value if key not in keys)
    if unknown:
        raise ConfigError(f"{name}: unknown key {', '.join(unknown)}; known: {', '.join(keys)}")
    return {key: entry for key, entry in value.items() if entry is not None}


def _numbers(value: Any, name: str, shape: tuple[int, ...] | None, expected: str = "") -> Floats:
    try:
        # YAML reads 1e-4 as a string; numpy makes it the number that was meant.
        numbers = np.array(value, dtype=np.float64)
        if shape is None or numbers.shape == shape:
            return numbers
    except (TypeError, ValueError, OverflowError):
        pass
    expected = expected or ("a number" if shape == () else f"{shape[0]} numbers" if shape else "numbers")
    raise ConfigError(f"{name} is {brief(value)}, expected {expected}")
