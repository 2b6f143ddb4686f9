"""A walking person as a flat figure, drawn joint by joint."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ivfusion_ros.simulate.texture import Colour, Sketch, Texture, tint

PHASES = 24
"""Pictures per walking cycle (two steps)."""
WIDTH_M, HEIGHT_M = 1.16, 1.92
"""Of the picture; the figure stands on its lower edge."""
_SKINS: tuple[Colour, ...] = ((224, 180, 150), (198, 148, 114), (148, 102, 76), (104, 72, 56))
_COATS: tuple[Colour, ...] = (
    (170, 44, 40),
    (44, 66, 118),
    (58, 60, 62),
    (188, 164, 60),
    (52, 98, 70),
    (206, 204, 198),
    (122, 74, 112),
    (96, 74, 54),
)
_TROUSERS: tuple[Colour, ...] = ((46, 52, 72), (40, 40, 42), (112, 98, 78), (70, 76, 84))


@dataclass(frozen=True)
class Looks:
    """What distinguishes a person. seed: of the cloth's grain; air_celsius cools the clothes."""

    seed: int
    height_m: float
    build: float
    skin: Colour
    hair: Colour
    coat: Colour
    trousers: Colour
    air_celsius: float


def random_looks(rng: np.random.Generator, air_celsius: float) -> Looks:
    """Draw a person."""
    hair = int(rng.integers(24, 110))
    return Looks(
        seed=int(rng.integers(2**31)),
        height_m=float(rng.uniform(1.56, 1.88)),
        build=float(rng.uniform(0.9, 1.15)),
        skin=_SKINS[rng.integers(len(_SKINS))],
        hair=(hair, int(hair * 0.8), int(hair * 0.6)),
        coat=_COATS[rng.integers(len(_COATS))],
        trousers=_TROUSERS[rng.integers(len(_TROUSERS))],
        air_celsius=air_celsius,
    )


@lru_cache(maxsize=320)
def draw_person(looks: Looks, phase: int, aspect: str) -> Texture:
    """The figure at one of PHASES, WIDTH_M by HEIGHT_M.

    aspect: "side" (walking to the right), "front" or "back".
    """
    sketch = Sketch(WIDTH_M, HEIGHT_M, 200)
    figure = _Figure(sketch, looks, 2 * math.pi * phase / PHASES)
    if aspect == "side":
        figure.side()
    else:
        figure.frontal(face=aspect == "front")
    return sketch.texture(np.random.default_rng(looks.seed), (2, 12), (4.0, 6.0))


