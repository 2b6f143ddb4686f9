"""What files of calibrations hold, whichever tool they are of."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ivfusion_ros.errors import ConfigError
from ivfusion_ros.geometry.rig import Extrinsics
from ivfusion_ros.types import Floats, Size


@dataclass(frozen=True, eq=False)
class Camera:
    """One camera of a file.

    name: as the user can give it. described: what may tell which camera it is, such as its topic. size:
    (width, height), None where the file does not say. matrix: 3x3. distortion_model and distortion: as
    written.
    """

    name: str
    described: str
    size: Size | None
    matrix: Floats
    distortion_model: str
    distortion: Floats


@dataclass(frozen=True, eq=False)
class Move:
    """How points move from one camera's frame to another's, and where that is written."""

    target: str
    source: str
    extrinsics: Extrinsics
    written: str


@dataclass(frozen=True)
class Parts:
    """All that some files hold. time_shifts_s: what turns a camera's stamps into those of one clock."""

    cameras: tuple[Camera, ...] = ()
    moves: tuple[Move, ...] = ()
    time_shifts_s: dict[str, float] = field(default_factory=dict)


def numbers(value: Any, name: str, count: int | None = None) -> Floats:
    """Numbers of a file in one row; count: how many there have to be. Raises ConfigError."""
    try:
        found = np.array(value, np.float64).ravel()
    except (TypeError, ValueError):
        found = np.full(1, np.nan)
    if not np.isfinite(found).all() or count not in (None, len(found)):
        expected = "numbers" if count is None else f"{count} numbers"
        raise ConfigError(f"{name} is {_brief(value)}, expected {expected}")
    return found


def whole_size(value: Any, name: str) -> Size:
    """(width, height) of a file's two numbers. Raises ConfigError."""
    width, height = numbers(value, name, 2).tolist()
    return int(width), int(height)


def _brief(value: Any) -> str:
    text = repr(
        list(value) if isinstance(value, Iterable) and not isinstance(value, (str, dict)) else value
    )
    return text if len(text) < 100 else text[:97] + "..."
