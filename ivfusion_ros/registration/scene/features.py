"""Image features that thermal and visible images of a scene share: directions of edges, not their sign."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from ivfusion_ros.types import Floats32, Image


_SMOOTHING_PX, _CONTRAST_PX, _SHRINK = 0.5, 12.0, 4
_TAPS = (3, 3)
_DARKEST_CONTENT = 8


def content_mask(image: Image) -> Floats32:
    """1 where an (H, W) uint8 image has content, 0 in black areas that touch its border, float32.

    Such areas come from an earlier warp; their edges would be matched like those of objects.
    """
    dark = (image <= _DARKEST_CONTENT).astype(np.uint8)
    _, labels = cv2.connectedComponents(dark, connectivity=4)
    border = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    outside = np.isin(labels, border[border > 0])
    kernel = np.ones((3, 3), np.uint8)
    # The edge itself and what compression spilled over it are no content either.
    grown = cv2.dilate(outside.astype(np.uint8), kernel, iterations=2)
    return (1 - grown).astype(np.float32)


def orientation_features(image: Image, content: Floats32 | None = None) -> Floats32:
    """(H, W) uint8 -> (4, H, W) float32: edge strength times cos and sin of 2 and 4 times its angle.

    Angles are taken modulo 180 degrees, so hot-on-cold and cold-on-hot are alike; strength is relative
    to the surroundings. content: (H, W), 1 where the image counts; features are 0 elsewhere.
    """
    grey = cv2.GaussianBlur(image.astype(np.float32), _TAPS, _SMOOTHING_PX)
    across = cv2.Scharr(grey, cv2.CV_32F, 1, 0, scale=1 / 32)
    down = cv2.Scharr(grey, cv2.CV_32F, 0, 1, scale=1 / 32)
    if content is not None:
        across, down = across * content, down * content
    energy = across * across + down * down + np.float32(1e-12)
    surroundings = np.sqrt(_around(energy))
    usual = float(np.sqrt(energy.mean()))
    # Noise in empty areas must not count as much as edges do.
    relative = np.sqrt(energy) / (surroundings + np.float32(0.5 * usual + 0.2))
    # To the power of 3/4: a strong edge counts more than a faint one, but not by as much as it is stronger.
    root = np.sqrt(relative)
    strength = root * np.sqrt(root)
    cos2, sin2 = (across * across - down * down) / energy, 2 * across * down / energy
    cos4, sin4 = cos2 * cos2 - sin2 * sin2, 2 * cos2 * sin2
    features = np.empty((4, *image.shape), np.float32)
    for channel, part in zip(features, (cos2, sin2, cos4, sin4), strict=True):
        cv2.GaussianBlur(strength * part, _TAPS, _SMOOTHING_PX, dst=channel)
    return features


def _around(energy: Floats32) -> Floats32:
    """Gaussian mean over _CONTRAST_PX, by way of a smaller image."""
    height, width = energy.shape
    size = max(1, round(width / _SHRINK)), max(1, round(height / _SHRINK))
    small = cv2.resize(energy, size, interpolation=cv2.INTER_AREA)
    smooth = cv2.GaussianBlur(small, (0, 0), _CONTRAST_PX / _SHRINK)
    return np.asarray(cv2.resize(smooth, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)
