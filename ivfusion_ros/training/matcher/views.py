"""Random views of a registered pair, in which the cameras have come apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from ivfusion_ros.training.matcher.config import WarpConfig
    from ivfusion_ros.types import Floats, Size


def to_unit(size: Size) -> Floats:
    """3x3 from pixels, integers at their centres, to an image of which all sides are 1.

    size: (width, height).
    """
    width, height = size
    return np.array([[1 / width, 0, 0.5 / width], [0, 1 / height, 0.5 / height], [0, 0, 1]])


def random_view(config: WarpConfig, random: np.random.Generator) -> Floats:
    """3x3 within the unit square: a part of it, mirrored or not."""
    share = random.uniform(config.smallest_view, 1.0)
    aspect = np.exp(random.uniform(-0.15, 0.15))
    width, height = min(1.0, share * aspect), min(1.0, share / aspect)
    left, top = random.uniform(0, 1 - width), random.uniform(0, 1 - height)
    view = np.array([[1 / width, 0, -left / width], [0, 1 / height, -top / height], [0, 0, 1]])
    mirror = np.array([[-1.0, 0, 1], [0, 1, 0], [0, 0, 1]])
    return np.asarray(mirror @ view if random.random() < 0.5 else view, np.float64)


def random_motion(config: WarpConfig, aspect: float, random: np.random.Generator) -> Floats:
    """3x3 within the unit square: how one camera's view lies in the other's.

    aspect: width over height of the images.
    """
    turn = np.radians(random.uniform(-config.turn_deg, config.turn_deg))
    scale = np.exp(random.uniform(-1, 1) * np.log(config.scale))
    cosine, sine = scale * np.cos(turn), scale * np.sin(turn)
    turned = np.array([[cosine, -sine / aspect, 0], [sine * aspect, cosine, 0], [0, 0, 1]])
    to_centre = np.array([[1, 0, -0.5], [0, 1, -0.5], [0, 0, 1.0]])
    back = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1.0]])
    back[:2, 2] += random.uniform(-config.shift, config.shift, 2)
    corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32)
    moved = corners + random.uniform(-config.bend, config.bend, (4, 2)).astype(np.float32)
    return np.asarray(cv2.getPerspectiveTransform(corners, moved) @ back @ turned @ to_centre, np.float64)
