"""A rig that is turned to and fro in front of the simulated street, and what its cameras record."""

from dataclasses import dataclass

import cv2
import numpy as np

from ivfusion_ros.simulate import RgbConfig, RigConfig, SceneConfig, Simulator, ThermalCameraConfig
from ivfusion_ros.types import Frame

START_NS = 1_700_000_000_000_000_000
_MARGIN = 0.125


def small_simulator(illumination: str = "day", *, seed: int = 3, traffic: bool = True) -> Simulator:
    """Cameras of 256x192 pixels without shutter events."""
    people, cars = (9, 6) if traffic else (0, 0)
    rig = RigConfig(
        rgb=RgbConfig(width=256, height=192),
        thermal=ThermalCameraConfig(width=256, height=192, shutter_interval_s=0.0),
    )
    scene = SceneConfig(seed=seed, illumination=illumination, people=people, cars=cars)
    return Simulator(scene, rig)


def uneven_path(times_s: np.ndarray, seed: int, amplitude: float) -> np.ndarray:
    """(N, 2) directions at times: eight sines of 0.2 to 2 Hz, image widths."""
    random = np.random.default_rng(seed)
    rates = random.uniform(0.2, 2.0, (8, 1))
    phases = random.uniform(0, 1, (2, 8, 1))
    waves = np.sin(2 * np.pi * (rates * times_s + phases)) / (1 + rates)
    return amplitude * np.stack([waves[0].sum(axis=0), 0.6 * waves[1].sum(axis=0)], axis=1)


@dataclass
class Recording:
    """Cameras at their own rates; clock_ms: the thermal clock minus the RGB clock.

    amplitude: of the motion, image widths (0.01 is half a degree). shutter: two freezes of 0.4 s.
    dropped: share of frames that got lost. still: the street's frames are all of time 0.
    """

    thermal_hz: float = 9.0
    rgb_hz: float = 30.0
    clock_ms: float = 0.0
    amplitude: float = 0.02
    seconds: float = 10.0
    jitter_ms: float = 0.5
    shutter: bool = True
    dropped: float = 0.03
    still: bool = True
    seed: int = 5

    def frames(self, simulator: Simulator) -> tuple[list[Frame], list[Frame]]:
        """Thermal and RGB frames; the thermal camera has another zoom and is rolled by 4 degrees."""
        random = np.random.default_rng(self.seed)
        thermal = self._record(simulator.thermal_at, self.thermal_hz, 0.013, 0.85, 4.0, random)
        if self.shutter:
            thermal = _freeze(thermal, (3.0, 7.0), 0.4)
        rgb = self._record(simulator.rgb_at, self.rgb_hz, 0.0, 1.0, 0.0, random)
        return _stamped(thermal, self.clock_ms, self.jitter_ms, random), _stamped(
            rgb, 0.0, self.jitter_ms, random
        )

    def lagging_thermal(self, simulator: Simulator, lag_ms: float) -> list[Frame]:
        """Thermal frames of a still street as pixels with that time constant show them, every 3 ms."""
        random = np.random.default_rng(self.seed)
        street, step_s = simulator.thermal_at(0.0), 0.003
        times = np.arange(0.0, self.seconds, step_s)
        places, share = uneven_path(times, self.seed, self.amplitude), 1 - np.exp(-1e3 * step_s / lag_ms)
        warm, shots, due_s = None, [], 0.1
        for time_s, place in zip(times, places, strict=True):
            seen = _shoot(street, place, 0.85, 4.0, 0.0, random).astype(np.float32)
            warm = seen if warm is None else warm + share * (seen - warm)
            if time_s >= due_s:
                due_s += 1 / self.thermal_hz
                noise = 5.0 * random.standard_normal(warm.shape, np.float32)
                shots.append((time_s, (warm + noise).astype(np.uint16)))
        return _stamped(shots, self.clock_ms, self.jitter_ms, random)

    def rolling_rgb(self, simulator: Simulator, readout_ms: float, bands: int = 8) -> list[Frame]:
        """RGB frames of a still street that are read row by row from their stamp on."""
        random = np.random.default_rng(self.seed)
        street, shots = simulator.rgb_at(0.0), []
        for time_s in np.arange(0.0, self.seconds, 1 / self.rgb_hz):
            times = time_s + 1e-3 * readout_ms * (np.arange(bands) + 0.5) / bands
            places = uneven_path(times, self.seed, self.amplitude)
            seen = [_shoot(street, place, 1.0, 0.0, 4.0, random) for place in places]
            edges = np.linspace(0, len(seen[0]), bands + 1).astype(int)
            parts = [image[top:end] for image, top, end in zip(seen, edges, edges[1:], strict=False)]
            shots.append((time_s, np.concatenate(parts)))
        return _stamped(shots, 0.0, self.jitter_ms, random)

    def _record(self, image_at, rate_hz, first_s, zoom, roll_deg, random):
        times = np.arange(first_s, self.seconds, 1 / rate_hz)
        times = times[random.uniform(size=len(times)) >= self.dropped]
        places = uneven_path(times, self.seed, self.amplitude)
        street = image_at(0.0)
        noise = 4.0 if street.dtype == np.uint8 else 5.0
        shots = []
        for time_s, place in zip(times, places, strict=True):
            scene = street if self.still else image_at(float(time_s))
            shots.append((time_s, _shoot(scene, place, zoom, roll_deg, noise, random)))
        return shots


def _shoot(street, place, zoom, roll_deg, noise, random):
    height, width = street.shape[:2]
    size = (round(width * (1 - 2 * _MARGIN)), round(height * (1 - 2 * _MARGIN)))
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), roll_deg, 1.0)
    # The picture turns with the camera, so the motion is turned as well.
    move = np.array([[1, 0, _MARGIN * width], [0, 1, _MARGIN * height], [0, 0, 1]])
    move[:2, 2] += zoom * width * turn[:, :2] @ place
    matrix = np.vstack([turn, [0, 0, 1]]) @ move
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    seen = cv2.warpAffine(
        street.astype(np.float32), matrix[:2], size, flags=flags, borderMode=cv2.BORDER_REFLECT
    )
    seen += noise * random.standard_normal(seen.shape, np.float32)
    return np.clip(seen, 0, np.iinfo(street.dtype).max).astype(street.dtype)


def _freeze(shots, starts_s, length_s):
    frozen = []
    for time_s, image in shots:
        closed = any(start <= time_s < start + length_s for start in starts_s)
        frozen.append((time_s, frozen[-1][1] if closed else image))
    return frozen


def _stamped(shots, clock_ms, jitter_ms, random):
    return [
        Frame(image, START_NS + round(time_s * 1e9 + 1e6 * (clock_ms + jitter_ms * noise)))
        for (time_s, image), noise in zip(shots, random.standard_normal(len(shots)), strict=True)
    ]
