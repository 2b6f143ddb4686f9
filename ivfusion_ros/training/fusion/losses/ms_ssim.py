"""Multi-scale SSIM as a differentiable measure."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

WINDOW = 11
SIGMA = 1.5
SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""From fine to coarse, of the method's authors (Wang, Simoncelli and Bovik, 2003)."""


def ms_ssim(a: Tensor, b: Tensor) -> Tensor:
    """MS-SSIM of (B, 1, H, W) images in [0, 1], (B,); 11x11 Gaussian windows inside the image.

    Five scales need 176 pixels. A smaller image takes as many scales as have room for a window (four from
    88 pixels, three from 44, two from 22), with their weights scaled to the sum 1. Raises ValueError below
    11 pixels.
    """
    count = min(len(SCALE_WEIGHTS), int(math.log2(max(min(a.shape[2:]) / WINDOW, 0.5))) + 1)
    if min(a.shape[2:]) < WINDOW:
        raise ValueError(f"images are {tuple(a.shape[2:])}, expected at least {WINDOW} pixels a side")
    weights = [weight / sum(SCALE_WEIGHTS[:count]) for weight in SCALE_WEIGHTS[:count]]
    product = torch.ones(len(a), device=a.device)
    for scale, weight in enumerate(weights):
        if scale:
            a, b = functional.avg_pool2d(a, 2), functional.avg_pool2d(b, 2)
        luminance, structure = _ssim_parts(a, b)
        similarity = luminance * structure if scale == count - 1 else structure
        # Negative means have no real power, and the power's slope is infinite at zero.
        product = product * similarity.mean((1, 2, 3)).clamp(min=1e-4) ** weight
    return product


def _ssim_parts(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    moments = _gaussian_mean(torch.cat((a, b, a * a, b * b, a * b), 1))
    mean_a, mean_b, square_a, square_b, product = moments.chunk(5, 1)
    variances = square_a - mean_a**2 + square_b - mean_b**2
    luminance = (2 * mean_a * mean_b + 0.01**2) / (mean_a**2 + mean_b**2 + 0.01**2)
    return luminance, (2 * (product - mean_a * mean_b) + 0.03**2) / (variances + 0.03**2)


def _gaussian_mean(maps: Tensor) -> Tensor:
    offsets = torch.arange(WINDOW, device=maps.device) - WINDOW // 2
    kernel = torch.exp(-(offsets**2) / (2 * SIGMA**2))
    kernel = (kernel / kernel.sum()).expand(maps.shape[1], 1, WINDOW)
    rows = functional.conv2d(maps, kernel[..., None], groups=maps.shape[1])
    return functional.conv2d(rows, kernel[:, :, None], groups=maps.shape[1])
