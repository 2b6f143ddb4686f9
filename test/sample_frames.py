"""A few frames of two cameras, as tests feed them to the pipeline."""

from collections.abc import Iterator

import numpy as np

from ivfusion_ros.types import Frame


def make_frames(count: int = 10, size: tuple[int, int] = (96, 64)) -> Iterator[tuple[str, Frame]]:
    """Alternating frames of both cameras at 10 Hz; thermal is 16 bit and 4 ms later than RGB."""
    width, height = size
    random = np.random.default_rng(1)
    for index in range(count):
        stamp_ns = 1_000_000_000 + index * 100_000_000
        rgb = random.integers(0, 256, (height, width, 3), np.uint8)
        yield "rgb", Frame(rgb, stamp_ns, "rgb_optical_frame")
        thermal = random.integers(29000, 31000, (height, width), np.uint16)
        yield "thermal", Frame(thermal, stamp_ns + 4_000_000, "thermal_optical_frame")
