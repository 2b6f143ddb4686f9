"""Simulated streets filmed by a camera that turns or shakes, with the people and cars known by identity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import cv2
import numpy as np

from ivfusion_ros.simulate import RgbConfig, RigConfig, SceneConfig, Simulator, TrueObject
from ivfusion_ros.types import Image

if TYPE_CHECKING:
    from ivfusion_ros.types import Floats

Motion = Literal["still", "shaking", "turning"]
SIZE, HFOV_DEG = (640, 480), 54.0
_WIDE_DEG, _WIDE_HEIGHT = 88.0, 760
MIN_VISIBLE, MIN_SIDE = 0.25, 6.0
"""Of an object that counts: share of its pixels that is in the image and not hidden; pixels."""


@dataclass(frozen=True, eq=False)
class Shot:
    """An RGB image (H, W, 3) and what can be seen in it."""

    time_s: float
    image: Image
    truth: list[TrueObject]


def angles_deg(motion: Motion, time_s: float) -> Floats:
    """Pitch, yaw and roll: shaking as on legs, or turning to and fro at up to 30 degrees a second."""
    if motion == "still":
        return np.zeros(3)
    steps = 2 * np.pi * time_s
    shake = np.array([np.sin(1.9 * steps), 0.7 * np.sin(1.3 * steps + 1), 0.5 * np.sin(0.95 * steps + 2)])
    shake += 0.3 * np.sin(np.array([4.1, 3.7, 4.5]) * steps)
    if motion == "shaking":
        return 1.2 * shake
    return 0.2 * shake + np.array([0.0, 11.0 * np.sin(0.43 * steps), 0.0])


def film(seed: int, seconds: float, rate_hz: float, *motions: Motion) -> dict[Motion, list[Shot]]:
    """A street by night, as each of these motions shows it."""
    focal = SIZE[0] / 2 / np.tan(np.radians(HFOV_DEG) / 2)
    width = round(2 * focal * np.tan(np.radians(_WIDE_DEG) / 2))
    camera = RgbConfig(
        width=width,
        height=_WIDE_HEIGHT,
        hfov_deg=_WIDE_DEG,
        distortion=(0.0, 0.0),
        principal_offset_px=(0.0, 0.0),
    )
    simulator = Simulator(SceneConfig(seed=seed, duration_s=seconds), RigConfig(rgb=camera))
    shots: dict[Motion, list[Shot]] = {motion: [] for motion in motions}
    for index in range(round(seconds * rate_hz)):
        time_s = index / rate_hz
        image, objects = simulator.rgb_at(time_s), simulator.boxes(time_s, "rgb")
        for motion in motions:
            homography = _homography(simulator.cameras["rgb"].matrix, angles_deg(motion, time_s))
            seen = np.asarray(cv2.warpPerspective(image, homography, SIZE), np.uint8)
            turned = [_turned(item, homography) for item in objects]
            shots[motion].append(Shot(time_s, seen, [item for item in turned if item is not None]))
    return shots


def _homography(wide: Floats, angles: Floats) -> Floats:
    """From the wide camera's pixels to those of the one that turns within its view; angles in degrees."""
    matrix = wide.copy()
    matrix[:2, 2] = (SIZE[0] - 1) / 2, (SIZE[1] - 1) / 2
    turn = cv2.Rodrigues(np.radians(angles))[0]
    return np.asarray(matrix @ turn @ np.linalg.inv(wide), np.float64)


def _turned(item: TrueObject, homography: Floats) -> TrueObject | None:
    """The object in the turned camera's image, None where it does not count there."""
    left, top, right, bottom = item.box_xyxy
    corners = np.array([[(left, top), (right, top), (left, bottom), (right, bottom)]]) - 0.5
    seen = cv2.perspectiveTransform(corners, homography)[0] + 0.5
    whole = np.concatenate([seen.min(axis=0), seen.max(axis=0)])
    box = np.clip(whole, 0, np.tile(SIZE, 2))
    sides, full = box[2:] - box[:2], whole[2:] - whole[:2]
    visible = item.visible_fraction * float(np.prod(sides / full))
    if min(sides) < MIN_SIDE or visible < MIN_VISIBLE:
        return None
    left, top, right, bottom = box.tolist()
    return TrueObject(item.identity, item.class_name, (left, top, right, bottom), item.depth_m, visible)
