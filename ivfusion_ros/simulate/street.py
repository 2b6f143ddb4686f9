"""The street itself: what does not move."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from ivfusion_ros.simulate.facade import draw_facade
from ivfusion_ros.simulate.ground import X_MAX, X_MIN, draw_ground
from ivfusion_ros.simulate.panel import Panel
from ivfusion_ros.simulate.texture import Sketch, Texture, glow_texture, tint
from ivfusion_ros.types import Floats

if TYPE_CHECKING:
    from ivfusion_ros.simulate.light import Hour

LEFT_WALL_X, RIGHT_WALL_X = -13.5, 3.6
LAMP_HEIGHT_M = 6.2
_LAMP_SPOTS = [(-1.0, z, -1.5) for z in (16.0, 31.0, 62.0, 78.0)] + [
    (-10.7, z, 1.5) for z in (8.0, 24.0, 39.0, 58.0, 72.0)
]
"""x and z of the posts, and the reach of the arm towards the road, metres."""
_TREE_SPOTS = ((-0.7, 23.0, 6.5), (-10.9, 31.5, 7.0), (-0.7, 38.0, 6.0), (-11.0, 64.0, 7.5))


@dataclass(frozen=True, eq=False)
class Street:
    """panels: far ones first. lamps: (N, 3), world positions of the light sources, metres."""

    panels: list[Panel]
    lamps: Floats


def build_street(rng: np.random.Generator, hour: Hour, height_m: float, focal_px: float) -> Street:
    """Lay out sky, buildings, road, trees and lamps around cameras at height_m above the road.

    focal_px: textures are as sharp as cameras of this focal length see them.
    """
    panels = [_sky(hour), _far_ground(height_m), *_skyline(rng, hour, height_m)]
    panels += _ground(rng, height_m, focal_px)
    panels += _buildings(rng, hour, height_m, focal_px)
    furniture = [_tree(rng, x, z, size, height_m) for x, z, size in _TREE_SPOTS]
    for x, z, reach in _LAMP_SPOTS:
        furniture += _lamp_post(x, z, reach, height_m, hour.lamps)
    panels += sorted(furniture, key=lambda panel: -panel.centre[2])
    lamps = np.array([(x + reach, height_m - LAMP_HEIGHT_M, z) for x, z, reach in _LAMP_SPOTS])
    return Street(panels, lamps)


def facing(texture: Texture, left: float, top: float, z: float, width: float, height: float) -> Panel:
    """An upright panel that faces the cameras."""
    return Panel(
        texture, np.array([left, top, z]), np.array([width, 0.0, 0.0]), np.array([0.0, height, 0.0])
    )


def _sky(hour: Hour) -> Panel:
    rows = np.linspace(0, 1, 128, dtype=np.float32)[:, None, None]
    top, low = np.array(hour.sky_top, np.float32), np.array(hour.sky_low, np.float32)
    colour = np.ones((128, 4, 4), np.float32)
    colour[:, :, :3] = top + (low - top) * rows**2
    heat = np.ones((128, 4, 2), np.float32)
    heat[:, :, :1] = -10 + 6 * rows**2
    panel = facing(Texture(colour, heat), -900, -500, 400, 1800, 505)
    return replace(panel, kind="lamp")


def _far_ground(height_m: float) -> Panel:
    sketch = Sketch(4, 4, 4)
    sketch.rectangle(-1, -1, 5, 5, (92, 92, 95), 2.5)
    origin = np.array([-300.0, height_m + 0.02, 410.0])
    return Panel(sketch.texture(), origin, np.array([600.0, 0, 0]), np.array([0, 0, -409.9]))


def _skyline(rng: np.random.Generator, hour: Hour, height_m: float) -> list[Panel]:
    panels = []
    for left in np.arange(-60.0, 50.0, 14.0):
        size = 14.0, float(rng.uniform(9, 22))
        panels += _house(rng, hour, size, 4.0, np.array([left, 0, 140.0]), np.array([1.0, 0, 0]), height_m)
    return panels


def _buildings(rng: np.random.Generator, hour: Hour, height_m: float, focal_px: float) -> list[Panel]:
    """Both sides of the street, with a gap for the cross street, whose walls face the cameras."""
    panels = []
    for start, end in ((54.0, 136.0), (2.0, 44.0)):
        for wall, direction in ((LEFT_WALL_X, 1.0), (RIGHT_WALL_X, -1.0)):
            if start > 50:
                corner = np.array([wall - 28.0 if direction > 0 else wall, 0, start])
                panels += _house(rng, hour, (28.0, 10.0), 14.0, corner, np.array([1.0, 0, 0]), height_m)
            edges = _edges(rng, start, end)
            for near, far in reversed(list(pairwise(edges))):
                size = far - near, float(rng.uniform(8.5, 14.0))
                origin = np.array([wall, 0, near if direction > 0 else far])
                sharpness = float(np.clip(focal_px / np.hypot(wall, near), 8, 70))
                across = np.array([0, 0, direction])
                panels += _house(rng, hour, size, sharpness, origin, across, height_m)
    return panels


def _edges(rng: np.random.Generator, start: float, end: float) -> list[float]:
    edges = [start]
    while end - edges[-1] > 22:
        edges.append(edges[-1] + float(rng.uniform(9, 15)))
    return [*edges, (edges[-1] + end) / 2, end]


def _house(
    rng: np.random.Generator,
    hour: Hour,
    size_m: tuple[float, float],
    sharpness: float,
    corner: Floats,
    direction: Floats,
    height_m: float,
) -> list[Panel]:
    """Wall and lit windows, cut into strips of similar distance; corner: the left foot."""
    width, height = size_m
    wall, lights = draw_facade(rng, width, height, sharpness, hour.lit_windows)
    origin = corner + np.array([0, height_m - height, 0])
    panel = Panel(wall, origin, width * direction, np.array([0, height + 0.03, 0]))
    parts = 4 if direction[2] else 1
    cuts = np.linspace(0, 1, parts + 1)
    panels = slice_across(panel, cuts)
    if lights is not None:
        panels += slice_across(replace(panel, texture=lights, kind="lamp"), cuts)
    return panels


def slice_across(panel: Panel, cuts: Floats) -> list[Panel]:
    """Cut a panel at these fractions of its width, so that each part gets its own sharpness."""
    texture = panel.texture
    width = texture.size[0]
    columns = np.unique(np.round(cuts * width).astype(int))
    parts = []
    for start, end in pairwise(columns.tolist()):
        # The rim of a panel fades out, so neighbours must overlap.
        start, end = max(start - 8, 0), min(end + 8, width)
        heat = None if texture.heat is None else texture.heat[:, start:end].copy()
        part = Texture(texture.colour[:, start:end].copy(), heat)
        origin = panel.origin + panel.across * (start / width)
        parts.append(
            replace(panel, texture=part, origin=origin, across=panel.across * ((end - start) / width))
        )
    return parts


def _ground(rng: np.random.Generator, height_m: float, focal_px: float) -> list[Panel]:
    panels = []
    edges = [140.0, 95.0, 65.0, 45.0, 31.0, 22.0, 16.0, 11.5, 8.0, 5.5, 4.0, 2.8, 1.9, 1.2]
    seed = int(rng.integers(2**32))
    for far, near in pairwise(edges):
        far *= 1.02  # the rim fades out, so strips must overlap
        sharpness = float(np.clip(focal_px / near, 8, 80))
        texture = draw_ground(np.random.default_rng(seed), near, far, sharpness)
        origin = np.array([X_MIN, height_m, far])
        panels.append(
            Panel(texture, origin, np.array([X_MAX - X_MIN, 0.0, 0.0]), np.array([0.0, 0.0, near - far]))
        )
    return panels


def _tree(rng: np.random.Generator, x: float, z: float, size: float, height_m: float) -> Panel:
    sketch = Sketch(size, size, 90)
    trunk, leaves = (82, 66, 52), (58, 82, 44)
    sketch.limb((size / 2, size), (size / 2, size * 0.5), (0.16, 0.1), trunk, 1.0)
    for _ in range(7):
        tip = size * rng.uniform(0.3, 0.7), size * rng.uniform(0.1, 0.4)
        sketch.limb((size / 2, size * 0.62), tip, (0.07, 0.03), trunk, 0.8)
    for _ in range(700):
        angle, reach = rng.uniform(0, 2 * np.pi), np.sqrt(rng.uniform())
        x_leaf, y_leaf = 0.42 * reach * np.cos(angle), 0.27 * reach * np.sin(angle)
        # Lit from above, so the lower leaves are darker.
        shade = rng.uniform(0.7, 1.1) - 0.9 * y_leaf
        radius = size * rng.uniform(0.008, 0.024)
        spot = size * (0.5 + x_leaf), size * (0.3 + y_leaf)
        sketch.ellipse(*spot, radius, radius * 0.8, tint(leaves, shade), 0.3 + 0.5 * shade)
    return facing(sketch.texture(rng, (2, 12), (9, 8)), x - size / 2, height_m - size, z, size, size)


def _lamp_post(x: float, z: float, reach: float, height_m: float, lit: bool) -> list[Panel]:
    width, top = 3.6, LAMP_HEIGHT_M + 0.3
    middle = width / 2
    pole, lights = Sketch(width, top, 120), Sketch(width, top, 120)
    metal = (96, 100, 104)
    pole.limb((middle, top), (middle, 0.3), (0.09, 0.05), metal, -0.5)
    pole.limb((middle, 0.3), (middle + reach, 0.22), (0.05, 0.04), metal, -0.8)
    pole.rectangle(middle + reach - 0.32, 0.2, middle + reach + 0.32, 0.31, metal, 9.0 if lit else 0.0)
    lights.rectangle(middle + reach - 0.28, 0.29, middle + reach + 0.28, 0.37, (255, 236, 196), 0.0)
    panels = [facing(pole.texture(), x - middle, height_m - top, z, width, top)]
    if lit:
        lamp = Texture(lights.texture().colour, None)
        panels.append(replace(facing(lamp, x - middle, height_m - top, z - 0.02, width, top), kind="lamp"))
        glow = facing(glow_texture(), x + reach - 2.5, height_m - LAMP_HEIGHT_M - 2.5, z - 0.04, 5.0, 5.0)
        panels.append(replace(glow, kind="glow", light=(0.75, 0.6, 0.38)))
    return panels
