"""Thermal counts -> 8 bit grey, steady over time."""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING

import cv2
import numpy as np

from ivfusion_ros.errors import ImageError
from ivfusion_ros.images.encodings import to_grey

if TYPE_CHECKING:
    from ivfusion_ros.config.pipeline import ThermalConfig
    from ivfusion_ros.types import AnyImage, Floats32, Image, Window

log = logging.getLogger(__name__)

_PERCENTILE_SAMPLES = 20_000
_NEW_SCENE_OVERLAP = 0.25

_WHOLE_RANGE = 0.0, 255.0
_TOP = 65535
_ODD_SHARE = 2e-5
"""Of the pixels, at either end: too few for a distant object, but as many as a sensor has dead ones."""
_MIN_LEVELS = 8
"""An image with fewer grey levels shows nothing but noise."""
_STAY_FLAT = 1.5
"""How many times the levels from which an image counts as flat it must use to count so no more."""


class ThermalScaler:
    """Scales the frames of one thermal camera; the same frames in the same order give the same bytes.

    The percentile stretch is smoothed by the frames' stamps, so the camera's rate does not matter and
    a gap much longer than smoothing_s starts over by itself. A frame whose own range and the smoothed
    one share less than a quarter of their union is a new scene (shutter, fire, indoors to outdoors):
    its range is taken at once, as is that of the first frame and of one older than its predecessor.

    An 8-bit image is stretched like that while it is flat, that is uses few of its grey levels; to or from
    the range as it is, it goes as smoothly.
    """

    def __init__(self, config: ThermalConfig) -> None:
        self._config = config
        self._announced = False
        self.reset()

    def set_config(self, config: ThermalConfig) -> None:
        """Take over other parameters from the next frame on; the smoothed range stays."""
        self._config = config

    @property
    def is_radiometric(self) -> bool:
        """Whether counts are temperatures."""
        return self._config.scaling == "radiometric"

    def reset(self) -> None:
        """Forget the smoothed range."""
        self._range: tuple[float, float] | None = None
        self._flat = False
        self._stamp_ns = 0

    def __call__(self, image: AnyImage, stamp_ns: int, window: Window | None = None) -> Image:
        """(H, W) counts, or (H, W, 3) false colour -> (H, W) uint8, hot is bright.

        8-bit input that is not flat passes a percentile stretch as it is (and is then not copied). window:
        the part that decides on a percentile stretch, None for all. Raises ImageError.
        """
        grey = to_grey(image)
        left, top, right, bottom = window or (0, 0, grey.shape[1], grey.shape[0])
        black, white = self._black_and_white(grey[top:bottom, left:right], int(stamp_ns))
        if grey.dtype == np.uint8 and max(abs(black), abs(white - 255.0)) < 0.5:
            scaled = grey.view(np.uint8)
        else:
            scaled = _stretch(grey, black, white)
        return np.asarray(cv2.bitwise_not(scaled)) if self._config.polarity == "black_hot" else scaled

    def kelvin(self, image: AnyImage) -> Floats32:
        """(H, W) counts of any dtype -> (H, W) float32 kelvin by the radiometric parameters.

        Raises ImageError for false colour, which carries no temperature.
        """
        if image.ndim != 2:
            raise ImageError(f"image is {image.dtype} {image.shape}, expected (H, W) radiometric counts")
        kelvin = image.astype(np.float32)
        kelvin *= np.float32(self._config.kelvin_per_count)
        kelvin += np.float32(self._config.kelvin_offset)
        return kelvin

    def _black_and_white(self, grey: AnyImage, stamp_ns: int) -> tuple[float, float]:
        """The counts that become 0 and 255."""
        config = self._config
        if config.scaling == "fixed":
            return config.range_min, config.range_max
        if config.scaling == "radiometric" and config.has_range:
            return (
                (config.range_min - config.kelvin_offset) / config.kelvin_per_count,
                (config.range_max - config.kelvin_offset) / config.kelvin_per_count,
            )
        passes = grey.dtype == np.uint8 and not self._is_flat(grey.view(np.uint8))
        current = _WHOLE_RANGE if passes else self._percentiles(grey)
        self._range = self._smooth(self._range, current, (stamp_ns - self._stamp_ns) / 1e9)
        self._stamp_ns = stamp_ns
        return self._range

    def _is_flat(self, grey: Image) -> bool:
        """Whether an 8-bit image uses few of its grey levels, with hysteresis; announced once."""
        below = self._config.stretch_8bit_below * (_STAY_FLAT if self._flat else 1.0)
        levels = _levels(grey) if below else 0
        self._flat = _MIN_LEVELS <= levels < below
        if self._flat and not self._announced:
            self._announced = True
            log.info(
                "thermal images use only %d of 256 grey levels and are stretched "
                "(thermal.stretch_8bit_below: %d; 0 leaves them as they are)",
                levels, self._config.stretch_8bit_below,
            )  # fmt: skip
        return self._flat

    def _percentiles(self, grey: AnyImage) -> tuple[float, float]:
        stride = max(1, math.isqrt(grey.size // _PERCENTILE_SAMPLES))
        shares = (self._config.percentile_low, self._config.percentile_high)
        low, high = np.percentile(_without_dead(grey[::stride, ::stride]), shares)
        missing = max(0.0, self._config.min_span - float(high - low))
        return float(low) - missing / 2, float(high) + missing / 2

    def _smooth(
        self, smoothed: tuple[float, float] | None, current: tuple[float, float], elapsed_s: float
    ) -> tuple[float, float]:
        if smoothed is None or elapsed_s < 0 or _overlap(smoothed, current) < _NEW_SCENE_OVERLAP:
            return current
        tau = self._config.smoothing_s
        share = -math.expm1(-elapsed_s / tau) if tau > 0 else 1.0
        return (
            smoothed[0] + share * (current[0] - smoothed[0]),
            smoothed[1] + share * (current[1] - smoothed[1]),
        )


def _levels(grey: Image) -> int:
    """How many grey levels an (H, W) image spans, but for a few odd pixels."""
    # Every second row: half of the time for the same answer.
    rows = np.ascontiguousarray(grey[::2])
    counts = cv2.calcHist([rows], [0], None, [256], [0, 256]).ravel()
    below, odd = np.cumsum(counts), _ODD_SHARE * rows.size
    low, high = np.searchsorted(below, (odd, rows.size - odd), side="right")
    return int(high - low) + 1


def _without_dead(counts: AnyImage) -> AnyImage:
    """Of 16 bits, the pixels with neither the lowest nor the highest count there is; all if none is left.

    Those are dead, or a border, and would take the stretch for themselves.
    """
    if counts.dtype != np.uint16:
        return counts
    # One comparison for both ends: 0 minus 1 is 65535.
    alive = counts - np.uint16(1) < np.uint16(_TOP - 1)
    return counts if alive.all() else counts[alive] if alive.any() else counts


def _overlap(a: tuple[float, float], b: tuple[float, float]) -> float:
    """Intersection over union of two ranges, in [0, 1]."""
    return max(0.0, min(a[1], b[1]) - max(a[0], b[0])) / (max(a[1], b[1]) - min(a[0], b[0]))


def _stretch(grey: AnyImage, low: float, high: float) -> Image:
    scale = 255.0 / (high - low)
    # addWeighted is OpenCV's one-pass a * x + b that rounds and saturates from 16 to 8 bits.
    return np.asarray(cv2.addWeighted(grey, scale, grey, 0.0, -low * scale, dtype=cv2.CV_8U))
