"""How well a rig aligns what is at a distance: how sure it is, and what one common plane costs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ivfusion_ros.calibrate.solve import RigFit, solve_rig
from ivfusion_ros.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ivfusion_ros.calibrate.views import BoardView
    from ivfusion_ros.geometry.rig import Rig
    from ivfusion_ros.types import CameraName, Floats, Size

DISTANCES_M = (0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 50.0, 100.0)
_GROUPS = 6
_MIN_GROUPS = 4
_GRID = (9, 7)


@dataclass(frozen=True)
class ErrorAt:
    """Of what is distance_m away, thermal pixels, the root mean square over the image that both see.

    error_px: standard error where the distance is known, NaN where too few views tell. aside_px: by how
    much it lies aside where both images are aligned at the calibration's distance.
    """

    distance_m: float
    error_px: float
    aside_px: float


def errors_by_distance(
    rig: Rig, others: Sequence[Rig], sizes: dict[CameraName, Size], plane_distance_m: float
) -> list[ErrorAt]:
    """At each of DISTANCES_M. others: rigs_without_parts."""
    x, y = (np.linspace(0.05, 0.95, count) * side for count, side in zip(_GRID, sizes["rgb"], strict=True))
    pixels = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    at_plane = rig.other_pixels(pixels, plane_distance_m, "rgb")
    found = []
    for distance_m in DISTANCES_M:
        here = rig.other_pixels(pixels, distance_m, "rgb")
        seen = _inside(here, sizes["thermal"])
        ways = np.array([other.other_pixels(pixels[seen], distance_m, "rgb") for other in others])
        found.append(ErrorAt(distance_m, _jackknife(ways), _rms(at_plane[seen] - here[seen])))
    return found


def translation_error_m(others: Sequence[Rig]) -> Floats:
    """(3,) standard error of the thermal camera's place, metres; NaN where too few views tell."""
    places = np.array([other.rgb_from_thermal.translation_m for other in others]).reshape(-1, 1, 3)
    return np.array([_jackknife(places[..., axis : axis + 1]) for axis in range(3)])


def rigs_without_parts(
    fit: RigFit, views: Sequence[BoardView], sizes: dict[CameraName, Size], models: dict[CameraName, str]
) -> list[Rig]:
    """The rig as it is found without each sixth of the views; empty where that fails too often."""
    rigs = []
    for part in range(_GROUPS):
        kept = [view for index, view in enumerate(views) if index % _GROUPS != part]
        try:
            rigs.append(solve_rig(fit.board, kept, sizes, models).rig)
        except DataError:
            continue
    return rigs if len(rigs) >= _MIN_GROUPS else []


def _inside(pixels: Floats, size: Size) -> npt.NDArray[np.bool_]:
    return np.asarray(((pixels >= 0) & (pixels <= np.array(size) - 1)).all(axis=1))


def _jackknife(ways: Floats) -> float:
    """Standard error of N vectors, (groups, N, D), that were each found without one group."""
    if len(ways) == 0 or ways.shape[1] == 0:
        return float("nan")
    apart = np.square(ways - ways.mean(axis=0)).sum(axis=(0, 2))
    return float(np.sqrt((len(ways) - 1) / len(ways) * apart.mean()))


def _rms(off: Floats) -> float:
    finite = off[np.isfinite(off).all(axis=1)]
    return float(np.sqrt(np.square(finite).sum(axis=1).mean())) if len(finite) else float("nan")
