"""Frames that have nothing but stamps, and how they are fed to a Pairer."""

from dataclasses import dataclass

import numpy as np

from ivfusion_ros.config.pipeline import PairingConfig
from ivfusion_ros.sync.pairing import Pairer

MS = 1_000_000


@dataclass(frozen=True, eq=False)
class Stamped:
    """The only thing that pairing may look at."""

    stamp_ns: int


def frames(*stamps_ms):
    return [Stamped(round(stamp * MS)) for stamp in stamps_ms]


def feed(pairer, arrivals):
    """Arrivals are (camera, frame); returns the pairs."""
    return [pair for camera, frame in arrivals for pair in pairer.add(camera, frame)]


def in_time_order(thermals, rgbs, thermal_delay_ms=0):
    arrivals = [("thermal", frame, frame.stamp_ns + thermal_delay_ms * MS) for frame in thermals]
    arrivals += [("rgb", frame, frame.stamp_ns) for frame in rgbs]
    return [arrival[:2] for arrival in sorted(arrivals, key=lambda arrival: arrival[2])]


def run(arrivals, config=None):
    pairer = Pairer(config or PairingConfig())
    return pairer, feed(pairer, arrivals) + pairer.flush()


def stamps_ms(pairs):
    return [(pair.thermal.stamp_ns / MS, pair.rgb.stamp_ns / MS) for pair in pairs]


def regular(rate_hz, seconds, phase_ms=0.0, jitter=0.0, seed=0):
    """Frames of a camera; jitter is the largest shift of a stamp in periods."""
    count = int(rate_hz * seconds)
    shifts = np.random.default_rng(seed).uniform(-jitter, jitter, count)
    return frames(*(phase_ms + (np.arange(count) + shifts) * 1000 / rate_hz))
