"""Mutual information as a differentiable measure."""

from __future__ import annotations

import torch
from torch import Tensor


def mutual_information(a: Tensor, b: Tensor, bins: int = 32) -> Tensor:
    """Mutual information of two (B, N) sets of values, N at equal places, in nats: (B,).

    The joint histogram's bins go from each set's least to its largest value. A value counts for the two
    bins whose centres it lies between, in proportion to its nearness, so that small changes show.
    """
    joint = _memberships(a, bins).transpose(1, 2) @ _memberships(b, bins) / a.shape[1]
    independent = joint.sum(2, keepdim=True) * joint.sum(1, keepdim=True)
    tiny = torch.finfo(joint.dtype).tiny
    return (joint * (joint.clamp(min=tiny) / independent.clamp(min=tiny)).log()).sum((1, 2))


def _memberships(values: Tensor, bins: int) -> Tensor:
    """Share of each value in each bin, (B, N, bins); a value's shares sum to 1."""
    with torch.no_grad():
        low, high = values.aminmax(dim=1, keepdim=True)
        scale = (bins - 1) / (high - low).clamp(min=1e-6)
    centres = torch.arange(bins, device=values.device)
    return (1 - ((values - low) * scale)[:, :, None].sub(centres).abs()).clamp(min=0)
