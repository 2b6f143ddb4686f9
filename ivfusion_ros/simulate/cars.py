"""A car from flat pieces: body sides, ends, glass, lamps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ivfusion_ros.simulate.texture import Colour, Sketch, Texture, tint

WIDTH_M, HEIGHT_M, LENGTH_M = 1.8, 1.46, 4.3
_PAINTS: tuple[Colour, ...] = (
    (176, 178, 182),
    (54, 56, 60),
    (150, 34, 34),
    (44, 72, 132),
    (222, 222, 218),
    (92, 108, 98),
    (120, 100, 78),
)
_GLASS: Colour = (52, 60, 70)
_TYRE: Colour = (30, 30, 32)
_DENSITY = 220
"""Pixels per metre while drawing."""

Corner = tuple[float, float, float]
"""Along (0 at the nose, backwards), aside (0 at the driver's right, leftwards), above the road; metres."""


@dataclass(frozen=True, eq=False)
class Piece:
    """A texture and where it sits: its top left corner, top right and bottom left, seen from outside."""

    texture: Texture
    top_left: Corner
    top_right: Corner
    bottom_left: Corner
    lamp: bool = False


def random_paint(rng: np.random.Generator) -> Colour:
    """A colour that cars have."""
    return _PAINTS[rng.integers(len(_PAINTS))]


def build_car(rng: np.random.Generator, paint: Colour, warm: bool, lamps: bool) -> list[Piece]:
    """All pieces of a car, hidden ones first where two overlap.

    warm: it has been driven, so bonnet, tyres and underside are hot. lamps: they are on.
    """
    body = 2.5 if warm else -0.5
    bonnet = 14.0 if warm else -1.0
    right, left = _draw_side(rng, paint, body, warm), _draw_side(rng, paint, body, warm, mirrored=True)
    front, front_light = _draw_front(paint, body, warm)
    rear, rear_light = _draw_rear(paint, body, warm)
    roof = _draw_plate(paint, body - 4.0)
    glass = _draw_glass(paint, body)
    pieces = [
        Piece(roof, (1.75, 1.76, 1.46), (1.75, 0.04, 1.46), (3.35, 1.76, 1.46)),
        Piece(glass, (1.78, 0.04, 1.45), (1.78, 1.76, 1.45), (1.02, 0.04, 0.92)),
        Piece(glass, (3.35, 1.76, 1.45), (3.35, 0.04, 1.45), (3.95, 1.76, 0.95)),
        Piece(_draw_plate(paint, bonnet), (0.03, 1.76, 0.76), (0.03, 0.04, 0.76), (1.05, 1.76, 0.93)),
        Piece(_draw_plate(paint, body), (3.92, 1.76, 0.96), (3.92, 0.04, 0.96), (4.28, 1.76, 0.93)),
        Piece(right, (4.3, 0.0, 1.46), (0.0, 0.0, 1.46), (4.3, 0.0, 0.0)),
        Piece(left, (0.0, 1.8, 1.46), (4.3, 1.8, 1.46), (0.0, 1.8, 0.0)),
        Piece(front, (0.0, 0.0, 0.8), (0.0, 1.8, 0.8), (0.0, 0.0, 0.0)),
        Piece(rear, (4.3, 1.8, 0.98), (4.3, 0.0, 0.98), (4.3, 1.8, 0.0)),
    ]
    if lamps:
        pieces.append(
            Piece(front_light, (-0.01, 0.0, 0.8), (-0.01, 1.8, 0.8), (-0.01, 0.0, 0.0), lamp=True)
        )
        pieces.append(Piece(rear_light, (4.31, 1.8, 0.98), (4.31, 0.0, 0.98), (4.31, 1.8, 0.0), lamp=True))
    return pieces


def _draw_side(
    rng: np.random.Generator, paint: Colour, body: float, warm: bool, mirrored: bool = False
) -> Texture:
    """Seen from the right, nose to the right; mirrored for the left."""
    sketch = Sketch(LENGTH_M, HEIGHT_M, _DENSITY)
    outline = [
        (0.03, 1.22), (0.0, 0.62), (0.05, 0.5), (0.38, 0.49), (0.95, 0.02), (1.15, 0.0), (2.35, 0.0),
        (2.58, 0.03), (3.26, 0.5), (3.9, 0.58), (4.2, 0.68), (4.3, 0.86), (4.28, 1.22),
    ]  # fmt: skip
    sketch.polygon(outline, paint, body)
    sketch.rectangle(0.05, 1.08, 4.26, 1.22, tint(paint, 0.5), body + 1.0)
    if warm:  # the engine shines through its lid
        sketch.polygon([(3.3, 0.52), (3.9, 0.59), (4.15, 0.68), (4.15, 0.8), (3.3, 0.8)], paint, body + 6)
    for panes in (
        [(0.52, 0.48), (1.0, 0.08), (1.66, 0.07), (1.66, 0.48)],
        [(1.74, 0.48), (1.74, 0.07), (2.34, 0.07), (2.5, 0.1), (3.05, 0.48)],
    ):
        sketch.polygon(panes, _GLASS, body - 5.0)
    for x in (1.70, 2.78):
        sketch.rectangle(x, 0.5, x + 0.02, 1.08, tint(paint, 0.5), body - 0.8)
    for x in (1.5, 2.5):
        sketch.rectangle(x, 0.6, x + 0.16, 0.64, tint(paint, 0.5), body - 0.5)
    tyre = 13.0 if warm else 1.0
    for x in (0.82, 3.42):
        sketch.ellipse(x, 1.13, 0.38, 0.37, (18, 18, 20), body + 2)
        sketch.ellipse(x, 1.14, 0.32, 0.32, _TYRE, tyre)
        sketch.ellipse(x, 1.14, 0.20, 0.20, (146, 148, 150), tyre + (7 if warm else -1))
        sketch.ellipse(x, 1.14, 0.07, 0.07, (70, 72, 74), tyre + (4 if warm else -1))
    if mirrored:
        sketch.canvas = np.ascontiguousarray(sketch.canvas[:, ::-1])
    return sketch.texture(rng, (4, 30), (2.0, 6.0))


def _draw_front(paint: Colour, body: float, warm: bool) -> tuple[Texture, Texture]:
    sketch, light = Sketch(WIDTH_M, 0.8, _DENSITY), Sketch(WIDTH_M, 0.8, _DENSITY)
    _draw_underside(sketch, 0.8, warm)
    sketch.polygon(
        [(0.06, 0.0), (1.74, 0.0), (1.8, 0.16), (1.8, 0.6), (0.0, 0.6), (0.0, 0.16)], paint, body + 2
    )
    sketch.rectangle(0.5, 0.12, 1.3, 0.3, (24, 24, 26), 16.0 if warm else 0.0)
    sketch.rectangle(0.35, 0.44, 1.45, 0.54, (26, 26, 28), 12.0 if warm else 0.0)
    sketch.rectangle(0.64, 0.34, 1.16, 0.43, (226, 226, 216), body)
    for x in (0.06, 1.34):
        sketch.rectangle(x, 0.1, x + 0.4, 0.27, (188, 192, 196), 9.0 if warm else body)
        light.ellipse(x + 0.2, 0.185, 0.17, 0.085, (255, 250, 236), 0)
    return sketch.texture(), Texture(light.texture().colour, None)


def _draw_rear(paint: Colour, body: float, warm: bool) -> tuple[Texture, Texture]:
    sketch, light = Sketch(WIDTH_M, 0.98, _DENSITY), Sketch(WIDTH_M, 0.98, _DENSITY)
    _draw_underside(sketch, 0.98, warm)
    sketch.polygon(
        [(0.05, 0.0), (1.75, 0.0), (1.8, 0.2), (1.8, 0.78), (0.0, 0.78), (0.0, 0.2)], paint, body
    )
    sketch.rectangle(0.05, 0.58, 1.75, 0.64, tint(paint, 0.5), body + 0.5)
    sketch.rectangle(0.64, 0.38, 1.16, 0.49, (226, 222, 200), body)
    for x in (0.03, 1.43):
        sketch.rectangle(x, 0.16, x + 0.34, 0.36, (140, 22, 22), body + 2)
        light.rectangle(x + 0.03, 0.19, x + 0.31, 0.33, (240, 40, 30), 0)
    if warm:
        sketch.ellipse(1.45, 0.84, 0.07, 0.05, (40, 38, 36), 36.0)
    return sketch.texture(), Texture(light.texture().colour, None)


def _draw_underside(sketch: Sketch, height: float, warm: bool) -> None:
    """Tyres, and the gap between them, which is dark to the eye and warm to the thermal camera."""
    sketch.rectangle(0.1, height - 0.25, 1.7, height - 0.1, (16, 16, 18), 9.0 if warm else 1.0)
    for x in (0.06, 1.52):
        sketch.rectangle(x, height - 0.3, x + 0.22, height, _TYRE, 13.0 if warm else 1.0)


def _draw_plate(paint: Colour, heat: float) -> Texture:
    sketch = Sketch(1.0, 1.0, 64)
    sketch.rectangle(-1, -1, 2, 2, paint, heat)
    sketch.rectangle(0.2, 0.1, 0.8, 0.9, paint, heat + (4 if heat > 8 else 0))
    return sketch.texture()


def _draw_glass(paint: Colour, body: float) -> Texture:
    sketch = Sketch(1.5, 0.8, 128)
    sketch.rectangle(-1, -1, 2, 2, paint, body)
    sketch.polygon([(0.1, 0.05), (1.4, 0.05), (1.44, 0.78), (0.06, 0.78)], _GLASS, body - 5.5)
    sketch.polygon([(0.5, 0.05), (0.75, 0.05), (0.35, 0.78), (0.1, 0.78)], (74, 84, 96), body - 6.0)
    return sketch.texture()
