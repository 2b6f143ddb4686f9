"""Metrics that model what of the sources' detail the fused image passes on to an observer."""

from __future__ import annotations

import cv2
import numpy as np

from ivfusion_ros.metrics.grey import FloatImage, GreyImage, as_floats

_VISUAL_NOISE = 2.0
_TINY = 1e-10


def visual_information_fidelity(source_a: GreyImage, source_b: GreyImage, fused: GreyImage) -> float:
    """VIF: pixel-domain VIF of fused against source_a plus that against source_b, 2 for equal images.

    4 scales, visual noise variance 2, at least 41 x 41 pixels. A constant source adds 0. Sheikh, Bovik,
    "Image information and visual quality", IEEE Trans. Image Processing, 2006; for fusion after Han,
    Cai, Cao, Xu, "A new image fusion performance metric based on visual information fidelity",
    Information Fusion, 2013.
    """
    a, b, f = as_floats(source_a, source_b, fused, min_side=41)
    return _vif(a, f) + _vif(b, f)


def _vif(reference: FloatImage, distorted: FloatImage) -> float:
    # Only variances matter, and without the means they do not drown in rounding errors.
    reference, distorted = reference - reference.mean(), distorted - distorted.mean()
    seen = available = 0.0
    for side in (17, 9, 5, 3):
        if side < 17:
            reference = _window_mean(reference, side)[::2, ::2]
            distorted = _window_mean(distorted, side)[::2, ::2]
        seen_here, available_here = _information(reference, distorted, side)
        seen += seen_here
        available += available_here
    return seen / available if available > 0 else 0.0


def _information(reference: FloatImage, distorted: FloatImage, side: int) -> tuple[float, float]:
    """Information that an observer gets of the reference from the distorted image and from itself."""
    mean_r, mean_d = _window_mean(reference, side), _window_mean(distorted, side)
    variance_r = np.maximum(_window_mean(reference * reference, side) - mean_r**2, 0)
    variance_d = np.maximum(_window_mean(distorted * distorted, side) - mean_d**2, 0)
    covariance = _window_mean(reference * distorted, side) - mean_r * mean_d
    variance_r[variance_r < _TINY] = 0
    gain = np.maximum(covariance, 0) / (variance_r + _TINY)
    noise = np.maximum(variance_d - gain * covariance, _TINY)
    seen = np.log1p(gain**2 * variance_r / (noise + _VISUAL_NOISE))
    available = np.log1p(variance_r / _VISUAL_NOISE)
    return float(seen.sum()), float(available.sum())


def _window_mean(image: FloatImage, side: int) -> FloatImage:
    """Gaussian means of all side x side windows that lie inside the image, sigma side / 5."""
    weights = cv2.getGaussianKernel(side, side / 5, cv2.CV_64F)
    border = side // 2
    means = cv2.sepFilter2D(image, cv2.CV_64F, weights, weights)
    return np.asarray(means[border:-border, border:-border], np.float64)


def qabf(source_a: GreyImage, source_b: GreyImage, fused: GreyImage) -> float:
    """Qabf: share of the sources' Sobel edges that the fused image keeps, weighted by strength, 0..1.

    0 where neither source has an edge. Outside the image is black, and orientations just above -pi/2 and
    just below pi/2 count as opposite, as in the published tables. Xydeas, Petrovic, "Objective image
    fusion performance measure", Electronics Letters, 2000.
    """
    a, b, f = as_floats(source_a, source_b, fused)
    strength_a, angle_a = _edges(a)
    strength_b, angle_b = _edges(b)
    strength_f, angle_f = _edges(f)
    kept = strength_a * _preservation(strength_a, angle_a, strength_f, angle_f)
    kept += strength_b * _preservation(strength_b, angle_b, strength_f, angle_f)
    total = float(np.sum(strength_a + strength_b))
    return float(kept.sum()) / total if total > 0 else 0.0


def _edges(image: FloatImage) -> tuple[FloatImage, FloatImage]:
    """Strength, and orientation in radians, -pi/2 < angle <= pi/2, of the Sobel gradient, y up."""
    x = np.asarray(cv2.Sobel(image, cv2.CV_64F, 1, 0, borderType=cv2.BORDER_CONSTANT), np.float64)
    y = np.asarray(cv2.Sobel(image, cv2.CV_64F, 0, 1, scale=-1, borderType=cv2.BORDER_CONSTANT), np.float64)
    # y up or down matters: orientations do not wrap around, and a vertical gradient is pi/2, never -pi/2.
    slope = np.divide(y, x, out=np.full_like(x, np.inf), where=x != 0)
    return np.hypot(x, y), np.arctan(slope)


def _preservation(
    strength: FloatImage, angle: FloatImage, fused_strength: FloatImage, fused_angle: FloatImage
) -> FloatImage:
    weaker, stronger = np.minimum(strength, fused_strength), np.maximum(strength, fused_strength)
    strength_kept = np.divide(weaker, stronger, out=np.zeros_like(weaker), where=stronger > 0)
    angle_kept = 1 - np.abs(angle - fused_angle) / (np.pi / 2)
    quality: FloatImage = _sigmoid(strength_kept, 0.9994, -15, 0.5) * _sigmoid(angle_kept, 0.9879, -22, 0.8)
    return quality


def _sigmoid(kept: FloatImage, gamma: float, kappa: float, sigma: float) -> FloatImage:
    result: FloatImage = gamma / (1 + np.exp(kappa * (kept - sigma)))
    return result
