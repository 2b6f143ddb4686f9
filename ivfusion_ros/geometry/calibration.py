"""Calibration files: where a thermal pixel lies in the RGB image."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml

from ivfusion_ros.errors import ConfigError, refusing
from ivfusion_ros.files import brief, read_bytes, read_yaml, whole_files
from ivfusion_ros.geometry.other_tools import refuse_other_tools
from ivfusion_ros.geometry.rig import RigParts
from ivfusion_ros.geometry.rig_yaml import as_matrix, rig_from_yaml, rig_to_yaml
from ivfusion_ros.types import Floats, Floats32, Size

if TYPE_CHECKING:
    import zipfile

__all__ = ["Calibration", "Floats", "Remap", "read_calibration", "write_calibration"]

_KINDS = ("homography", "affine", "remap", "rig")
_KEYS = ("thermal_size", "rgb_size", *_KINDS, "quality")
_MAX_CONDITION = 1e12
_MAX_MAP_BYTES = 2**30
"""Of both maps of a 128-megapixel image."""


@dataclass(frozen=True, eq=False)
class Remap:
    """Of which pixel of another image each pixel is made.

    map_x, map_y: (H, W) float32; integers are pixel centres; what lies outside stays black. In a
    calibration: of the RGB size, with thermal pixels, and finite (-1 for none).
    """

    map_x: Floats32
    map_y: Floats32


@dataclass(frozen=True, eq=False)
class Calibration:
    """A static registration, by exactly one of homography (or affine), remap and rig. Raises ConfigError.

    thermal_size, rgb_size: (width, height) of the images that it was made with, pixels.
    rgb_from_thermal: 3x3 float64, maps thermal pixels (x, y, 1) to RGB pixels; integers are centres.
    quality: what `ivfusion calibrate` found out about it, for people: method, rms_px, date and such.
    """

    thermal_size: Size
    rgb_size: Size
    rgb_from_thermal: Floats | None = None
    remap: Remap | None = None
    rig: RigParts | None = None
    quality: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        given = sum(part is not None for part in (self.rgb_from_thermal, self.remap, self.rig))
        if given != 1:
            raise ConfigError(
                "calibration needs either a homography or a remap or a rig (or an affine), exactly one of "
                f"them, found {given}"
            )
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
    if not np.linalg.cond(homography) < _MAX_CONDITION:
        raise ConfigError(
            "calibration's homography is singular: it maps the whole thermal image to a line or a point"
        )


def read_calibration(path: str | Path) -> Calibration:
    """Read a calibration YAML and the map file that it names.

    Raises ConfigError, which says how to import it for a file of another tool.
    """
    path = Path(path)
    if not path.exists():
        raise ConfigError(
            f"there is no calibration {path}; `ivfusion calibrate SOURCE --out {path.name}` writes one"
        )
    refuse_other_tools(path)
    content = {key: value for key, value in read_yaml(path).items() if value is not None}
    unknown = sorted(str(key) for key in content if key not in _KEYS)
    if unknown:
        raise ConfigError(f"{path}: unknown key {', '.join(unknown)}; known: {', '.join(_KEYS)}")
    try:
        thermal_size, rgb_size = _size(content, "thermal_size"), _size(content, "rgb_size")
        return Calibration(
            thermal_size,
            rgb_size,
            _planar(content),
            _read_remap(_beside(path, str(content["remap"]))) if "remap" in content else None,
            rig_from_yaml(content["rig"], thermal_size, rgb_size) if "rig" in content else None,
            _quality(content.get("quality", {})),
        )
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def write_calibration(path: str | Path, calibration: Calibration) -> None:
    """Write a calibration YAML, and its maps beside it under the same name with .npz; each file whole.

    Raises ConfigError.
    """
    try:
        with whole_files(Path(path)) as staged:
            _write(staged, calibration)
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}") from error


def _write(path: Path, calibration: Calibration) -> None:
    content: dict[str, Any] = {
        "thermal_size": list(calibration.thermal_size),
        "rgb_size": list(calibration.rgb_size),
    }
    if calibration.rgb_from_thermal is not None:
        rows = calibration.rgb_from_thermal.tolist()
        content.update({"affine": rows[:2]} if rows[2] == [0, 0, 1] else {"homography": rows})
    if calibration.remap is not None:
        maps = path.with_suffix(".npz")
        np.savez_compressed(maps, map_x=calibration.remap.map_x, map_y=calibration.remap.map_y)
        content["remap"] = maps.name
    if calibration.rig is not None:
        content["rig"] = rig_to_yaml(calibration.rig)
    if calibration.quality:
        content["quality"] = _plain(calibration.quality)
    path.write_text(yaml.safe_dump(content, sort_keys=False, default_flow_style=None), encoding="utf-8")


def _planar(content: dict[str, Any]) -> Floats | None:
    """The 3x3 of a homography or an affine."""
    if "homography" in content and "affine" in content:
        raise ConfigError("calibration has a homography and an affine, expected one of them")
    if "affine" in content:
        affine = as_matrix(content["affine"], "affine", (2, 3))
        return np.concatenate([affine, [[0.0, 0.0, 1.0]]])
    return as_matrix(content["homography"], "homography", (3, 3)) if "homography" in content else None


def _quality(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ConfigError(f"quality is {value!r}, expected a mapping such as {{rms_px: 0.2}}")
    return dict(value)


def _plain(value: Any) -> Any:
    """For YAML: numpy's numbers as Python's."""
    if isinstance(value, Mapping):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(entry) for entry in value]
    return value.tolist() if isinstance(value, (np.generic, np.ndarray)) else value


def _size(content: dict[str, Any], key: str) -> Size:
    value = content.get(key)
    if not isinstance(value, Iterable):
        raise ConfigError(f"{key} is {value!r}, expected [width, height] in pixels")
    return tuple(value)


def _beside(path: Path, name: str) -> Path:
    """A file beside another one, or beside what that one is a link to. Raises ConfigError."""
    if name in ("", ".", "..") or "\0" in name or name != Path(name).name:
        raise ConfigError(f"remap is {brief(name)}, expected the name of an .npz file beside it")
    found = path.with_name(name)
    return found if found.exists() else path.resolve().with_name(name)


def _read_remap(path: Path) -> Remap:
    with (
        refusing(ConfigError, f"remap file {path}", "an .npz with map_x and map_y"),
        np.load(io.BytesIO(read_bytes(path, _MAX_MAP_BYTES)), allow_pickle=False) as maps,
    ):
        _check_unpacked_size(maps.zip.infolist())
        return Remap(maps["map_x"], maps["map_y"])


def _check_unpacked_size(entries: Iterable[zipfile.ZipInfo]) -> None:
    """Some thousand bytes may unpack to gigabytes."""
    declared = sum(entry.file_size for entry in entries)
    if declared > _MAX_MAP_BYTES:
        raise ValueError(f"it unpacks to {declared} bytes, more than {_MAX_MAP_BYTES}")
