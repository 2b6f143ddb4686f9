"""Who moves where: routes, timetables, and the bodies of people and cars at a time.

A traffic light at the zebra crossing turns with PERIOD_S. For the first GREEN_S seconds of each period
people cross and oncoming cars brake and wait; then the cars drive on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ivfusion_ros.simulate.camera import Floats
from ivfusion_ros.simulate.cars import WIDTH_M as CAR_WIDTH_M
from ivfusion_ros.simulate.cars import Piece, build_car, random_paint
from ivfusion_ros.simulate.light import Hour
from ivfusion_ros.simulate.panel import Panel
from ivfusion_ros.simulate.people import HEIGHT_M, PHASES, WIDTH_M, Looks, draw_person, random_looks
from ivfusion_ros.simulate.texture import Texture, glow_texture, shade_texture

PERIOD_S, GREEN_S = 30.0, 14.0
_STRIDE_M = 1.45
_CAR_SPEED = 9.0
_BRAKING = 1.6
_DOWN = np.array([0.0, 1.0, 0.0])
"""Down in the world."""
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
        middle = nose - heading * 2.15
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


def make_traffic(
    rng: np.random.Generator, people: int, cars: int, hour: Hour, glare: float
) -> list[Walker | Car]:
    """People and cars with their routes; identities count from 1, people first."""
    actors: list[Walker | Car] = []
    for index in range(people):
        looks = random_looks(rng, hour.air_celsius)
        actors.append(Walker(index + 1, _WALKS[index % len(_WALKS)](rng, index // len(_WALKS)), looks))
    kinds = [_DRIVES[index % len(_DRIVES)] for index in range(cars)]
    for index, kind in enumerate(kinds):
        route, moving = kind(rng, kinds[:index].count(kind))
        warm = moving or bool(rng.uniform() < 0.4)
        pieces = build_car(rng, random_paint(rng), warm, lamps=moving and hour.lamps)
        actors.append(Car(people + index + 1, route, pieces, glare if moving and hour.lamps else 0.0))
    return actors


def _phase(time_s: float) -> float:
    """Seconds since people got green, -8 to 22."""
    return (time_s + 8.0) % PERIOD_S - 8.0


def _crossing(direction: float, start_s: float, speed: float, z: float) -> Callable[..., Route]:
    def make(rng: np.random.Generator, repeat: int) -> Route:
        depth = z + float(rng.uniform(-0.15, 0.15)) + 0.35 * (repeat % 3)
        start = start_s - 1.1 * repeat + float(rng.uniform(-0.2, 0.2))
        ends = [(6.5, depth), (-17.0, depth)]
        points = np.array(ends if direction < 0 else ends[::-1])
        return Route(points, lambda time: float(np.clip(speed * (_phase(time) - start), 0, 23.5)))

    return make


def _strolling(x: float, away: bool) -> Callable[..., Route]:
    """Along a pavement and around the corner of the cross street; then again from the start."""

    def make(rng: np.random.Generator, repeat: int) -> Route:
        lane = x + float(rng.uniform(-0.25, 0.25)) + 0.3 * (repeat % 2)
        outward = 9.0 if x > 0 else -9.0
        points = np.array([(lane, 1.2), (lane, 46.5), (lane + outward, 46.5)])
        points = points if away else points[::-1].copy()
        total, speed = 45.3 + 9.0, float(rng.uniform(1.15, 1.45))
        # Near the cameras at time 0, where a person is large in the image.
        offset = (2.5 if away else total - 17.0) + float(rng.uniform(0, 4)) + 5.0 * repeat
        return Route(points, lambda time: (offset + speed * time) % total)

    return make


_WALKS: tuple[Callable[..., Route], ...] = (
    _crossing(-1, -4.6, 1.35, 12.2),
    _strolling(1.9, away=False),
    _crossing(1, -4.2, 1.45, 13.0),
    _strolling(1.2, away=True),
    _strolling(-11.6, away=False),
    _crossing(-1, -1.0, 1.25, 13.4),
    _strolling(-12.3, away=True),
    _strolling(2.4, away=True),
    _crossing(-1, 0.8, 1.5, 12.6),
    _crossing(1, -1.4, 1.2, 11.8),
)


def _oncoming(rng: np.random.Generator, repeat: int) -> tuple[Route, bool]:
    stop_z, stopped_s, start_s = 16.2 + 6.6 * repeat, 6.5 + 1.6 * repeat, GREEN_S + 1.2 * repeat
    x = -6.5 + float(rng.uniform(-0.15, 0.15))
    points = np.array([(x, stop_z + 140.0), (x, -60.0)])

    def covered(time: float) -> float:
        phase = _phase(time)
        if phase < start_s:
            return 140.0 - _ramp(stopped_s - phase)
        return min(140.0 + _ramp(phase - start_s), 199.0 + stop_z)

    return Route(points, covered), True


def _leaving(rng: np.random.Generator, repeat: int) -> tuple[Route, bool]:
    x, speed = -3.1 + float(rng.uniform(-0.15, 0.15)), 6.0
    points = np.array([(x, -30.0), (x, 180.0)])
    start = -6.2 - 2.6 * repeat
    return Route(points, lambda time: float(np.clip(speed * (_phase(time) - start), 0, 209.0))), True


def _crossing_car(rng: np.random.Generator, repeat: int) -> tuple[Route, bool]:
    """Passes on the cross street."""
    rightward = bool(repeat % 2 == 0)
    z = 51.0 if rightward else 47.2
    points = np.array([(-70.0, z), (70.0, z)]) * (1 if rightward else [[-1, 1]])
    offset = float(rng.uniform(15, 45))
    return Route(points, lambda time: (offset + 7.5 * time) % 140.0), True


def _parked(rng: np.random.Generator, repeat: int) -> tuple[Route, bool]:
    nose = 18.0 + 6.2 * repeat + float(rng.uniform(-0.3, 0.3))
    points = np.array([(-9.25, nose + 1.0), (-9.25, nose - 1.0)])
    return Route(points, lambda time: 1.0), False


_DRIVES: tuple[Callable[..., tuple[Route, bool]], ...] = (
    _oncoming,
    _leaving,
    _parked,
    _oncoming,
    _crossing_car,
    _parked,
)


def _ramp(seconds: float) -> float:
    """Metres covered while speeding up from standstill to _CAR_SPEED, and at it."""
    seconds = max(seconds, 0.0)
    rise = min(seconds, _CAR_SPEED / _BRAKING)
    return 0.5 * _BRAKING * rise**2 + _CAR_SPEED * (seconds - rise)


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
