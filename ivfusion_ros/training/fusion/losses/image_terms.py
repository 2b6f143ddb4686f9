"""Differentiable measures of images that several losses are made of."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional


def sobel(image: Tensor) -> tuple[Tensor, Tensor]:
    """Horizontal and vertical Sobel derivatives, (B, C, H, W), a step of height 1 giving 1."""
    padded = functional.pad(image, (1, 1, 1, 1), mode="replicate") / 4
    # On a CPU the gradient of a convolution with one channel takes 20 times as long as this.
    across = padded[..., 2:] - padded[..., :-2]
    down = padded[..., 2:, :] - padded[..., :-2, :]
    return (
        across[..., :-2, :] + 2 * across[..., 1:-1, :] + across[..., 2:, :],
        down[..., :-2] + 2 * down[..., 1:-1] + down[..., 2:],
    )


def box_mean(image: Tensor, size: int) -> Tensor:
    """Mean over size x size windows (size odd), (B, C, H, W), borders replicated."""
    padded = functional.pad(image / size**2, (size // 2,) * 4, mode="replicate")
    # Rows, then columns, 14 additions a pixel for a window of 49; a pooling layer adds pixel by pixel.
    return _window_sums(_window_sums(padded, size, 2), size, 3)


def _window_sums(image: Tensor, size: int, dimension: int) -> Tensor:
    length = image.shape[dimension] - size + 1
    total = image.narrow(dimension, 0, length)
    for start in range(1, size):
        total = total + image.narrow(dimension, start, length)
    return total


def structural_similarity(a: Tensor, b: Tensor, window: int = 7, floor: float = 1e-5) -> Tensor:
    """SSIM per pixel of a (B, 1, H, W) and each channel of b (B, C, H, W), in [0, 1], uniform window.

    The constants keep flat regions from dividing by zero, and are far below SSIM's usual ones, since
    fused images are judged by the structure of dark regions too. floor: the variance below which
    structure counts for little.
    """
    mean_a, mean_b = box_mean(a, window), box_mean(b, window)
    variance_a = (box_mean(a * a, window) - mean_a**2).clamp(min=0)
    variance_b = (box_mean(b * b, window) - mean_b**2).clamp(min=0)
    covariance = box_mean(a * b, window) - mean_a * mean_b
    luminance = (2 * mean_a * mean_b + 1e-4) / (mean_a**2 + mean_b**2 + 1e-4)
    return luminance * (2 * covariance + floor) / (variance_a + variance_b + floor)


def _gaussian_means(image: Tensor, side: int) -> Tensor:
    """Gaussian means of all side x side windows inside (B, C, H, W), sigma side / 5."""
    rows, columns = (_gaussian_band(side, length, image.device) for length in image.shape[2:])
    return rows @ image @ columns.T


@lru_cache(maxsize=128)
def _gaussian_band(side: int, length: int, device: torch.device) -> Tensor:
    """(length - side + 1, length) float32, by which columns are multiplied for their Gaussian means.

    On a CPU a third of the time of a convolution with one channel.
    """
    offsets = torch.arange(side) - side // 2
    weights = torch.softmax(-(offsets**2) / (2 * (side / 5) ** 2), 0)
    band = torch.zeros(length - side + 1, length)
    for row in range(len(band)):
        band[row, row : row + side] = weights
    return band.to(device)


FIDELITY_SIDE = 41
"""Least side of an image that has a VIF, pixels."""


def visual_information_fidelity(reference: Tensor, image: Tensor) -> Tensor:
    """Pixel-domain VIF of an image against each channel of its references, in [0, 1].

    reference: (B, C, H, W). image: (B, 1, H, W). Returns (B, C). As metrics.visual_information_fidelity,
    with floors under variances where its gradient would explode; H and W at least FIDELITY_SIDE.
    """
    reference = 255 * (reference - reference.mean((2, 3), keepdim=True))
    image = 255 * (image - image.mean((2, 3), keepdim=True))
    seen = available = reference.new_zeros(reference.shape[:2])
    for side in (17, 9, 5, 3):
        if side < 17:
            reference = _gaussian_means(reference, side)[:, :, ::2, ::2]
            image = _gaussian_means(image, side)[:, :, ::2, ::2]
        mean_r, mean_i = _gaussian_means(reference, side), _gaussian_means(image, side)
        variance_r = (_gaussian_means(reference**2, side) - mean_r**2).clamp(min=0)
        variance_i = (_gaussian_means(image**2, side) - mean_i**2).clamp(min=0)
        covariance = _gaussian_means(reference * image, side) - mean_r * mean_i
        gain = covariance.clamp(min=0) / (variance_r + 1e-3)
        noise = (variance_i - gain * covariance).clamp(min=1e-2)
        seen = seen + torch.log1p(gain**2 * variance_r / (noise + 2)).sum((2, 3))
        available = available + torch.log1p(variance_r / 2).sum((2, 3))
    return seen / (available + 1e-3)


def laplacian_pyramid(image: Tensor, levels: int) -> list[Tensor]:
    """Details of (B, 1, H, W) from fine to coarse, then the base; H and W multiples of 2^levels."""
    binomial = torch.tensor([1.0, 3.0, 3.0, 1.0], device=image.device) / 8
    kernel = torch.outer(binomial, binomial)[None, None]
    bands = []
    for _ in range(levels):
        padded = functional.pad(image, (1, 1, 1, 1), mode="replicate")
        smaller = functional.conv2d(padded, kernel, stride=2)
        bands.append(image - expand(smaller))
        image = smaller
    return [*bands, image]


def expand(image: Tensor) -> Tensor:
    """Bilinear x2."""
    return functional.interpolate(image, scale_factor=2, mode="bilinear", align_corners=False)


def ramp(x: Tensor, low: float, high: float) -> Tensor:
    """0 below low, 1 above high, smooth in between."""
    x = ((x - low) / (high - low)).clamp(0, 1)
    return x * x * (3 - 2 * x)


PERSON_LABEL = 2
SALIENT_LABELS = (1, PERSON_LABEL)
"""Car and person of MSRS: what a robot must not miss."""


def salient_pixels(labels: Tensor) -> Tensor:
    """1 where class ids name what a robot must not miss, else 0."""
    return torch.stack([labels == label for label in SALIENT_LABELS]).any(0).float()
