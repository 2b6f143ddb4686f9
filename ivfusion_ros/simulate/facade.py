"""House fronts: windows, shops, bricks; and which of their windows are lit."""

from __future__ import annotations

import numpy as np

from ivfusion_ros.simulate.texture import Colour, Sketch, Texture, tint

_WALLS: tuple[Colour, ...] = (
    (168, 96, 76),
    (196, 178, 150),
    (150, 148, 146),
    (206, 196, 178),
    (132, 84, 70),
    (176, 158, 128),
    (118, 128, 140),
)
_SHOP_LIGHTS: tuple[Colour, ...] = ((255, 226, 176), (236, 240, 255), (255, 190, 130), (200, 232, 255))
_GLASS: Colour = (58, 68, 82)
_STOREY_M, _SHOP_M = 3.1, 3.6


def draw_facade(
    rng: np.random.Generator, width_m: float, height_m: float, pixels_per_m: float, lit_share: float
) -> tuple[Texture, Texture | None]:
    """A front of width_m by height_m: the wall, and the light of its windows (None if all are dark)."""
    scale = 2 * pixels_per_m
    wall, lights = Sketch(width_m, height_m, scale), Sketch(width_m, height_m, scale)
    colour = _WALLS[rng.integers(len(_WALLS))]
    warmth = float(rng.uniform(1.0, 3.0))
    wall.rectangle(-1, -1, width_m + 1, height_m + 1, colour, warmth)
    if pixels_per_m > 30:  # finer than the image elsewhere
        _draw_bricks(rng, wall, colour, warmth)
    storeys = max(1, int((height_m - _SHOP_M - 0.6) / _STOREY_M))
    for storey in range(storeys):
        foot = height_m - _SHOP_M - storey * _STOREY_M - 0.75
        _draw_storey(rng, (wall, lights), foot, warmth, lit_share, colour)
    _draw_shops(rng, (wall, lights), height_m, warmth, lit_share)
    wall.rectangle(0, 0, width_m, 0.35, tint(colour, 0.7), warmth - 2.0)
    wall.rectangle(0, 0.35, width_m, 0.45, tint(colour, 1.2), warmth - 1.0)
    for side in (0.0, width_m - 0.12):  # rain pipes between the houses
        wall.rectangle(side, 0, side + 0.12, height_m, tint(colour, 0.55), warmth - 1.2)
    glass = lights.texture()
    lit = bool(glass.colour[:, :, 3].any())
    return wall.texture(rng, (2, 6, 45), (3.0, 3.0, 6.0)), Texture(glass.colour, None) if lit else None


def _draw_bricks(rng: np.random.Generator, wall: Sketch, colour: Colour, warmth: float) -> None:
    """Courses of 0.25 m as slightly different stripes; finer ones would not be seen."""
    height, width = np.array(wall.canvas.shape[:2]) / wall.scale
    for course, top in enumerate(np.arange(0, height, 0.25)):
        wall.rectangle(0, top, width, top + 0.03, tint(colour, 0.86), warmth - 0.25)
        for joint in np.arange((course % 2) * 0.35, width, 0.7):
            wall.rectangle(joint, top, joint + 0.03, top + 0.25, tint(colour, 0.88), warmth - 0.25)
        for _ in range(2):
            left, tone = float(rng.uniform(0, width)), float(rng.uniform(0.8, 1.15))
            wall.rectangle(left, top + 0.03, left + 0.67, top + 0.25, tint(colour, tone), warmth)


