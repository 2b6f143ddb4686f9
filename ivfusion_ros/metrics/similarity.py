"""Metrics that compare the fused image with both sources, pixel by pixel or window by window."""

from __future__ import annotations

import math

import cv2
import numpy as np

from ivfusion_ros.metrics.grey import FloatImage, GreyImage, as_floats, grey_levels

# Grey levels: an image whose deviation is below this is constant but for rounding errors.
_CONSTANT = 1e-9


def mutual_information(source_a: GreyImage, source_b: GreyImage, fused: GreyImage) -> float:
    """MI: mutual information of fused and source_a plus that of fused and source_b, 256 bins, nats.

    Qu, Zhang, Yan, "Information measure for performance of image fusion", Electronics Letters, 2002.
    """
    a, b, f = as_floats(source_a, source_b, fused)
    return _mutual_information(f, a) + _mutual_information(f, b)


def _mutual_information(x: FloatImage, y: FloatImage) -> float:
    pairs = np.bincount(256 * grey_levels(x) + grey_levels(y), minlength=256 * 256)
    joint = pairs.reshape(256, 256) / x.size
    independent = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0, keepdims=True)
    seen = joint > 0
    # An exact zero may come out as -1e-17.
    return max(0.0, float(np.sum(joint[seen] * np.log(joint[seen] / independent[seen]))))


def correlation_coefficient(source_a: GreyImage, source_b: GreyImage, fused: GreyImage) -> float:
    """CC: mean of the Pearson correlations of fused with both sources, -1..1; 0 for a constant image.

    Deshmukh, Bhosale, "Image fusion and image quality assessment of fused images", Int. J. Image
    Processing, 2010.
    """
    a, b, f = as_floats(source_a, source_b, fused)
    return (_correlation(f, a) + _correlation(f, b)) / 2


def _correlation(x: FloatImage, y: FloatImage) -> float:
    x, y = x - x.mean(), y - y.mean()
    deviation_x, deviation_y = float(np.sqrt(np.mean(x**2))), float(np.sqrt(np.mean(y**2)))
    if min(deviation_x, deviation_y) < _CONSTANT:
        return 0.0
    return float(np.mean(x * y)) / (deviation_x * deviation_y)


def mean_squared_error(source_a: GreyImage, source_b: GreyImage, fused: GreyImage) -> float:
    """MSE: mean of the mean squared errors of fused against both sources, grey levels squared.

    Ma, Ma, Li, "Infrared and visible image fusion methods and applications: a survey", Information
    Fusion, 2019.
    """
    a, b, f = as_floats(source_a, source_b, fused)
    return float((np.mean((f - a) ** 2) + np.mean((f - b) ** 2)) / 2)


def peak_signal_noise_ratio(source_a: GreyImage, source_b: GreyImage, fused: GreyImage) -> float:
    """PSNR: peak 255 against the mean of both errors (MSE), dB; infinite where all three images are equal.

    Jagalingam, Hegde, "A review of quality metrics for fused image", Aquatic Procedia, 2015.
    """
    error = mean_squared_error(source_a, source_b, fused)
    return 10 * math.log10(255**2 / error) if error > 0 else math.inf


def sum_of_correlations_of_differences(source_a: GreyImage, source_b: GreyImage, fused: GreyImage) -> float:
    """SCD: correlation of fused - source_b with source_a plus that of fused - source_a with source_b.

    -2..2; a term with a constant operand is 0. Aslantas, Bendes, "A new image quality metric for image
    fusion: the sum of the correlations of differences", AEU Int. J. Electronics and Communications, 2015.
    """
    a, b, f = as_floats(source_a, source_b, fused)
    return _correlation(f - b, a) + _correlation(f - a, b)


def ssim(source_a: GreyImage, source_b: GreyImage, fused: GreyImage, *, data_range: float = 2.0) -> float:
    """SSIM: mean structural similarity of fused and source_a plus that of fused and source_b, at most 2.

    7 x 7 uniform window, at least 7 x 7 pixels. The published tables used data_range 2, a library's
    former default for float images; 255 is the range that the images have. Wang, Bovik, Sheikh,
    Simoncelli, "Image quality assessment: from error visibility to structural similarity", IEEE Trans.
    Image Processing, 2004.
    """
    a, b, f = as_floats(source_a, source_b, fused, min_side=7)
    return _ssim(f, a, data_range) + _ssim(f, b, data_range)


def _ssim(x: FloatImage, y: FloatImage, data_range: float) -> float:
    mean_x, mean_y = _window_mean(x), _window_mean(y)
    unbiased = 49 / 48
    variance_x = unbiased * (_window_mean(x * x) - mean_x**2)
    variance_y = unbiased * (_window_mean(y * y) - mean_y**2)
    covariance = unbiased * (_window_mean(x * y) - mean_x * mean_y)
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    structure = (2 * covariance + c2) / (variance_x + variance_y + c2)
    return float(np.mean(luminance * structure))


def _window_mean(image: FloatImage) -> FloatImage:
    """Means of all 7 x 7 windows that lie inside the image, (H - 6, W - 6)."""
    return np.asarray(cv2.blur(image, (7, 7))[3:-3, 3:-3], np.float64)
