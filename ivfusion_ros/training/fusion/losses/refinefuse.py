"""RefineFuse's own loss."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ivfusion_ros.training.fusion.losses.image_terms import box_mean, salient_pixels, sobel

if TYPE_CHECKING:
    from ivfusion_ros.training.fusion.loss_config import RefineFuseLossConfig
    from ivfusion_ros.training.fusion.losses.base import Batch, Terms


def texture_loss(batch: Batch, fused: Tensor) -> Tensor:
    """L_tex of RefineFuse (equation 8): the fused gradient should be the stronger of the sources'."""
    directions = zip(sobel(batch.thermal), sobel(batch.visible), sobel(fused), strict=True)
    errors = [(own.abs() - torch.maximum(a.abs(), b.abs())).abs().mean() for a, b, own in directions]
    return torch.stack(errors).sum()


def refinefuse_paper_loss(batch: Batch, fused: Tensor, constants: RefineFuseLossConfig) -> Terms:
    """L_int + 5 L_tex of RefineFuse (equations 6 to 9), with the paper's hard mask."""
    thermal_contrast = (batch.thermal - box_mean(batch.thermal, 3)) ** 2
    visible_contrast = (batch.visible - box_mean(batch.visible, 3)) ** 2
    mask = torch.maximum(salient_pixels(batch.labels), (thermal_contrast > visible_contrast).float())
    intensity = (mask * (fused - batch.thermal)).abs().mean()
    intensity = intensity + ((1 - mask) * (fused - batch.visible)).abs().mean()
    return {"intensity": intensity, "texture": constants.texture_weight * texture_loss(batch, fused)}
