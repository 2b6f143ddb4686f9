"""Calibration files: where a thermal pixel lies in the RGB image."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import yaml

from ivfusion_ros.config import read_yaml
from ivfusion_ros.errors import ConfigError

_KEYS = ("thermal_size", "rgb_size", "homography", "remap")
_WORST_CONDITION = 1e12

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Remap:
    """map_x, map_y: (H, W) float32 of the RGB size, the thermal pixel that each RGB pixel shows.

    Integer coordinates are pixel centres; those outside of the thermal image stay black.
    """

    map_x: npt.NDArray[np.float32]
    map_y: npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Calibration:
    """A static registration, by exactly one of homography and remap. Raises ConfigError.

    thermal_size, rgb_size: (width, height) of the images that it was made with, pixels.
    rgb_from_thermal: 3x3 float64, maps thermal pixels (x, y, 1) to RGB pixels; integers are centres.
    """

    thermal_size: tuple[int, int]
    rgb_size: tuple[int, int]
    rgb_from_thermal: Floats | None = None
    remap: Remap | None = None

    def __post_init__(self) -> None:
        if (self.rgb_from_thermal is None) == (self.remap is None):
            raise ConfigError("calibration needs either a homography or a remap, not both or none")
        for name in ("thermal_size", "rgb_size"):
            size = getattr(self, name)
            if len(size) != 2 or not all(type(side) is int and side > 0 for side in size):
                raise ConfigError(f"calibration's {name} is {size!r}, expected [width, height] in pixels")
        if self.rgb_from_thermal is not None:
            _check_homography(self.rgb_from_thermal)
        if self.remap is not None:
            self._check_maps(self.remap)

    def _check_maps(self, remap: Remap) -> None:
        width, height = self.rgb_size
        for name, values in (("map_x", remap.map_x), ("map_y", remap.map_y)):
            if values.shape != (height, width) or values.dtype != np.float32:
                raise ConfigError(
                    f"calibration's {name} is {values.dtype} {values.shape}, expected float32 "
                    f"{(height, width)}, the height and width of rgb_size"
                )
            if not np.isfinite(values).all():
                raise ConfigError(f"calibration's {name} has values that are not finite; use -1 for none")


def _check_homography(homography: Floats) -> None:
    if homography.shape != (3, 3):
        raise ConfigError(f"calibration's homography has shape {homography.shape}, expected (3, 3)")
    if not np.isfinite(homography).all():
        raise ConfigError("calibration's homography has values that are not finite")
    if not np.linalg.cond(homography) < _WORST_CONDITION:
        raise ConfigError(
            "calibration's homography is singular: it maps the whole thermal image to a line or a point"
        )


def read_calibration(path: str | Path) -> Calibration:
    """Read a calibration YAML and the map file that it names. Raises ConfigError."""
    path = Path(path)
    content = read_yaml(path)
    unknown = sorted(str(key) for key in content if key not in _KEYS)
    if unknown:
        raise ConfigError(f"{path}: unknown key {', '.join(unknown)}; known: {', '.join(_KEYS)}")
    try:
        return Calibration(
            _size(content, "thermal_size"),
            _size(content, "rgb_size"),
            None if content.get("homography") is None else _matrix(content["homography"]),
            None if content.get("remap") is None else _read_remap(path.parent / str(content["remap"])),
        )
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def write_calibration(path: str | Path, calibration: Calibration) -> None:
    """Write a calibration YAML, and its maps beside it under the same name with .npz.

    Raises ConfigError.
    """
    path = Path(path)
    content: dict[str, Any] = {
        "thermal_size": list(calibration.thermal_size),
        "rgb_size": list(calibration.rgb_size),
    }
    try:
        if calibration.rgb_from_thermal is not None:
            content["homography"] = calibration.rgb_from_thermal.tolist()
        if calibration.remap is not None:
            maps = path.with_suffix(".npz")
            np.savez_compressed(maps, map_x=calibration.remap.map_x, map_y=calibration.remap.map_y)
            content["remap"] = maps.name
        path.write_text(yaml.safe_dump(content, sort_keys=False, default_flow_style=None), encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}") from error


def _size(content: dict[str, Any], key: str) -> tuple[int, int]:
    value = content.get(key)
    if not isinstance(value, Iterable):
        raise ConfigError(f"{key} is {value!r}, expected [width, height] in pixels")
    return tuple(value)


def _matrix(value: Any) -> Floats:
    try:
        # YAML reads 1e-4 as a string; numpy makes it the number that was meant.
        return np.array(value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"homography is {value!r}, expected three rows of three numbers") from error


def _read_remap(path: Path) -> Remap:
    try:
        with np.load(path, allow_pickle=False) as maps:
            return Remap(maps["map_x"], maps["map_y"])
    except OSError as error:
        raise ConfigError(f"cannot read remap file {path}: {error.strerror or error}") from error
    except (KeyError, ValueError, TypeError, EOFError, AttributeError, zipfile.BadZipFile) as error:
        raise ConfigError(f"remap file {path} is no .npz with map_x and map_y: {error}") from error
