"""Scenes of shapes whose thermal and visible images share outlines only."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from ivfusion_ros.types import Floats, Image


def scene(seed: int, width: int = 320, height: int = 240) -> tuple[Image, Image]:
    """(H, W) thermal and visible, aligned: each shape has unrelated greys in both, each has its noise."""
    rng = np.random.default_rng(seed)
    thermal, visible = (np.full((height, width), 100, np.uint8) for _ in range(2))
    for _ in range(60):
        centre = rng.uniform(0, 1, 2) * [width, height]
        outline = centre + rng.uniform(-0.11, 0.11, (5, 2)) * width
        shape = cv2.convexHull(outline.astype(np.float32)).astype(np.int32)
        for image in (thermal, visible):
            cv2.fillConvexPoly(image, shape, int(rng.integers(20, 240)), cv2.LINE_AA)
    return noisy(cv2.GaussianBlur(thermal, (0, 0), 1.0), rng), noisy(visible, rng)


def noisy(image: npt.NDArray[np.uint8], rng: np.random.Generator, levels: float = 4.0) -> Image:
    return np.clip(image + rng.normal(0, levels, image.shape), 0, 255).astype(np.uint8)


def similarity(
    scale: float, rotation_deg: float, shift: tuple[float, float], size: tuple[int, int]
) -> Floats:
    """3x3 around the centre of an image of (width, height)."""
    centre = (np.array(size) - 1) / 2
    matrix = np.eye(3)
    matrix[:2] = cv2.getRotationMatrix2D(tuple(centre.tolist()), rotation_deg, scale)
    matrix[:2, 2] += shift
    return matrix


def mean_error_px(estimate: Floats, truth: Floats, size: tuple[int, int]) -> float:
    """Mean distance of where two 3x3 put the pixels of a (width, height) image."""
    x, y = np.meshgrid(np.linspace(0, size[0] - 1, 20), np.linspace(0, size[1] - 1, 20))
    points = np.stack([x.ravel(), y.ravel()], axis=1)[None]
    moved = [cv2.perspectiveTransform(points, matrix)[0] for matrix in (estimate, truth)]
    return float(np.hypot(*(moved[0] - moved[1]).T).mean())
