"""People and cars at a time: where their pieces are in the world."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ivfusion_ros.simulate.cars import LENGTH_M, Piece
from ivfusion_ros.simulate.cars import WIDTH_M as CAR_WIDTH_M
from ivfusion_ros.simulate.panel import Panel
from ivfusion_ros.simulate.people import HEIGHT_M, PHASES, WIDTH_M, Looks, draw_person
from ivfusion_ros.simulate.texture import Texture, glow_texture, shade_texture
from ivfusion_ros.types import Floats

if TYPE_CHECKING:
    from ivfusion_ros.simulate.camera import Camera

_STRIDE_M = 1.45
_DOWN = np.array([0.0, 1.0, 0.0])
_SHADE, _FAINT_SHADE = shade_texture(0.92), shade_texture(0.5, 16)
_HALO, _BEAM = glow_texture(), glow_texture(48, 0.5)


@dataclass(frozen=True, eq=False)
class Body:
    """One object at one time.

    panels: what it consists of, to be painted in this order; extras: its shade and glare, no part of it.
    reach_m: horizontal distance of its nearest point from the origin.
    """

    identity: int
    class_name: str
    panels: list[Panel]
    extras: list[Panel]
    reach_m: float

    def turned_to(self, camera: Camera) -> list[Panel]:
        """The panels that do not turn their back to a camera (a person has no back)."""
        if self.class_name == "person":
            return self.panels
        return [panel for panel in self.panels if (camera.position - panel.centre) @ panel.normal > 0]


@dataclass(frozen=True, eq=False)
class Route:
    """A path over the ground, (N, 2) x and z in metres, and the distance covered at a time in s."""

    points: Floats
    covered_m: Callable[[float], float]

    def at(self, time_s: float) -> tuple[Floats, Floats, float]:
        """Position (2,), unit heading (2,) and distance covered."""
        steps = np.diff(self.points, axis=0)
        lengths = np.hypot(steps[:, 0], steps[:, 1])
        ends = np.cumsum(lengths)
        covered = self.covered_m(time_s)
        index = min(int(np.searchsorted(ends, covered, side="right")), len(steps) - 1)
        heading = steps[index] / lengths[index]
        return self.points[index] + heading * (covered - ends[index] + lengths[index]), heading, covered


@dataclass(frozen=True, eq=False)
class Walker:
    """A person on a route."""

    identity: int
    route: Route
    looks: Looks

    def body(self, time_s: float, height_m: float) -> Body:
        """The person at a time; height_m: of the cameras above the road."""
        (x, z), (toward_x, toward_z), covered = self.route.at(time_s)
        phase = round(covered / _STRIDE_M * PHASES) % PHASES
        aspect = "side" if abs(toward_x) > 0.7 else "back" if toward_z > 0 else "front"
        left, right = np.array([x - WIDTH_M / 2, 0, z]), np.array([WIDTH_M, 0, 0])
        if aspect == "side" and toward_x < 0:
            left, right = left + right, -right
        top = np.array([0, height_m - HEIGHT_M, 0])
        figure = Panel(draw_person(self.looks, phase, aspect), left + top, right, HEIGHT_M * _DOWN)
        shade = _on_ground(_FAINT_SHADE, np.array([x, z]), np.array([0.0, 1.0]), (0.7, 0.5), height_m)
        reach = float(np.hypot(x, z))
        return Body(self.identity, "person", [figure], [shade] if reach < 18 else [], reach)


@dataclass(frozen=True, eq=False)
class Car:
    """A car on a route; the route is that of its nose."""

    identity: int
    route: Route
    pieces: list[Piece]
    glare: float

    def body(self, time_s: float, height_m: float) -> Body:
        """The car at a time; height_m: of the cameras above the road."""
        nose, heading, _ = self.route.at(time_s)
        corners = np.array(
            [self._place((a, b, 0.0), nose, heading, height_m) for a in (0, 4.3) for b in (0, 1.8)]
        )
        panels = [self._panel(piece, nose, heading, height_m) for piece in self.pieces]
        middle = nose - heading * LENGTH_M / 2
        extras = [_on_ground(_SHADE, middle, heading, (2.1, 4.7), height_m)]
        if self.glare > 0:
            extras += self._headlights(nose, heading, height_m)
        reach = float(np.hypot(corners[:, 0], corners[:, 2]).min())
        return Body(self.identity, "car", panels, extras, reach)

    def _panel(self, piece: Piece, nose: Floats, heading: Floats, height_m: float) -> Panel:
        spots = (piece.top_left, piece.top_right, piece.bottom_left)
        origin, right, foot = (self._place(spot, nose, heading, height_m) for spot in spots)
        return Panel(
            piece.texture, origin, right - origin, foot - origin, "lamp" if piece.lamp else "surface"
        )

    def _headlights(self, nose: Floats, heading: Floats, height_m: float) -> list[Panel]:
        """Light on the road ahead, and glare towards the cameras."""
        lit = _on_ground(_BEAM, nose + heading * 5.5, heading, (4.5, 10.0), height_m)
        panels = [_glow(lit, 0.25 * self.glare)]
        for aside in (0.26, 1.54):
            lamp = self._place((-0.05, aside, 0.62), nose, heading, height_m)
            distance = float(np.hypot(lamp[0], lamp[2]))
            toward = -float(heading @ lamp[[0, 2]]) / max(distance, 0.1)
            if toward <= 0.3 or lamp[2] < 1.0:
                continue
            # Glare is made in the lens: its size on the image does not depend on the distance.
            size = 0.26 * lamp[2] * np.sqrt(self.glare) * np.clip(24 / distance, 0.45, 1.15)
            origin = lamp - np.array([size / 2, size / 2, 0])
            halo = Panel(_HALO, origin, np.array([size, 0, 0]), size * _DOWN)
            panels.append(_glow(halo, 0.95 * toward**4 * float(np.clip(self.glare, 0.3, 1.0))))
        return panels

    @staticmethod
    def _place(spot: tuple[float, float, float], nose: Floats, heading: Floats, height_m: float) -> Floats:
        along, aside, above = spot
        rightward = np.array([heading[1], -heading[0]])
        x, z = nose - heading * along + rightward * (CAR_WIDTH_M / 2 - aside)
        return np.array([x, height_m - above, z])


def _on_ground(
    texture: Texture, middle: Floats, heading: Floats, size_m: tuple[float, float], height_m: float
) -> Panel:
    ahead, aside = np.array([heading[0], 0, heading[1]]), np.array([heading[1], 0, -heading[0]])
    width, length = size_m
    foot = np.array([middle[0], height_m - 0.01, middle[1]])
    return Panel(texture, foot + ahead * length / 2 - aside * width / 2, aside * width, -ahead * length)


def _glow(panel: Panel, strength: float) -> Panel:
    light = float(np.sqrt(strength))
    return Panel(
        panel.texture, panel.origin, panel.across, panel.down, "glow", (light, light, light * 0.95)
    )
