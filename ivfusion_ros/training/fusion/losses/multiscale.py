"""The loss that the shipped networks were trained with: towards one image that both sources agree on.

Tried on real pairs, RefineFuse's own loss has a hard per-pixel mask that is noise wherever both images are
flat, and pulls day scenes to the dark of the thermal image; and its texture term compares the sizes of
derivatives, so that an edge may come out with its sign reversed. Here intensity and texture have one
target, blended from the sources' Laplacian pyramids, as classical fusion does; and structure (SSIM) and
information (VIF) of both sources are asked for directly.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ivfusion_ros.training.fusion.loss_config import MultiScaleConfig
from ivfusion_ros.training.fusion.losses.image_terms import (
    box_mean,
    expand,
    laplacian_pyramid,
    ramp,
    salient_pixels,
)
from ivfusion_ros.training.fusion.losses.terms import fidelity_lost, structure_lost, texture_distance

if TYPE_CHECKING:
    from ivfusion_ros.training.fusion.losses.base import Batch, Terms


@dataclass(frozen=True)
class MultiScaleLoss:
    """Intensity and gradients of a multi-scale target, structure and fidelity of both sources.

    The target of the first two terms:

    - Details of its Laplacian pyramid lean to the source that has more energy around a pixel, and keep
      `shared_detail` of the other's.
    - Its base is the visible image plus the thermal deviation from its image's mean or median (so that
      fused minus visible looks like the thermal image, which is what SCD asks for, and flat thermal
      background adds no haze).
    - It is at least the thermal value where it is hot or a salient label says so. At night, glare gives
      way to the thermal image.
    """

    constants: MultiScaleConfig = field(default_factory=MultiScaleConfig)

    @torch.no_grad()
    def target(self, batch: Batch) -> Tensor:
        """The image to aim at, (B, 1, H, W) in [0, 1]."""
        own, thermal, salient = self.constants, batch.thermal, salient_pixels(batch.labels)
        visible = self._without_glare(batch, salient)
        *thermal_details, thermal_base = laplacian_pyramid(thermal, own.levels)
        *visible_details, visible_base = laplacian_pyramid(visible, own.levels)
        level = self._level(batch)
        target = visible_base + own.thermal_gain * (thermal_base - level)
        for pair in zip(reversed(thermal_details), reversed(visible_details), strict=True):
            target = expand(target) + own.detail_gain * self._detail(*pair)
        excess = thermal - level
        hot = torch.maximum(
            ramp(excess, own.hot_from, own.hot_full),
            salient * ramp(excess, own.salient_from, own.salient_full),
        )
        return torch.maximum(target.clamp(0, 1), hot * thermal)

    def _level(self, batch: Batch) -> Tensor:
        """What thermal deviates from, (B, 1, 1, 1)."""
        if self.constants.thermal_level == "mean":
            return batch.thermal_mean
        return batch.thermal.flatten(1).median(1).values[:, None, None, None]

    def _detail(self, thermal: Tensor, visible: Tensor) -> Tensor:
        own = self.constants
        energies = [
            box_mean(detail**2, own.energy_window) ** own.selectivity for detail in (thermal, visible)
        ]
        weight = energies[0] / (energies[0] + energies[1] + 1e-12)
        stronger, weaker = (
            weight * thermal + (1 - weight) * visible,
            (1 - weight) * thermal + weight * visible,
        )
        return stronger + own.shared_detail * weaker

    def _without_glare(self, batch: Batch, salient: Tensor) -> Tensor:
        own = self.constants
        night = 1 - ramp(batch.visible_mean, own.night_full, own.night_until)
        removed = own.glare_removed + (1 - own.glare_removed) * salient
        glare = night * ramp(batch.visible, own.glare_from, own.glare_full) * removed
        return batch.visible - glare * (batch.visible - batch.thermal).clamp(min=0)

    def __call__(self, batch: Batch, fused: Tensor) -> Terms:
        """Terms `intensity`, `texture`, `structure` and `fidelity`, weighted; no term of weight 0."""
        own, target = self.constants, self.target(batch)
        terms = {"intensity": own.intensity_weight * (fused - target).abs().mean()}
        if own.texture_weight:
            terms["texture"] = own.texture_weight * texture_distance(fused, target)
        if own.structure_weight:
            lost = structure_lost(batch, fused, own.structure_window, own.structure_floor)
            terms["structure"] = own.structure_weight * lost
        if own.fidelity_weight:
            terms["fidelity"] = own.fidelity_weight * fidelity_lost(batch, fused, own.fidelity_power)
        return terms
