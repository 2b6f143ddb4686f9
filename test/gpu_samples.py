"""Images for the tests on an emulated GPU, and how alike results have to be."""

import fake_gpu
import numpy as np

from ivfusion_ros.types import Detections, Image


def pair(seed: int, size: tuple[int, int] = (48, 32)) -> tuple[Image, Image]:
    return fake_gpu.sample_pairs(size)[0] if seed == 0 else shifted(pair(0, size), seed)


def shifted(images: tuple[Image, Image], by: int) -> tuple[Image, Image]:
    return np.roll(images[0], 3 * by, 1), np.roll(images[1], 5 * by, 0)


def close(left: Image, right: Image) -> bool:
    return int(np.abs(left.astype(int) - right.astype(int)).max()) <= 1


def same_objects(found: Detections, expected: Detections) -> bool:
    """Nearly all boxes have their like; those of nearly equal score may come in another order."""
    away = np.abs(found.boxes_xyxy[:, None] - expected.boxes_xyxy[None]).max(axis=2)
    alike = (away < 0.7).any(axis=0)
    return len(expected) > 3 and len(found) == len(expected) and alike.mean() > 0.9
