"""Edges of the sources that a fused image is to keep, as a loss's term: metrics.qabf, but differentiable.

Images are (B, 1, H, W) float32 in [0, 1]; the term is a scalar.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ivfusion_ros.training.fusion.losses.image_terms import sobel

if TYPE_CHECKING:
    from ivfusion_ros.training.fusion.losses.base import Batch

_FAINT = 1e-4
"""Strength of an edge that is none; an eighth of the least step of 8 bits in a slope."""
_STRENGTH, _ORIENTATION = (0.9994, -15.0, 0.5), (0.9879, -22.0, 0.8)
"""Gamma, kappa and sigma of Xydeas and Petrovic's sigmoids."""


def edges_lost(batch: Batch, fused: Tensor) -> Tensor:
    """1 - Qabf: share of the sources' edges, by strength, that the fused image does not keep.

    Other than in the metric, orientations wrap around, and what is outside repeats the border.
    """
    gradient = sobel(fused)
    kept, total = fused.new_zeros(()), fused.new_zeros(())
    for source in (batch.thermal, batch.visible):
        own = sobel(source)
        strength = _strength(own)
        kept = kept + (strength * _preserved(own, gradient)).sum()
        total = total + strength.sum()
    return 1 - kept / total


def _strength(gradient: tuple[Tensor, Tensor]) -> Tensor:
    across, down = gradient
    return (across**2 + down**2 + _FAINT**2).sqrt()


def _preserved(own: tuple[Tensor, Tensor], fused: tuple[Tensor, Tensor]) -> Tensor:
    """What of each edge is kept, 0 to 1: its strength times its orientation."""
    strengths = _strength(own), _strength(fused)
    strength = torch.minimum(*strengths) / torch.maximum(*strengths)
    along = (own[0] * fused[0] + own[1] * fused[1]).abs() + _FAINT**2
    across = (own[0] * fused[1] - own[1] * fused[0]).abs()
    orientation = 1 - torch.atan2(across, along) / (math.pi / 2)
    return _sigmoid(strength, *_STRENGTH) * _sigmoid(orientation, *_ORIENTATION)


def _sigmoid(kept: Tensor, gamma: float, kappa: float, sigma: float) -> Tensor:
    return gamma * torch.sigmoid(kappa * (sigma - kept))
