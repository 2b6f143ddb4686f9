"""What is done to the greys of a sample."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from ivfusion_ros.types import Floats, Image

_KNOTS = 6
"""Of a random tone curve."""
_DARKER, _BRIGHTER = -0.5, 0.3
"""Logarithms of the gain."""


def repainted(image: Image, random: np.random.Generator) -> Image:
    """A uint8 image as another kind of camera might show it: by a random curve of its greys.

    Half of the curves rise or fall throughout, half go up and down.
    """
    values = random.uniform(0, 255, _KNOTS)
    if random.random() < 0.5:
        values = np.sort(values)[:: 1 if random.random() < 0.5 else -1]
    table = np.interp(np.arange(256), np.linspace(0, 255, _KNOTS), values)
    return np.rint(table).astype(np.uint8)[image]


def exposed(image: Image, random: np.random.Generator, inverted: float = 0.0) -> npt.NDArray[np.float32]:
    """A uint8 image with other exposure, maybe blurred, noisy and inverted: float32 in [0, 1].

    inverted: share of the images that are.
    """
    gamma, gain = np.exp(random.uniform(-0.6, 0.6)), np.exp(random.uniform(_DARKER, _BRIGHTER))
    values: Floats = gain * (image / 255.0) ** gamma + random.uniform(-0.1, 0.1)
    if random.random() < inverted:
        values = 1 - values
    if random.random() < 0.3:
        values = np.asarray(cv2.GaussianBlur(values, (0, 0), random.uniform(0.3, 1.2)), np.float64)
    if random.random() < 0.5:
        values = values + random.normal(0, random.uniform(0, 0.04), values.shape)
    return np.clip(values, 0, 1).astype(np.float32)
