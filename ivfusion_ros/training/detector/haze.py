"""Smoke and fog over a scene, as an RGB camera sees them and a thermal one does not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from ivfusion_ros.types import Image

_THINNEST, _THICKEST = 0.5, 2.5
"""Optical depth where it is densest: .6 or .08 of the light comes through."""
_SKY = (0.45, 1.0)
"""Brightness of the haze, between the image's mean and white."""
_CLOUDS = (3, 4)
"""Random values, down and across, that clouds are drawn from."""


def with_haze(rgb: Image, rng: np.random.Generator) -> Image:
    """An (H, W, 3) uint8 RGB image in smoke: clouds, denser towards the top, where scenes are far away."""
    height, width = rgb.shape[:2]
    clouds = cv2.resize(rng.random(_CLOUDS, np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    far = np.linspace(1, 0.3, height, dtype=np.float32)[:, None]
    depth = rng.uniform(_THINNEST, _THICKEST) * np.clip(clouds, 0, 1) * far
    seen = np.exp(-depth)[..., None]
    light = rgb.mean() + (255 - rgb.mean()) * rng.uniform(*_SKY) * rng.uniform(0.3, 1)
    air = np.full(3, light, np.float32) * rng.uniform(0.92, 1.08, 3).astype(np.float32)
    hazy = rgb * seen + air * (1 - seen)
    return np.asarray(np.clip(hazy + 0.5, 0, 255), np.uint8)
