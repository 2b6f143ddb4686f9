"""Routes and timetables: who moves where.

A traffic light at the zebra crossing turns with PERIOD_S. For the first GREEN_S seconds of each period
people cross and oncoming cars brake and wait; then the cars drive on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ivfusion_ros.simulate.bodies import Car, Route, Walker
from ivfusion_ros.simulate.cars import build_car, random_paint
from ivfusion_ros.simulate.people import random_looks

if TYPE_CHECKING:
    from collections.abc import Callable

    from ivfusion_ros.simulate.light import Hour

PERIOD_S, GREEN_S = 30.0, 14.0
_CAR_SPEED, _BRAKING = 9.0, 1.6
"""Metres per second, and per second squared."""


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
    return Route(points, lambda _: 1.0), False


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
