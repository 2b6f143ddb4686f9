"""Road and pavements: asphalt, kerbs, slabs, markings, covers, cracks."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from ivfusion_ros.simulate.texture import Sketch, Texture

X_MIN, X_MAX = -15.0, 5.0
"""Extent of the drawn ground across the street, metres in the world."""
ROAD_LEFT_X, ROAD_RIGHT_X = -10.2, -1.4
PARKING_X = -8.2
"""Between here and ROAD_LEFT_X cars park."""
ZEBRA_Z = (11.2, 14.0)
CROSS_STREET_Z = (45.0, 53.0)
_FAR_Z = 140.0


def draw_ground(rng: np.random.Generator, near_z: float, far_z: float, pixels_per_m: float) -> Texture:
    """The strip of ground between two distances, far edge at the top.

    The same generator state gives the same street, whichever strip of it is asked for.
    """
    sketch = Sketch(X_MAX - X_MIN, far_z - near_z, 2 * pixels_per_m)
    strip = _Strip(sketch, near_z, far_z)
    _draw_surfaces(strip)
    _draw_wear(rng, strip)
    _draw_markings(strip)
    grain_m = np.array([0.03, 0.12, 0.8])
    cells = np.maximum(1, grain_m * pixels_per_m).astype(int).tolist()
    return sketch.texture(rng, cells, (5.0, 3.0, 4.0))


class _Strip:
    """Draws by world x and z."""

    def __init__(self, sketch: Sketch, near_z: float, far_z: float) -> None:
        self.sketch = sketch
        self.near_z, self.far_z = near_z, far_z

    def box(
        self, x0: float, x1: float, z0: float, z1: float, grey: tuple[int, int, int], heat: float
    ) -> None:
        self.sketch.rectangle(x0 - X_MIN, self.far_z - z1, x1 - X_MIN, self.far_z - z0, grey, heat)

    def disc(self, x: float, z: float, radius: float, grey: tuple[int, int, int], heat: float) -> None:
        self.sketch.ellipse(x - X_MIN, self.far_z - z, radius, radius, grey, heat)

    def line(self, points: list[tuple[float, float]], radius: float, grey: int, heat: float) -> None:
        if not any(self.near_z - 1 < z < self.far_z + 1 for _, z in points):
            return
        dots = [(x - X_MIN, self.far_z - z) for x, z in points]
        for start, end in pairwise(dots):
            self.sketch.limb(start, end, (radius, radius), (grey, grey, grey), heat)


def _draw_surfaces(strip: _Strip) -> None:
    strip.box(X_MIN, X_MAX, strip.near_z - 1, strip.far_z + 1, (138, 132, 126), 0.6)
    for x0, x1 in ((X_MIN, ROAD_LEFT_X), (ROAD_RIGHT_X, X_MAX)):
        for z in np.arange(np.floor(strip.near_z / 0.9) * 0.9, strip.far_z, 0.9):
            strip.box(x0, x1, z, z + 0.05, (98, 94, 90), 1.2)
        for x in np.arange(x0, x1, 0.9):
            strip.box(x, x + 0.05, strip.near_z, strip.far_z, (98, 94, 90), 1.2)
    strip.box(ROAD_LEFT_X, ROAD_RIGHT_X, strip.near_z - 1, strip.far_z + 1, (88, 88, 92), 3.0)
    strip.box(ROAD_LEFT_X, PARKING_X, strip.near_z - 1, strip.far_z + 1, (100, 98, 98), 2.3)
    for x in (ROAD_LEFT_X - 0.25, ROAD_RIGHT_X):
        strip.box(x, x + 0.25, strip.near_z - 1, strip.far_z + 1, (166, 162, 156), 1.4)
        for z in np.arange(np.floor(strip.near_z), strip.far_z):
            strip.box(x, x + 0.25, z, z + 0.03, (110, 106, 102), 1.8)
    strip.box(X_MIN, X_MAX, *CROSS_STREET_Z, (90, 90, 94), 2.8)


def _draw_wear(rng: np.random.Generator, strip: _Strip) -> None:
    """Repairs, covers and cracks, at the same places in every strip."""
    for _ in range(45):
        x, z = rng.uniform(ROAD_LEFT_X, ROAD_RIGHT_X - 1.5), rng.uniform(2, _FAR_Z)
        tone, heat = int(rng.integers(70, 104)), float(rng.uniform(2.4, 3.6))
        width, length = rng.uniform(0.5, 1.5), rng.uniform(0.6, 3.0)
        strip.box(x, x + width, z, z + length, (tone, tone, tone + 3), heat)
    for z in rng.uniform(3, _FAR_Z, 30):
        x = float(rng.choice([-3.1, -6.4, 0.9]))
        strip.disc(x, z, 0.36, (64, 62, 60), 5.5)
        strip.disc(x, z, 0.27, (82, 78, 74), 6.5)
    for _ in range(70):
        x, z = rng.uniform(ROAD_LEFT_X, ROAD_RIGHT_X), rng.uniform(2, _FAR_Z)
        steps = np.cumsum(rng.normal(0, (0.35, 0.3), (7, 2)), axis=0)
        crack = [(float(x + dx), float(z + dz)) for dx, dz in steps if x + dx < ROAD_RIGHT_X]
        strip.line(crack, 0.018, 52, 3.6)


def _draw_markings(strip: _Strip) -> None:
    white, heat = (206, 204, 198), 2.2
    for z in np.arange(20.0, CROSS_STREET_Z[0] - 2, 4.5):
        strip.box(-4.86, -4.74, z, z + 2.4, white, heat)
    for z in np.arange(CROSS_STREET_Z[1] + 2, _FAR_Z, 4.5):
        strip.box(-4.86, -4.74, z, z + 2.4, white, heat)
    for x in np.arange(PARKING_X + 0.2, ROAD_RIGHT_X - 0.5, 1.0):
        strip.box(x, x + 0.5, *ZEBRA_Z, white, heat)
    strip.box(PARKING_X, -4.9, 15.2, 15.6, white, heat)
    strip.box(-4.7, ROAD_RIGHT_X, 9.6, 10.0, white, heat)
    strip.box(PARKING_X - 0.05, PARKING_X + 0.05, 16, CROSS_STREET_Z[0] - 2, white, heat)
