"""Metrics of the fused image alone: how much information, contrast and detail it holds."""

from __future__ import annotations

import numpy as np

from ivfusion_ros.metrics.grey import GreyImage, as_float, grey_levels


def entropy(image: GreyImage) -> float:
    """EN: Shannon entropy of the 256 rounded grey levels, bits, 0..8.

    Roberts, van Aardt, Ahmed, "Assessment of image fusion procedures using entropy, image quality,
    and multispectral classification", J. Applied Remote Sensing, 2008.
    """
    counts = np.bincount(grey_levels(as_float(image)))
    shares = counts[counts > 0] / image.size
    return float(np.sum(shares * np.log2(1 / shares)))


def standard_deviation(image: GreyImage) -> float:
    """SD: population standard deviation, grey levels.

    Ma, Ma, Li, "Infrared and visible image fusion methods and applications: a survey", Information
    Fusion, 2019.
    """
    return float(as_float(image).std())


def spatial_frequency(image: GreyImage) -> float:
    """SF: root of the mean squared horizontal plus the mean squared vertical difference, grey levels.

    Eskicioglu, Fisher, "Image quality measures and their performance", IEEE Trans. Communications, 1995.
    At least 2 x 2 pixels.
    """
    pixels = as_float(image, min_side=2)
    rows, columns = np.diff(pixels, axis=1), np.diff(pixels, axis=0)
    return float(np.sqrt(np.mean(rows**2) + np.mean(columns**2)))


def average_gradient(image: GreyImage) -> float:
    """AG: sum of the RMS of both central differences, over (H - 1)(W - 1), grey levels per pixel.

    Cui, Feng, Xu, Li, Chen, "Detail preserved fusion of visible and infrared images using regional
    saliency extraction and multi-scale image decomposition", Optics Communications, 2015.
    At least 2 x 2 pixels.
    """
    pixels = as_float(image, min_side=2)
    vertical, horizontal = np.gradient(pixels)
    height, width = pixels.shape
    return float(np.sum(np.sqrt((horizontal**2 + vertical**2) / 2)) / ((height - 1) * (width - 1)))