class _Figure:
    """Lengths are shares of the body height, for a figure of 1 with its feet at (0, 0), y up."""

    def __init__(self, sketch: Sketch, looks: Looks, angle: float) -> None:
        self.sketch = sketch
        self.looks = looks
        self.swing = math.sin(angle)
        self.lift = math.cos(angle)
        self.bob = 0.008 * math.cos(2 * angle)
        # Skin is near 33 degrees, clothes lie between it and the air.
        self.skin_heat = 33.0 - looks.air_celsius
        self.coat_heat = 0.56 * self.skin_heat
        self.leg_heat = 0.50 * self.skin_heat

    def side(self) -> None:
        looks, swing = self.looks, self.swing
        self._arm_side(swing, 0.78)
        self._leg_side(-swing, -self.lift, 0.80)
        self._leg_side(swing, self.lift, 1.0)
        self._torso(0.078, 0.074)
        self._arm_side(-self.swing, 1.12)
        self._limb((0.0, 0.82), (0.012, 0.87), (0.036, 0.034), looks.skin, self.skin_heat - 0.5)
        self._ellipse(0.004, 0.93, 0.058, 0.068, looks.hair, self.skin_heat - 7)
        self._ellipse(0.026, 0.922, 0.040, 0.055, looks.skin, self.skin_heat)

    def frontal(self, face: bool) -> None:
        looks, swing = self.looks, self.swing
        for side in (-1, 1):
            self._leg_front(side, side * swing)
        for side in (-1, 1):
            self._arm_front(side, -side * swing)
        self._torso(0.118, 0.092)
        self._limb((0.0, 0.83), (0.0, 0.88), (0.038, 0.036), looks.skin, self.skin_heat - 0.5)
        self._ellipse(0.0, 0.935, 0.055, 0.066, looks.hair, self.skin_heat - 7)
        if face:
            self._ellipse(0.0, 0.922, 0.045, 0.055, looks.skin, self.skin_heat)

    def _torso(self, shoulder: float, hip: float) -> None:
        """shoulder and hip: half widths."""
        build = self.looks.build
        coat, heat = self.looks.coat, self.coat_heat
        round_, hem = 0.035, 0.47
        for side in (-1, 1):
            start = side * (shoulder * build - round_), 0.805 - round_
            self._limb(start, (side * (hip * build - 0.02), 0.5), (round_, 0.02), coat, heat)
        self._polygon(
            [
                (-0.03, 0.84), (0.03, 0.84), (shoulder * build - round_, 0.805),
                (hip * build, hem), (-hip * build, hem), (round_ - shoulder * build, 0.805),
            ],
            coat,
            heat,
        )  # fmt: skip
        self._limb((0.0, 0.74), (0.0, 0.62), (shoulder * 0.5, hip * 0.5), tint(coat, 1.08), heat + 2.0)

    def _leg_side(self, swing: float, lift: float, tone: float) -> None:
        thigh = 0.48 * swing
        # The knee bends while the leg comes forward.
        shin = thigh - 0.22 - 0.62 * max(0.0, lift)
        hip = (0.0, 0.49)
        knee = hip[0] + 0.235 * math.sin(thigh), hip[1] - 0.235 * math.cos(thigh)
        ankle = knee[0] + 0.215 * math.sin(shin), max(knee[1] - 0.215 * math.cos(shin), 0.035)
        self._leg(hip, knee, ankle, tone)
        self._limb(
            ankle, (ankle[0] + 0.075, ankle[1] - 0.02), (0.024, 0.018), (36, 32, 30), self.leg_heat - 2
        )

    def _leg_front(self, side: int, swing: float) -> None:
        hip, knee = (side * 0.052, 0.49), (side * 0.058, 0.265 + 0.02 * swing)
        ankle = side * 0.054, 0.035 + 0.05 * max(0.0, swing)
        self._leg(hip, knee, ankle, 1.0)
        self._limb(
            ankle, (ankle[0] * 1.15, ankle[1] - 0.016), (0.026, 0.024), (36, 32, 30), self.leg_heat - 2
        )

    def _leg(
        self, hip: tuple[float, float], knee: tuple[float, float], ankle: tuple[float, float], tone: float
    ) -> None:
        colour = tint(self.looks.trousers, tone)
        build = self.looks.build
        self._limb(hip, knee, (0.064 * build, 0.044 * build), colour, self.leg_heat)
        self._limb(knee, ankle, (0.044 * build, 0.030), colour, self.leg_heat - 1.5)

    def _arm_side(self, swing: float, tone: float) -> None:
        upper, fore = 0.55 * swing, 0.55 * swing + 0.35
        elbow = 0.165 * math.sin(upper), 0.79 - 0.165 * math.cos(upper)
        self._arm(
            (0.0, 0.79), elbow, (elbow[0] + 0.14 * math.sin(fore), elbow[1] - 0.14 * math.cos(fore)), tone
        )

    def _arm_front(self, side: int, swing: float) -> None:
        shoulder = side * 0.098 * self.looks.build, 0.77
        elbow = shoulder[0] + side * 0.035, 0.62 + 0.012 * swing
        self._arm(shoulder, elbow, (elbow[0] - side * 0.004, 0.50 + 0.03 * swing), 0.8)

    def _arm(
        self,
        shoulder: tuple[float, float],
        elbow: tuple[float, float],
        wrist: tuple[float, float],
        tone: float,
    ) -> None:
        colour = tint(self.looks.coat, tone)
        self._limb(shoulder, elbow, (0.042, 0.034), colour, self.coat_heat - 1.5)
        self._limb(elbow, wrist, (0.034, 0.026), colour, self.coat_heat - 2.5)
        self._ellipse(wrist[0], wrist[1] - 0.022, 0.021, 0.029, self.looks.skin, self.skin_heat - 3)

    def _limb(
        self,
        start: tuple[float, float],
        end: tuple[float, float],
        radii: tuple[float, float],
        colour: Colour,
        heat: float,
    ) -> None:
        height = self.looks.height_m
        self.sketch.limb(
            self._place(*start), self._place(*end), (radii[0] * height, radii[1] * height), colour, heat
        )

    def _polygon(self, points: list[tuple[float, float]], colour: Colour, heat: float) -> None:
        self.sketch.polygon([self._place(x, y) for x, y in points], colour, heat)

    def _ellipse(self, x: float, y: float, rx: float, ry: float, colour: Colour, heat: float) -> None:
        height = self.looks.height_m
        self.sketch.ellipse(*self._place(x, y), rx * height, ry * height, colour, heat)

    def _place(self, x: float, y: float) -> tuple[float, float]:
        above_hip = self.bob if y > 0.3 else 0.0
        height = self.looks.height_m
        return WIDTH_M / 2 + x * height, HEIGHT_M - (y + above_hip) * height
