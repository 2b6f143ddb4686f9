"""Training losses of the fusion networks.

A loss takes a batch and the fused images and gives named terms; the total is their sum.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

Terms = dict[str, Tensor]


@dataclass(frozen=True)
class Batch:
    """Crops and what is known of the images that they come from.

    thermal, visible: (B, 1, H, W) float32 in [0, 1]. labels: (B, 1, H, W) uint8 class ids, 255 unknown.
    thermal_mean, visible_mean: (B, 1, 1, 1) float32, of the whole images.
    """

    thermal: Tensor
    visible: Tensor
    labels: Tensor
    thermal_mean: Tensor
    visible_mean: Tensor


Loss = Callable[[Batch, Tensor], Terms]


def sobel(image: Tensor) -> tuple[Tensor, Tensor]:
    """Horizontal and vertical Sobel derivatives, (B, 1, H, W), a step of height 1 giving 1."""
    kernel = torch.tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]], device=image.device) / 4
    padded = functional.pad(image, (1, 1, 1, 1), mode="replicate")
    return (
        functional.conv2d(padded, kernel[None, None]),
        functional.conv2d(padded, kernel.T[None, None]),
    )


def box_mean(image: Tensor, size: int) -> Tensor:
    """Mean over size x size windows (size odd), borders replicated."""
    padded = functional.pad(image, (size // 2,) * 4, mode="replicate")
    return functional.avg_pool2d(padded, size, 1)


def structural_similarity(a: Tensor, b: Tensor, window: int = 7) -> Tensor:
    """SSIM per pixel of two (B, 1, H, W) images in [0, 1], uniform window, with small constants.

    The constants keep flat regions from dividing by zero, and are far below SSIM's usual ones, since
    fused images are judged by the structure of dark regions too.
    """
    mean_a, mean_b = box_mean(a, window), box_mean(b, window)
    variance_a = (box_mean(a * a, window) - mean_a**2).clamp(min=0)
    variance_b = (box_mean(b * b, window) - mean_b**2).clamp(min=0)
    covariance = box_mean(a * b, window) - mean_a * mean_b
    luminance = (2 * mean_a * mean_b + 1e-4) / (mean_a**2 + mean_b**2 + 1e-4)
    return luminance * (2 * covariance + 1e-5) / (variance_a + variance_b + 1e-5)


def ramp(x: Tensor, low: float, high: float) -> Tensor:
    """0 below low, 1 above high, smooth in between."""
    x = ((x - low) / (high - low)).clamp(0, 1)
    return x * x * (3 - 2 * x)


def texture_loss(batch: Batch, fused: Tensor) -> Tensor:
    """L_tex of RefineFuse (equation 8): the fused gradient should be the stronger of the sources'."""
    directions = zip(sobel(batch.thermal), sobel(batch.visible), sobel(fused), strict=True)
    errors = [(own.abs() - torch.maximum(a.abs(), b.abs())).abs().mean() for a, b, own in directions]
    return torch.stack(errors).sum()


SALIENT_LABELS = (1, 2)
"""Car and person of MSRS: what a robot must not miss."""


def _salient(labels: Tensor) -> Tensor:
    return torch.stack([labels == label for label in SALIENT_LABELS]).any(0).float()


def refinefuse_paper_loss(batch: Batch, fused: Tensor) -> Terms:
    """L_int + 5 L_tex of RefineFuse (equations 6 to 9), with the paper's hard mask."""
    thermal_contrast = (batch.thermal - box_mean(batch.thermal, 3)) ** 2
    visible_contrast = (batch.visible - box_mean(batch.visible, 3)) ** 2
    mask = torch.maximum(_salient(batch.labels), (thermal_contrast > visible_contrast).float())
    intensity = (mask * (fused - batch.thermal)).abs().mean()
    intensity = intensity + ((1 - mask) * (fused - batch.visible)).abs().mean()
    return {"intensity": intensity, "texture": 5 * texture_loss(batch, fused)}


@dataclass(frozen=True)
class RefineFuseLoss:
    """RefineFuse's two losses with another intensity target, and a structure term.

    Tried on real pairs, the paper's hard per-pixel mask is noise wherever both images are flat, and it
    pulls day scenes to the dark of the thermal image. Here the intensity target is the visible image plus
    the thermal deviation from its image's mean (so that fused minus visible looks like the thermal
    image, which is what SCD asks for, and flat thermal background adds no haze), at least the thermal
    value where it is hot or a salient label says so. At night, glare gives way to the thermal image.
    """

    thermal_gain: float = 0.6
    texture_weight: float = 5.0
    structure_weight: float = 0.05

    def target(self, batch: Batch) -> Tensor:
        """The intensity that the fused image should have, (B, 1, H, W) in [0, 1]."""
        thermal, salient = batch.thermal, _salient(batch.labels)
        visible = self._without_glare(batch, salient)
        excess = thermal - batch.thermal_mean
        blended = (visible + self.thermal_gain * excess).clamp(0, 1)
        hot = torch.maximum(ramp(excess, 0.1, 0.4), salient * ramp(excess, 0.0, 0.15))
        return torch.maximum(blended, hot * thermal)

    def _without_glare(self, batch: Batch, salient: Tensor) -> Tensor:
        night = 1 - ramp(batch.visible_mean, 0.2, 0.35)
        glare = night * ramp(batch.visible, 0.6, 0.95) * (0.7 + 0.3 * salient)
        return batch.visible - glare * (batch.visible - batch.thermal).clamp(min=0)

    def __call__(self, batch: Batch, fused: Tensor) -> Terms:
        """Terms `intensity`, `texture` and `structure`, weighted."""
        similarity = structural_similarity(fused, batch.thermal) + structural_similarity(
            fused, batch.visible
        )
        return {
            "intensity": (fused - self.target(batch)).abs().mean(),
            "texture": self.texture_weight * texture_loss(batch, fused),
            "structure": self.structure_weight * (2 - similarity.mean()),
        }


LOSSES: dict[str, Loss] = {
    "refinefuse": RefineFuseLoss(),
    "refinefuse_paper": refinefuse_paper_loss,
}
