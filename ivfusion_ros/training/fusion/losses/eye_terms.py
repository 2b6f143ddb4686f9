"""What an eye sees, as terms of a loss: metrics.eye, but differentiable; see there.

Images are (B, 1, H, W) float32 in [0, 1]; each term is a scalar.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from ivfusion_ros.training.fusion.losses.image_terms import PERSON_LABEL, box_mean, ramp, sobel

if TYPE_CHECKING:
    from ivfusion_ros.training.fusion.losses.base import Batch

_EDGE_SIGMA_PX, _EDGE_STEP = 5.0, 4
"""Broad edges and mean brightness show in reduced images just as well, at a fraction of the time."""
_SLOPE_OF_BOTH = 0.2 / 255
"""Per pixel, what a slope may exceed those of the sources by."""

_MAX_FLAT_NOISE, _NOISE_KEPT = 1.5 / 255, 0.9

_TARGET_STEP, _CORE, _AROUND = 2, 5, 31
"""Reduced by 2, sides of the windows of a target's own brightness and of that of its surroundings."""
_HOT = 0.12
"""Excess over the surroundings from which an unlabelled pixel is a target."""
_HOT_SHARE = 0.3
_FAINT = 0.03
"""Contrast that no relative loss is asked of."""
_FEW_PIXELS = 100

_LAMP = (0.1, 0.25)
"""Excess of the visible image over its surroundings from which a lamp begins, and is one in full."""
_SKY = (0.55, 0.8)
"""The same of its own brightness, for what is bright by day."""
_NIGHT_UNTIL = 0.35
"""Visible mean below which nothing but lamps is bright by itself: large bright areas are glare."""


def invented_edges(batch: Batch, fused: Tensor) -> Tensor:
    """Mean slope, grey levels per pixel, of the smoothed fused image beyond that of both sources."""
    slopes = [_slope(image) for image in (batch.thermal, batch.visible, fused)]
    excess = slopes[2] - torch.maximum(slopes[0], slopes[1]) - _SLOPE_OF_BOTH
    return 255 * excess.clamp(min=0).mean()


def _slope(image: Tensor) -> Tensor:
    across, down = sobel(_blurred(_reduced(image, _EDGE_STEP)))
    return (across**2 + down**2 + 1e-10).sqrt() / (2 * _EDGE_STEP)


def _reduced(image: Tensor, step: int) -> Tensor:
    """Means of blocks; what is left over at the right and the bottom is dropped."""
    height, width = (length // step for length in image.shape[2:])
    image = image[:, :, : height * step, : width * step]
    return image.reshape(len(image), 1, height, step, width, step).mean((3, 5))


def _blurred(image: Tensor) -> Tensor:
    """By a Gaussian, which together with the reduction's blur has _EDGE_SIGMA_PX."""
    variance = _EDGE_SIGMA_PX**2 / _EDGE_STEP**2 - (1 - 1 / _EDGE_STEP**2) / 12
    offsets = torch.arange(-4, 5, device=image.device)
    weights = torch.softmax(-(offsets**2) / (2 * variance), 0).tolist()
    padded = functional.pad(image, (4,) * 4, mode="replicate")
    for dimension in (2, 3):
        length = padded.shape[dimension] - 8
        parts = [weight * padded.narrow(dimension, i, length) for i, weight in enumerate(weights)]
        padded = torch.stack(parts).sum(0)
    return padded


def noise_gained(batch: Batch, fused: Tensor) -> Tensor:
    """Noise of the fused image beyond 0.9 of the noisier source's, grey levels, where both are flat."""
    noises = [_noise(image) for image in (batch.thermal, batch.visible, fused)]
    noisier = torch.maximum(noises[0], noises[1])
    flat = (noisier < _MAX_FLAT_NOISE).float()
    gained = (noises[2] - _NOISE_KEPT * noisier).clamp(min=0)
    return 255 * (flat * gained).sum() / (flat.sum() + _FEW_PIXELS)


def _noise(image: Tensor) -> Tensor:
    rest = image - box_mean(image, 7)
    variance = box_mean(rest * rest, 15) - box_mean(rest, 15) ** 2
    return variance.clamp(min=1e-10).sqrt()


def contrast_lost(batch: Batch, fused: Tensor) -> Tensor:
    """Share of the better source's contrast that people and hot things lose, 0 to 1.

    The contrast of a pixel is that of its near neighbourhood with the mean of what is no target further
    around.
    """
    images = [_reduced(image, _TARGET_STEP) for image in (batch.thermal, batch.visible, fused)]
    person = (_reduced((batch.labels == PERSON_LABEL).float(), _TARGET_STEP) > 0.5).float()
    hot = (images[0] - box_mean(images[0], _AROUND) > _HOT).float()
    outside = 1 - torch.maximum(person, hot)
    share = box_mean(outside, _AROUND)
    contrasts = [
        box_mean(image, _CORE) - box_mean(image * outside, _AROUND) / (share + 1e-3) for image in images
    ]
    better = torch.maximum(contrasts[0].abs(), contrasts[1].abs())
    lost = (1 - contrasts[2].abs() / (better + _FAINT)).clamp(min=0)
    weight = torch.maximum(person, _HOT_SHARE * hot) * (share > 0.1)
    return (weight * lost).sum() / (weight.sum() + _FEW_PIXELS)


def light_lost(batch: Batch, fused: Tensor) -> Tensor:
    """What lamps and bright skies of the visible image lose of their light, 0 to 1.

    Neither near people and hot things, which may need a darker background, nor by night in large bright
    areas, which are glare.
    """
    thermal, visible, own = (
        _reduced(image, _TARGET_STEP) for image in (batch.thermal, batch.visible, fused)
    )
    person = (_reduced((batch.labels == PERSON_LABEL).float(), _TARGET_STEP) > 0.5).float()
    hot = (thermal - box_mean(thermal, _AROUND) > _HOT).float()
    away = (1 - 4 * box_mean(torch.maximum(person, hot), _AROUND)).clamp(min=0)
    lamp = ramp(visible - box_mean(visible, _AROUND), *_LAMP)
    sky = ramp(visible, *_SKY) * (batch.visible_mean > _NIGHT_UNTIL)
    weight = torch.maximum(lamp, sky) * away
    lost = (visible - own).clamp(min=0) / (visible + _FAINT)
    return (weight * lost).sum() / (weight.sum() + _FEW_PIXELS)
