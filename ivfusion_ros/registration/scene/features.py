"""Image features that thermal and visible images of a scene share: directions of edges, not their sign."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from ivfusion_ros.types import Floats32, Image


_SMOOTHING_PX, _CONTRAST_PX, _SHRINK = 0.5, 12.0, 4
_TAPS = (3, 3)
_DARKEST_CONTENT, _OUTSIDE = 8, 2

_BLUR = cv2.getGaussianKernel(_TAPS[0], _SMOOTHING_PX).ravel()
_SLOPE = (np.convolve(_BLUR, [-1, 0, 1]) / 2).astype(np.float32)
_ALONG = (np.convolve(_BLUR, [3, 10, 3]) / 16).astype(np.float32)
"""A Gaussian and Scharr's operator as one, which saves a pass over the image."""


def content_mask(image: Image) -> Floats32:
    """1 where an (H, W) uint8 image has content, 0 in black areas that touch its border, float32.

    Such areas come from an earlier warp; their edges would be matched like those of objects.
    """
    dark = cv2.threshold(image, _DARKEST_CONTENT, 1, cv2.THRESH_BINARY_INV)[1]
    framed = np.asarray(cv2.copyMakeBorder(dark, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=1), np.uint8)
    cv2.floodFill(framed, None, (0, 0), _OUTSIDE)
    content = (framed[1:-1, 1:-1] != _OUTSIDE).view(np.uint8)
    # The edge itself and what compression spilled over it are no content either.
    return np.asarray(cv2.erode(content, np.ones((5, 5), np.uint8)), np.float32)


def orientation_features(image: Image, content: Floats32 | None = None) -> Floats32:
    """(H, W) uint8 -> (4, H, W) float32: edge strength times cos and sin of 2 and 4 times its angle.

    Angles are taken modulo 180 degrees, so hot-on-cold and cold-on-hot are alike; strength is relative
    to the surroundings. content: (H, W), 1 where the image counts; features are 0 elsewhere.
    """
    across, down = (
        np.asarray(cv2.sepFilter2D(image, cv2.CV_32F, *kernels), np.float32)
        for kernels in ((_SLOPE, _ALONG), (_ALONG, _SLOPE))
    )
    if content is not None:
        across *= content
        down *= content
    features = np.empty((4, *image.shape), np.float32)
    cos2, sin2, cos4, sin4 = features
    # In place: fresh temporaries of this size cost more than the arithmetic.
    np.multiply(across, down, out=sin2)
    sin2 *= 2
    across *= across
    down *= down
    np.subtract(across, down, out=cos2)
    across += down
    energy = across
    energy += np.float32(1e-12)
    features[:2] /= energy
    np.multiply(cos2, sin2, out=sin4)
    sin4 *= 2
    np.multiply(cos2, cos2, out=cos4)
    cos4 -= np.multiply(sin2, sin2, out=down)
    features *= _strength(energy)
    for channel in features:
        cv2.GaussianBlur(channel, _TAPS, _SMOOTHING_PX, dst=channel)
    return features


def _strength(energy: Floats32) -> Floats32:
    """Of edges, relative to their surroundings."""
    surroundings = _around(energy)
    cv2.sqrt(surroundings, dst=surroundings)
    # Noise in empty areas must not count as much as edges do.
    surroundings += np.float32(0.5 * float(np.sqrt(energy.mean())) + 0.2)
    relative = np.asarray(cv2.sqrt(energy), np.float32)
    relative /= surroundings
    # To the power of 3/4: a strong edge counts more than a faint one, but not by as much as it is stronger.
    root = cv2.sqrt(relative, dst=relative)
    return np.asarray(cv2.multiply(root, cv2.sqrt(root)), np.float32)


def _around(energy: Floats32) -> Floats32:
    """Gaussian mean over _CONTRAST_PX, by way of a smaller image."""
    height, width = energy.shape
    size = max(1, round(width / _SHRINK)), max(1, round(height / _SHRINK))
    small = cv2.resize(energy, size, interpolation=cv2.INTER_AREA)
    smooth = cv2.GaussianBlur(small, (0, 0), _CONTRAST_PX / _SHRINK)
    return np.asarray(cv2.resize(smooth, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)