def _draw_storey(
    rng: np.random.Generator,
    sketches: tuple[Sketch, Sketch],
    foot: float,
    warmth: float,
    lit_share: float,
    colour: Colour,
) -> None:
    wall, lights = sketches
    house_width = wall.canvas.shape[1] / wall.scale
    count = max(1, int(house_width / 2.5))
    frame = tint(colour, 1.35) if sum(colour) < 420 else (236, 232, 224)
    for index in range(count):
        centre = (index + 0.5) * house_width / count
        left, right, top = centre - 0.55, centre + 0.55, foot - 1.6
        wall.rectangle(left - 0.13, top - 0.13, right + 0.13, foot + 0.05, frame, warmth + 0.6)
        wall.rectangle(left - 0.22, foot, right + 0.22, foot + 0.12, tint(frame, 0.8), warmth - 0.5)
        lit = rng.uniform() < lit_share
        heat = warmth + float(rng.choice([-3.5, -2.5, 1.5]))
        glass = tint(_GLASS, float(rng.uniform(0.7, 1.4)))
        lamp, blind = tint((255, 206, 138), float(rng.uniform(0.45, 0.85))), float(rng.choice([0, 0, 0.5]))
        for x0, x1 in ((left, centre - 0.04), (centre + 0.04, right)):
            wall.rectangle(x0, top, x1, foot, glass, warmth + 3.5 if lit else heat)
            if lit:
                lights.rectangle(x0, top + blind, x1, foot, lamp, 0.0)


def _draw_shops(
    rng: np.random.Generator,
    sketches: tuple[Sketch, Sketch],
    height_m: float,
    warmth: float,
    lit_share: float,
) -> None:
    wall, lights = sketches
    house_width = wall.canvas.shape[1] / wall.scale
    count = max(1, round(house_width / 5.0))
    for index in range(count):
        left, right = (index + 0.08) * house_width / count, (index + 0.92) * house_width / count
        top, foot = height_m - _SHOP_M + 0.9, height_m - 0.45
        sign = int(rng.integers(40, 200)), int(rng.integers(40, 160)), int(rng.integers(40, 160))
        wall.rectangle(left, top - 0.75, right, top - 0.1, sign, warmth + 0.3)
        _draw_letters(rng, wall, (left + right) / 2, top - 0.2, warmth)
        wall.rectangle(left, top, right, height_m, (70, 66, 62), warmth + 0.4)
        door = left + 1.15
        lit = rng.uniform() < 1.2 * lit_share
        light = _SHOP_LIGHTS[rng.integers(len(_SHOP_LIGHTS))]
        goods = [
            (x, rng.uniform(0.4, 1.3)) for x in rng.uniform(door + 0.2, max(door + 0.3, right - 0.9), 5)
        ]
        pane_heat = warmth + (4.5 if lit else -1.5)
        panes = (left + 0.12, door - 0.12, height_m - 0.08), (door + 0.1, right - 0.12, foot)
        for x0, x1, bottom in panes:
            _draw_pane(wall, (x0, x1), (top + 0.1, bottom), pane_heat)
            if lit:
                lights.rectangle(x0, top + 0.1, x1, bottom, tint(light, 0.52), 0.0)
        for x, size in goods if lit else ():
            lights.rectangle(x, foot - size, x + 0.45, foot, tint(light, 0.3), 0.0)


def _draw_pane(wall: Sketch, sides: tuple[float, float], ends: tuple[float, float], heat: float) -> None:
    """Glass with slanted reflections."""
    (left, right), (top, foot) = sides, ends
    wall.rectangle(left, top, right, foot, _GLASS, heat)
    for start in np.arange(left + 0.3, right - 0.9, 1.3):
        streak = [(start + 0.5, top), (start + 0.9, top), (start + 0.4, foot), (start, foot)]
        wall.polygon(streak, tint(_GLASS, 1.25), heat - 0.3)


def _draw_letters(
    rng: np.random.Generator, wall: Sketch, centre: float, foot: float, warmth: float
) -> None:
    widths = rng.uniform(0.12, 0.3, int(rng.integers(5, 9)))
    ink: Colour = (232, 228, 214)
    start = centre - (widths.sum() + 0.1 * len(widths)) / 2
    for width in widths:
        wall.rectangle(start, foot - 0.4, start + 0.06, foot, ink, warmth - 0.4)
        level = foot - float(rng.choice([0.4, 0.22, 0.06]))
        wall.rectangle(start, level, start + width, level + 0.06, ink, warmth - 0.4)
        start += width + 0.1
