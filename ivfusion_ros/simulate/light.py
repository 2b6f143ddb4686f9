"""Daylight, street lamps and fog."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ivfusion_ros.simulate.texture import Colour
from ivfusion_ros.types import Floats, Floats32

LAMP_COLOUR = np.array([1.0, 0.80, 0.52])
LAMP_POWER = 8.0
"""Radiance that a lamp gives a white surface facing it at one metre; 1 is full daylight."""


@dataclass(frozen=True)
class Hour:
    """What a time of day means.

    ambient, sun: radiance of a white surface, per channel. sky_top, sky_low: gamma-coded RGB.
    lit_windows: share of windows with light. air_celsius: ambient temperature.
    """

    ambient: tuple[float, float, float]
    sun: tuple[float, float, float]
    sky_top: Colour
    sky_low: Colour
    lit_windows: float
    lamps: bool
    air_celsius: float


HOURS = {
    "day": Hour((0.52, 0.55, 0.60), (0.85, 0.80, 0.68), (104, 150, 205), (214, 224, 232), 0.0, False, 19.0),
    "dusk": Hour((0.085, 0.095, 0.135), (0.0, 0.0, 0.0), (44, 58, 100), (188, 128, 104), 0.4, True, 14.0),
    "night": Hour((0.0045, 0.0055, 0.010), (0.0, 0.0, 0.0), (8, 10, 20), (34, 32, 38), 0.3, True, 10.0),
}
SUN_DIRECTION = np.array([0.55, -0.75, -0.36])
"""From the scene to the sun."""


@dataclass(frozen=True, eq=False)
class Illumination:
    """Light that reaches a surface: sky, sun and street lamps at lamps (N, 3), metres."""

    hour: Hour
    lamps: Floats
    fog_per_m: float

    def at(self, points: Floats, normals: Floats | None = None) -> Floats:
        """Radiance (N, 3) of a white surface at points (N, 3), 1 for full light.

        normals: (N, 3); without them the surface is round, such as a person.
        """
        light = np.tile(np.array(self.hour.ambient), (len(points), 1))
        cosine = 0.5 if normals is None else np.maximum(normals @ SUN_DIRECTION, 0)[:, None]
        light += np.array(self.hour.sun) * cosine
        for lamp in self.lamps if self.hour.lamps else ():
            offset = lamp - points
            square = np.einsum("ij,ij->i", offset, offset)
            # The lamp head throws its light downwards.
            power = LAMP_POWER * np.maximum(-offset[:, 1], 0) ** 2 / square**2
            if normals is None:
                power *= 0.5
            else:
                power *= np.maximum(np.einsum("ij,ij->i", offset, normals), 0) / np.sqrt(square)
            light += power[:, None] * LAMP_COLOUR
        return light

    def in_fog(self, codes: Floats32, depth_m: npt.ArrayLike) -> Floats32:
        """Gamma-coded colours (..., 3), seen through depth_m of fog; depth broadcasts to codes."""
        if self.fog_per_m == 0:
            return codes
        # Rays that miss a panel have a negative depth.
        clear = np.exp(-self.fog_per_m * np.maximum(np.asarray(depth_m, np.float32), 0))
        veil = np.array([255 * np.sqrt(0.6 * value + 0.01) for value in self.hour.ambient], np.float32)
        return np.asarray(np.sqrt(codes**2 * clear + veil**2 * (1 - clear)), np.float32)
