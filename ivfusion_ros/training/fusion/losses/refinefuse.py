"""RefineFuse's own loss, equations 6 to 9: L_int + 5 L_tex.

The formulas are missing from the paper's text, which takes the loss from its reference [56] (PSFusion,
https://github.com/Linfeng-Tang/PSFusion). So, as in that code, contrast is the variance under a Gaussian
and the gradient is Sobel's without a divisor. What differs:

- Borders are replicated in both; that code pads with zeros, which makes an edge of the image's border and
  gives it to the brighter source.
- The intensity is compared pixel by pixel in the L1 norm, as the paper says; that code compares the squared
  differences of 9x9 windows.
- Without labels the mask is contrast alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from ivfusion_ros.training.fusion.losses.image_terms import salient_pixels, sobel

if TYPE_CHECKING:
    from ivfusion_ros.training.fusion.loss_config import RefineFuseLossConfig
    from ivfusion_ros.training.fusion.losses.base import Batch, Terms

SOBEL_SUM = 4
"""What image_terms.sobel divides by, and the paper does not."""


def contrast(image: Tensor, window: int, sigma: float) -> Tensor:
    """Variance under a Gaussian window of odd side at each pixel of (B, 1, H, W), borders replicated."""
    offsets = torch.arange(window, device=image.device) - window // 2
    weights = torch.softmax(-(offsets**2) / (2 * sigma**2), 0)
    # About the image's mean: a difference of squares loses digits where an image is bright.
    centred = image - image.mean((2, 3), keepdim=True)
    moments = torch.cat((centred, centred**2))
    moments = functional.pad(moments, (window // 2,) * 4, mode="replicate")
    moments = functional.conv2d(moments, weights.view(1, 1, -1, 1))
    mean, square = functional.conv2d(moments, weights.view(1, 1, 1, -1)).chunk(2)
    return square - mean**2


def thermal_mask(batch: Batch, constants: RefineFuseLossConfig) -> Tensor:
    """M of equation 6, (B, 1, H, W): 1 where an object is salient or thermal contrast the higher."""
    thermal, visible = (
        contrast(image, constants.contrast_window, constants.contrast_sigma)
        for image in (batch.thermal, batch.visible)
    )
    return torch.maximum(salient_pixels(batch.labels), (thermal > visible).float())


def texture_loss(batch: Batch, fused: Tensor) -> Tensor:
    """L_tex (equation 8): the fused gradient should be the stronger of the sources'."""
    directions = zip(sobel(batch.thermal), sobel(batch.visible), sobel(fused), strict=True)
    errors = [(own.abs() - torch.maximum(a.abs(), b.abs())).abs().mean() for a, b, own in directions]
    return SOBEL_SUM * torch.stack(errors).sum()


def refinefuse_paper_loss(batch: Batch, fused: Tensor, constants: RefineFuseLossConfig) -> Terms:
    """Terms `intensity` (equation 7) and `texture` (equation 8), weighted as in equation 9."""
    mask = thermal_mask(batch, constants)
    intensity = (mask * (fused - batch.thermal)).abs().mean()
    intensity = intensity + ((1 - mask) * (fused - batch.visible)).abs().mean()
    return {"intensity": intensity, "texture": constants.texture_weight * texture_loss(batch, fused)}
