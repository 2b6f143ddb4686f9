"""The loss that the shipped networks were trained with: towards one image that both sources agree on.

Tried on real pairs, RefineFuse's own loss has a hard per-pixel mask that is noise wherever both images are
flat, and pulls day scenes to the dark of the thermal image; and its texture term compares the sizes of
derivatives, so that an edge may come out with its sign reversed. Here intensity and texture have one
target, blended from the sources' Laplacian pyramids, as classical fusion does; and structure (SSIM) and
information (VIF) of both sources are asked for directly.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ivfusion_ros.training.fusion.losses.image_terms import (
    box_mean,
    expand,
    laplacian_pyramid,
    ramp,
    salient_pixels,
    sobel,
    structural_similarity,
    visual_information_fidelity,
)

if TYPE_CHECKING:
    from ivfusion_ros.training.fusion.losses.base import Batch, Terms


@dataclass(frozen=True)
class MultiScaleLoss:
    """Intensity and gradients of a multi-scale target, structure and fidelity of both sources.

    The target of the first two terms:

    - Details of its Laplacian pyramid lean to the source that has more energy around a pixel, and keep
      `shared_detail` of the other's.
    - Its base is the visible image plus the thermal deviation from its image's mean (so that fused minus
      visible looks like the thermal image, which is what SCD asks for, and flat thermal background adds
      no haze).
    - It is at least the thermal value where it is hot or a salient label says so. At night, glare gives
      way to the thermal image.
    """

    levels: int = 5
    energy_window: int = 7
    selectivity: float = 2.0
    """1: weights in proportion to the energies; higher: closer to a choice."""
    shared_detail: float = 0.2
    detail_gain: float = 1.05
    thermal_gain: float = 0.55
    texture_weight: float = 5.0
    structure_weight: float = 0.2
    structure_floor: float = 1e-5
    """Variance below which a region's structure counts for little."""
    fidelity_weight: float = 0.6

    @torch.no_grad()
    def target(self, batch: Batch) -> Tensor:
        """The image to aim at, (B, 1, H, W) in [0, 1]."""
        thermal, salient = batch.thermal, salient_pixels(batch.labels)
        visible = self._without_glare(batch, salient)
        *thermal_details, thermal_base = laplacian_pyramid(thermal, self.levels)
        *visible_details, visible_base = laplacian_pyramid(visible, self.levels)
        target = visible_base + self.thermal_gain * (thermal_base - batch.thermal_mean)
        for pair in zip(reversed(thermal_details), reversed(visible_details), strict=True):
            target = expand(target) + self.detail_gain * self._detail(*pair)
        excess = thermal - batch.thermal_mean
        hot = torch.maximum(ramp(excess, 0.1, 0.4), salient * ramp(excess, 0.0, 0.15))
        return torch.maximum(target.clamp(0, 1), hot * thermal)

    def _detail(self, thermal: Tensor, visible: Tensor) -> Tensor:
        energies = [
            box_mean(detail**2, self.energy_window) ** self.selectivity for detail in (thermal, visible)
        ]
        weight = energies[0] / (energies[0] + energies[1] + 1e-12)
        stronger, weaker = (
            weight * thermal + (1 - weight) * visible,
            (1 - weight) * thermal + weight * visible,
        )
        return stronger + self.shared_detail * weaker

    def _without_glare(self, batch: Batch, salient: Tensor) -> Tensor:
        night = 1 - ramp(batch.visible_mean, 0.2, 0.35)
        glare = night * ramp(batch.visible, 0.6, 0.95) * (0.4 + 0.6 * salient)
        return batch.visible - glare * (batch.visible - batch.thermal).clamp(min=0)

    def __call__(self, batch: Batch, fused: Tensor) -> Terms:
        """Terms `intensity`, `texture`, `structure` and `fidelity`, weighted."""
        target, sources = self.target(batch), (batch.thermal, batch.visible)
        gradients = zip(sobel(fused), sobel(target), strict=True)
        texture = torch.stack([(own - aim).abs().mean() for own, aim in gradients]).sum()
        similarity = torch.stack(
            [structural_similarity(fused, source, floor=self.structure_floor).mean() for source in sources]
        )
        fidelity = torch.stack([visual_information_fidelity(source, fused).mean() for source in sources])
        return {
            "intensity": (fused - target).abs().mean(),
            "texture": self.texture_weight * texture,
            "structure": self.structure_weight * (2 - similarity.sum()),
            "fidelity": self.fidelity_weight * (2 - fidelity.sum()),
        }
