"""Flat pictures with colour and temperature, drawn in metres."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ivfusion_ros.types import Floats, Floats32, Size

Colour = tuple[int, int, int]
"""RGB, 0 to 255, as a photo of the surface in full light shows it (gamma-coded)."""

HEAT_ZERO, HEAT_STEP = 25.0, 0.25
"""A sketch holds temperatures above ambient as 1 + (kelvin + HEAT_ZERO) / HEAT_STEP in a uint8."""
_SHIFT = 4


def heat_code(kelvin: float) -> int:
    """Temperature above ambient, -25 to +38 K, as a sketch's fourth channel; 0 is transparent."""
    return min(max(round(1 + (kelvin + HEAT_ZERO) / HEAT_STEP), 1), 255)


def tint(colour: Colour, factor: float) -> Colour:
    """A brighter or darker shade of a colour."""
    red, green, blue = (min(max(int(channel * factor), 0), 255) for channel in colour)
    return red, green, blue


class Texture:
    """A picture with transparency, and smaller versions of it.

    colour: (h, w, 4) float32, gamma-coded RGB 0..255 times alpha, and alpha 0..1.
    heat: (h, w, 2) float32, kelvin above ambient times alpha, and alpha; None where the thermal
    camera sees nothing of it.
    """

    def __init__(self, colour: Floats32, heat: Floats32 | None) -> None:
        self.colour = colour
        self.heat = heat
        self._levels: dict[tuple[int, int], Texture] = {(0, 0): self}

    @property
    def size(self) -> Size:
        """(width, height) in texels."""
        return int(self.colour.shape[1]), int(self.colour.shape[0])

    @cached_property
    def outline(self) -> Floats:
        """Points (N, 2) around the opaque part, as shares of width and height."""
        width, height = self.size
        opaque = np.pad((self.colour[:, :, 3] > 0.5).astype(np.uint8), 1)
        contours, _ = cv2.findContours(opaque, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        texels = np.vstack([contour[:, 0] for contour in contours]).astype(np.float64) - 1
        # Contours run through texel centres; the edge is half a texel further out.
        texels += 0.5 + 0.5 * np.sign(texels - np.array([width - 1, height - 1]) / 2)
        return texels / np.array([width, height], np.float64)

    def level(self, x: int, y: int) -> Texture:
        """This texture, averaged over 2^x by 2^y texels; computed once."""
        if (x, y) not in self._levels:
            width, height = self.size
            smaller = max(1, round(width / 2**x)), max(1, round(height / 2**y))
            heat = None if self.heat is None else _average(self.heat, smaller)
            self._levels[x, y] = Texture(_average(self.colour, smaller), heat)
        return self._levels[x, y]


class Sketch:
    """A canvas in metres, x right, y down, origin at the top left; starts transparent."""

    def __init__(self, width_m: float, height_m: float, pixels_per_m: float) -> None:
        self.scale = pixels_per_m
        shape = max(2, round(height_m * pixels_per_m)), max(2, round(width_m * pixels_per_m))
        self.canvas: npt.NDArray[np.uint8] = np.zeros((*shape, 4), np.uint8)

    def polygon(self, points: Sequence[tuple[float, float]], colour: Colour, heat: float) -> None:
        """Fill a polygon; heat in kelvin above ambient."""
        pixels = ((np.array(points, float) * self.scale - 0.5) * 2**_SHIFT).round().astype(np.int32)
        cv2.fillPoly(self.canvas, [pixels], (*colour, heat_code(heat)), shift=_SHIFT)

    def rectangle(self, x0: float, y0: float, x1: float, y1: float, colour: Colour, heat: float) -> None:
        """Fill a rectangle between two corners."""
        self.polygon([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], colour, heat)

    def ellipse(self, x: float, y: float, rx: float, ry: float, colour: Colour, heat: float) -> None:
        """Fill an upright ellipse."""
        angles = np.linspace(0, 2 * np.pi, 40, endpoint=False)
        points = zip(x + rx * np.cos(angles), y + ry * np.sin(angles), strict=True)
        self.polygon([(float(a), float(b)) for a, b in points], colour, heat)

    def limb(
        self,
        start: tuple[float, float],
        end: tuple[float, float],
        radii: tuple[float, float],
        colour: Colour,
        heat: float,
    ) -> None:
        """Fill the hull of two circles, e.g. an upper arm."""
        angles = np.linspace(0, 2 * np.pi, 16, endpoint=False)
        circle = np.stack([np.cos(angles), np.sin(angles)], axis=1)
        dots = np.vstack([np.array(start) + radii[0] * circle, np.array(end) + radii[1] * circle])
        hull = cv2.convexHull(dots.astype(np.float32))[:, 0]
        self.polygon([(float(x), float(y)) for x, y in hull], colour, heat)

    def texture(
        self,
        rng: np.random.Generator | None = None,
        cells: Sequence[int] = (),
        gains: Sequence[float] = (),
    ) -> Texture:
        """Finish, at half the resolution to smooth the edges.

        rng, cells, gains: of cloud_noise, which is added to the colour in grey levels and, a fiftieth
        of it, in kelvin.
        """
        height, width = self.canvas.shape[:2]
        half = max(1, width // 2), max(1, height // 2)
        # Transparent pixels are 0 in all channels, so averages are weighted with alpha by themselves.
        mean = _average(self.canvas, half)
        opaque = np.where(self.canvas[:, :, 3] > 0, np.uint8(255), np.uint8(0))
        alpha = _average(opaque, half) / np.float32(255)
        kelvin = (mean[:, :, 3] - alpha) * HEAT_STEP - HEAT_ZERO * alpha
        colour, heat = mean, np.asarray(np.stack([kelvin, alpha], axis=2), np.float32)
        colour[:, :, 3] = alpha
        if rng is not None:
            grain = cloud_noise(rng, half[1], half[0], cells, gains) * alpha
            colour[:, :, :3] = np.clip(colour[:, :, :3] + grain[:, :, None], 0, 255)
            heat[:, :, 0] += grain / 50
        return Texture(colour, heat)


def _average(picture: npt.NDArray[Any], size: Size) -> Floats32:
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.float32)


def cloud_noise(
    rng: np.random.Generator, height: int, width: int, cells: Sequence[int], gains: Sequence[float]
) -> Floats32:
    """Smooth noise around 0, (height, width): one octave per cell size in texels, with its deviation."""
    total = np.zeros((height, width), np.float32)
    for cell, gain in zip(cells, gains, strict=True):
        coarse = rng.standard_normal((height // cell + 2, width // cell + 2), np.float32)
        total += gain * cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return total


def glow_texture(size: int = 96, core: float = 0.12) -> Texture:
    """Light scattered around a lamp: white, fading out, additive (alpha 0), invisible to thermal."""
    axis = np.linspace(-1, 1, size, dtype=np.float32)
    x, y = np.meshgrid(axis, axis)
    radius = np.hypot(x, y)
    halo = (core / (core + radius)) ** 1.3 * np.clip(1 - radius, 0, 1)
    streak = 0.4 * np.exp(-np.abs(y) / 0.03) * np.clip(1 - np.abs(x), 0, 1) ** 1.5
    colour = np.zeros((size, size, 4), np.float32)
    colour[:, :, :3] = 255 * (halo + streak)[:, :, None]
    return Texture(colour, None)


def shade_texture(strength: float, size: int = 32) -> Texture:
    """A soft dark spot, for the ground under an object; invisible to thermal."""
    axis = np.linspace(-1, 1, size, dtype=np.float32)
    x, y = np.meshgrid(axis, axis)
    colour = np.zeros((size, size, 4), np.float32)
    colour[:, :, 3] = strength * np.clip(1.3 - 1.3 * np.maximum(np.abs(x), np.abs(y)) ** 2, 0, 1)
    return Texture(colour, None)
