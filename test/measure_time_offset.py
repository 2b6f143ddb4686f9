"""Errors of the clock offset on simulated and real images: python test/measure_time_offset.py.

The rig is turned by moving a window over the cameras' images; people and cars move in them as recorded.
Real images are the clips of ../shared/data/m3svd_video (30 fps), which are also judged as they are.
"""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING

import cv2
import numpy as np
from moving_rig import START_NS, Recording, small_simulator
from places import SHARED

from ivfusion_ros.sync.time_offset import TimeOffset, estimate_time_offset
from ivfusion_ros.types import Frame

if TYPE_CHECKING:
    from pathlib import Path

CLIPS = SHARED / "data" / "m3svd_video"
CLIP_HZ = 30.0
OFFSETS_MS = (-80.0, -13.0, 0.0, 47.0, 80.0)
RATES_HZ = ((9.0, 30.0), (25.0, 30.0), (30.0, 30.0), (30.0, 10.0))
AMPLITUDES = (0.03, 0.01, 0.003)


class Clip:
    """A recorded pair of films with the simulator's interface."""

    def __init__(self, name: str) -> None:
        self.thermal = [image[:, :, 0] for image in _read(CLIPS / "thermal" / name)]
        self.rgb = [image[:, :, ::-1] for image in _read(CLIPS / "rgb" / name)]

    def thermal_at(self, time_s: float) -> np.ndarray:
        return self.thermal[min(round(time_s * CLIP_HZ), len(self.thermal) - 1)]

    def rgb_at(self, time_s: float) -> np.ndarray:
        return self.rgb[min(round(time_s * CLIP_HZ), len(self.rgb) - 1)]

    def as_it_is(self) -> TimeOffset:
        stamps = [START_NS + round(index / CLIP_HZ * 1e9) for index in range(len(self.rgb))]
        thermal = [Frame(np.ascontiguousarray(image), at) for image, at in zip(self.thermal, stamps)]  # noqa: B905
        rgb = [Frame(np.ascontiguousarray(image), at) for image, at in zip(self.rgb, stamps)]  # noqa: B905
        return estimate_time_offset(thermal, rgb)


def _read(path: Path) -> list[np.ndarray]:
    film, images = cv2.VideoCapture(str(path)), []
    while (image := film.read()[1]) is not None:
        images.append(cv2.resize(image, (320, 240), interpolation=cv2.INTER_AREA))
    return images


def measure(label: str, scene: object, seconds: float) -> None:
    """Print a row per amplitude and pair of rates: errors in ms over all offsets."""
    for amplitude in AMPLITUDES:
        for thermal_hz, rgb_hz in RATES_HZ:
            errors, stated, frames, elapsed_s = [], [], 0, 0.0
            for index, clock_ms in enumerate(OFFSETS_MS):
                recording = Recording(
                    thermal_hz, rgb_hz, clock_ms, amplitude, min(seconds, 8.0), still=False, seed=index
                )
                thermal, rgb = recording.frames(scene)
                start = time.perf_counter()
                found = estimate_time_offset(thermal, rgb)
                elapsed_s += time.perf_counter() - start
                frames += len(thermal) + len(rgb)
                if found.offset_ns is not None and found.standard_error_ns is not None:
                    errors.append(found.offset_ns / 1e6 + clock_ms)
                    stated.append(found.standard_error_ns / 1e6)
            worst = f"{np.abs(errors).max():5.2f}" if errors else "    -"
            mean = f"{np.sqrt(np.mean(np.square(errors))):5.2f}" if errors else "    -"
            error = f"{np.mean(stated):5.2f}" if stated else "    -"
            print(
                f"{label:18s} {100 * amplitude:4.1f} % {thermal_hz:4.0f}/{rgb_hz:2.0f} Hz  "
                f"found {len(errors)}/{len(OFFSETS_MS)}  rms {mean}  worst {worst}  stated {error} ms  "
                f"{1e3 * elapsed_s / frames:.2f} ms a frame",
                flush=True,
            )


def measure_stated() -> None:
    """Whether the stated error is the real one: still street, four rates, two motions, six seeds."""
    simulator, errors = small_simulator(traffic=False), []
    for thermal_hz, rgb_hz in RATES_HZ:
        for seed, clock_ms in enumerate((*OFFSETS_MS, 21.0)):
            for amplitude in (0.02, 0.005):
                recording = Recording(thermal_hz, rgb_hz, clock_ms, amplitude, 8.0, seed=seed)
                found = estimate_time_offset(*recording.frames(simulator))
                if found.offset_ns is not None and found.standard_error_ns is not None:
                    errors.append((found.offset_ns / 1e6 + clock_ms, found.standard_error_ns / 1e6))
    error, stated = np.array(errors).T
    shares = [float((np.abs(error) < count * stated).mean()) for count in (1, 2, 3)]
    print(
        f"{len(error)} found: mean {error.mean():.2f}, rms {np.sqrt(np.mean(error**2)):.2f}, worst "
        f"{np.abs(error).max():.2f} ms; stated {stated.mean():.2f} ms; within 1, 2, 3 of it: "
        f"{', '.join(f'{share:.0%}' for share in shares)}",
        flush=True,
    )


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scenes", nargs="*", default=["day", "night", "clips"])
    scenes = parser.parse_args().scenes
    cv2.setNumThreads(1)
    if "stated" in scenes:
        measure_stated()
    for illumination in ("day", "dusk", "night"):
        if illumination in scenes:
            measure(f"simulated {illumination}", small_simulator(illumination), 8.0)
    for path in sorted((CLIPS / "rgb").glob("*.mp4")) if "clips" in scenes else ():
        clip = Clip(path.name)
        print(f"{path.stem} as it is: {clip.as_it_is()}", flush=True)
        measure(path.stem, clip, len(clip.rgb) / CLIP_HZ)


if __name__ == "__main__":
    main()
