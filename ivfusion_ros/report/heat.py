"""What the thermal camera measured, for a page: coarse for the cursor, and a histogram with its scale."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ivfusion_ros.types import Size

if TYPE_CHECKING:
    from ivfusion_ros.types import AnyImage, Floats, Image

_MAX_WIDTH = 160
"""Columns of the grid: 20 kB a shot."""
_UNKNOWN = 255
_BINS = 32
_ZERO_CELSIUS_K = 273.15


@dataclass(frozen=True)
class Heat:
    """A grid over an image, size (columns, rows). values: its bytes in base64, row by row, 255: not known.

    0 stands for `least`, 254 for `most`, in `unit`.
    """

    size: Size
    least: float
    most: float
    unit: str
    values: str


@dataclass(frozen=True)
class Histogram:
    """Counts of pixels from `least` to `most` in `unit`, in steps of equal width."""

    counts: list[int]
    least: float
    most: float
    unit: str


def measured_values(measured: AnyImage) -> tuple[Floats, str]:
    """(H, W) temperatures in °C or counts, NaN where the camera sees nothing, and their unit."""
    values = measured.astype(np.float64)
    if measured.dtype == np.float32:
        return values - _ZERO_CELSIUS_K, "°C"
    values[measured == np.iinfo(str(measured.dtype)).min] = np.nan
    return values, "counts"


def heat_of(measured: AnyImage) -> Heat | None:
    """FusionResult.measured as a grid, None where nothing is known."""
    step = -(-measured.shape[1] // _MAX_WIDTH)
    values, unit = measured_values(measured[step // 2 :: step, step // 2 :: step])
    seen = np.isfinite(values)
    if not seen.any():
        return None
    least, most = float(values[seen].min()), float(values[seen].max())
    shares = (values - least) / max(most - least, 1e-9)
    grid = np.where(seen, np.rint(np.nan_to_num(shares) * (_UNKNOWN - 1)), _UNKNOWN).astype(np.uint8)
    text = base64.b64encode(grid.tobytes()).decode()
    return Heat((grid.shape[1], grid.shape[0]), round(least, 2), round(most, 2), unit, text)


def histogram_of(measured: AnyImage | None, thermal: Image) -> Histogram:
    """Of what was measured, else of the grey levels of the (H, W) 8-bit image."""
    if measured is not None:
        values, unit = measured_values(measured)
        values = values[np.isfinite(values)]
        if len(values):
            # A hot lamp and a dead pixel would leave everything else in one step.
            least, most = (float(edge) for edge in np.percentile(values, (0.1, 99.9)))
            most = max(most, least + 1e-3)
            counts = np.histogram(np.clip(values, least, most), _BINS, (least, most))[0]
            return Histogram(counts.tolist(), round(least, 1), round(most, 1), unit)
    counts = np.histogram(thermal, _BINS, (0, 256))[0]
    return Histogram(counts.tolist(), 0, 255, "grey levels")
