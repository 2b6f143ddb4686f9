"""What the electronics add: noise, fixed pattern, drift, shutter, exposure, clocks.

Random numbers depend on the seed, the camera and the time of exposure alone, never on what was asked
for before.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from ivfusion_ros.simulate.scenario import RgbConfig, ThermalCameraConfig
    from ivfusion_ros.types import Floats32, Image

KELVIN_PER_COUNT = 0.01
_THERMAL, _RGB = 1, 2
_BANK_LENGTH = 1 << 21


class ThermalSensor:
    """Temperatures to uint16 counts of KELVIN_PER_COUNT."""

    def __init__(self, config: ThermalCameraConfig, seed: int, air_celsius: float) -> None:
        self.config = config
        self._seed = seed
        self._air_kelvin = air_celsius + 273.15
        rng = np.random.default_rng([seed, _THERMAL])
        self._bank = _noise_bank(rng, config.width * config.height)
        shape = config.height, config.width
        columns = rng.standard_normal((1, config.width), np.float32)
        pixels = rng.standard_normal(shape, np.float32)
        # Three quarters of the pattern's variance is in the columns, as readout makes it.
        self._pattern = config.pattern_counts * (math.sqrt(0.75) * columns + 0.5 * pixels)

    def exposure_time(self, time_s: float) -> float:
        """When the image that is sent at time_s was taken: earlier while the shutter is closed."""
        start = self._last_shutter(time_s)
        if start is None or time_s >= start + self.config.shutter_length_s - 1e-9:
            return time_s
        return (math.ceil(start * self.config.rate_hz - 1e-6) - 1) / self.config.rate_hz

    def expose(self, kelvin: Floats32, time_s: float) -> npt.NDArray[np.uint16]:
        """Counts (H, W) of an image in kelvin above ambient, taken at time_s."""
        config = self.config
        blurred = cv2.GaussianBlur(kelvin, (5, 5), 0.6)
        offset = self._air_kelvin / KELVIN_PER_COUNT + self._drift(time_s)
        counts = np.asarray(blurred, np.float32) * np.float32(1 / KELVIN_PER_COUNT)
        counts += self._pattern
        rng = _frame_rng(self._seed, _THERMAL, time_s)
        noise = _noise(self._bank, rng, counts.shape)
        counts += np.float32(config.noise_counts) * noise
        counts += np.float32(offset + 0.5)
        return np.asarray(np.clip(counts, 0, 65535).astype(np.uint16))

    def _drift(self, time_s: float) -> float:
        start = self._last_shutter(time_s)
        since = 0.0 if start is None else start + self.config.shutter_length_s
        return self.config.drift_counts_per_s * (time_s - since)

    def _last_shutter(self, time_s: float) -> float | None:
        interval = self.config.shutter_interval_s
        index = math.floor(time_s / interval + 1e-9) if interval > 0 else 0
        return index * interval if index > 0 else None


class RgbSensor:
    """Gamma-coded radiance to uint8 RGB."""

    def __init__(self, config: RgbConfig, seed: int, gain: float) -> None:
        self.config = config
        self._seed = seed
        self._gain = gain
        self._bank = _noise_bank(np.random.default_rng([seed, _RGB]), config.width * config.height * 3)

    def expose(self, picture: Floats32, time_s: float) -> Image:
        """(H, W, 3) uint8 of a gamma-coded picture, taken at time_s."""
        gain = self._gain
        if self.config.auto_exposure:
            mean = float(picture[::8, ::8].mean()) * gain
            gain *= float(np.clip(105.0 / max(mean, 1.0), 0.6, 1.5))
        rng = _frame_rng(self._seed, _RGB, time_s)
        # The square root of a Poisson variable has constant variance: so has noise after gamma.
        noise = _noise(self._bank, rng, picture.shape)
        exposed = cv2.addWeighted(picture, gain, noise, self.config.noise_levels, 0.0)
        return np.asarray(cv2.convertScaleAbs(np.maximum(exposed, 0, out=exposed)), np.uint8)


def stamp_ns(
    start_ns: int, time_s: float, offset_ms: float, jitter_ms: float, seed: int, camera: str
) -> int:
    """Stamp of the image sent at time_s by a clock with an offset; the jitter ends at three sigma."""
    rng = _frame_rng(seed, 10 + (_THERMAL if camera == "thermal" else _RGB), time_s)
    jitter = jitter_ms * float(np.clip(rng.standard_normal(), -3, 3))
    return start_ns + round(time_s * 1e9) + round((offset_ms + jitter) * 1e6)


def _frame_rng(seed: int, stream: int, time_s: float) -> np.random.Generator:
    return np.random.default_rng([seed, stream, round(time_s * 1e6) + 2**40])


def _noise_bank(rng: np.random.Generator, length: int) -> Floats32:
    """Normal numbers from which each frame takes a random run: 20 times faster than drawing again."""
    return rng.standard_normal(max(_BANK_LENGTH, 2 * length), np.float32)


def _noise(bank: Floats32, rng: np.random.Generator, shape: tuple[Any, ...]) -> Floats32:
    length = math.prod(shape)
    start = int(rng.integers(len(bank) - length))
    return bank[start : start + length].reshape(shape)
