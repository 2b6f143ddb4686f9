"""MDA's loss: L_sim + 0.2 L_int + 1e-6 L_feature + L_style + 2 L_patch.

Intensity and detail are demanded of each source as far as it has them to give, per image (L_sim, L_int)
and per 15x15 window (L_patch). As in the released code (https://github.com/SSyangguang/MDA), VGG's
activations are sigmoids and it is given images in [0, 1] as they are, without ImageNet's mean; L_patch
takes the mean over a window twice of its detail energy; and L_feature compares every other value of a fused
feature with a thermal one of half its size. What stays different:

- All constants of SSIM belong to images in [0, 1], and L_patch's weights to grey levels; the released code
  has them the other way round, whereby its SSIM terms hardly depend on the image, nor do its weights.
- Borders are replicated under the Laplacian of Gaussian, and L_patch's windows end at them; the released
  code pads with zeros, which are an edge, and under the Laplacian of features with too few.
- The Laplacian of Gaussian is computed; the released code has a table of whole numbers close to it, one of
  them a slip of the pen.
- Each pair has its own L_sim and L_int; the released code weighs the means of the whole batch.
- MS-SSIM takes as many scales as fit into a crop (see ms_ssim).
- Deviations are those of all values, not estimates from a sample.
- Without VGG, the measures are taken on the images. These are of another magnitude than feature maps
  (thousands of times 3000 for details, a thousandth for intensities), so each pair of measures is divided
  by its mean: weights stay between 0.12 and 0.88. L_style, which compares learned features, is left out.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from ivfusion_ros.errors import ConfigError
from ivfusion_ros.networks.mda import MDA, Features
from ivfusion_ros.training.fusion.loss_config import MdaLossConfig
from ivfusion_ros.training.fusion.losses.base import Batch, Outputs, Terms
from ivfusion_ros.training.fusion.losses.mda_measures import detail_measure, intensity_measure, log_response
from ivfusion_ros.training.fusion.losses.ms_ssim import ms_ssim
from ivfusion_ros.training.fusion.vgg import vgg_convolutions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ivfusion_ros.training.fusion.config import TrainConfig

PATCH_CONSTANT = (2.5 / 255) ** 2
VGG_BLOCKS = (4, 9)
"""Ends of VGG-16's first two blocks, before their pooling."""
PAIRS = ((0, 0), (0, 1), (1, 1), (1, 2), (2, 2))
"""Scales of the visible and the thermal feature in each fused one."""
FEATURE_WEIGHTS = (8.0, 8.0, 2.0, 2.0, 1.0)


def make_mda_loss(config: TrainConfig) -> MdaLoss:
    """The loss with or without VGG, as the config says. Raises as vgg_convolutions does."""
    return MdaLoss(None if config.vgg == "none" else vgg_convolutions(16), config.mda)


@dataclass(frozen=True)
class MdaLoss:
    """The whole loss. vgg: VGG-16's layers as torchvision has them; None: measure the images themselves."""

    vgg: nn.Sequential | None = None
    constants: MdaLossConfig = field(default_factory=MdaLossConfig)

    def trained(self, network: nn.Module) -> Iterable[nn.Parameter]:
        """All weights. Raises ConfigError for another network, which has not the features of L_feature."""
        if not isinstance(network, MDA):
            raise ConfigError(f"loss mda is for network mda, found {type(network).__name__}")
        return network.parameters()

    def run(self, network: nn.Module, batch: Batch) -> Outputs:
        """Fuse the pairs; the features are named thermal_0, fused_4 and so on."""
        assert isinstance(network, MDA)
        features = network.features(batch.thermal, batch.visible)
        named = {
            f"{kind}_{index}": feature.float()
            for kind, group in features._asdict().items()
            for index, feature in enumerate(group)
        }
        return Outputs(network.decode(features.fused).float(), named)

    def terms(self, batch: Batch, outputs: Outputs) -> Terms:
        """Terms `similarity`, `intensity`, `feature`, `patch` and, with VGG, `style`, weighted."""
        own, sources, fused = self.constants, torch.cat((batch.thermal, batch.visible), 1), outputs.fused
        with torch.no_grad():
            maps = self._maps(sources)
            intensity, detail = (
                self._weights(maps, by)
                for by in (
                    partial(intensity_measure, deviation_weight=own.deviation_weight),
                    detail_measure,
                )
            )
        errors = ((fused - sources) ** 2).mean((2, 3))
        unlike = torch.stack([1 - ms_ssim(fused, source) for source in sources.chunk(2, 1)], 1)
        terms = {
            "similarity": (detail * unlike).sum(1).mean(),
            "intensity": own.intensity_weight * (intensity * errors).sum(1).mean(),
            "feature": own.feature_weight * feature_loss(_features(outputs), own.value_weight),
            "patch": own.patch_weight * patch_loss(sources, fused, own),
        }
        if self.vgg is not None:
            style = style_loss([thermal for thermal, _ in maps], vgg_blocks(self.vgg, fused))
            terms["style"] = own.style_weight * style
        return terms

    def _maps(self, sources: Tensor) -> list[tuple[Tensor, Tensor]]:
        """What is measured: thermal and visible maps, a pair for each block of VGG."""
        thermal, visible = sources.chunk(2, 1)
        if self.vgg is None:
            return [(thermal, visible)]
        return list(zip(vgg_blocks(self.vgg, thermal), vgg_blocks(self.vgg, visible), strict=True))

    def _weights(self, maps: list[tuple[Tensor, Tensor]], measure: Callable[[Tensor], Tensor]) -> Tensor:
        """(B, 2): shares of thermal and visible."""
        blocks = [torch.stack((measure(thermal), measure(visible)), 1) for thermal, visible in maps]
        measures = torch.stack(blocks).mean(0)
        if self.vgg is None:
            return torch.softmax(measures / measures.mean(1, keepdim=True).clamp(min=1e-6), 1)
        return torch.softmax(measures / self.constants.measure_scale, 1)


def _features(outputs: Outputs) -> Features:
    groups = ((kind, 5 if kind == "fused" else 3) for kind in Features._fields)
    return Features(*(tuple(outputs.features[f"{kind}_{i}"] for i in range(n)) for kind, n in groups))


def vgg_blocks(vgg: nn.Sequential, image: Tensor) -> list[Tensor]:
    """Features of (B, 1, H, W) at the ends of the first two blocks: 64 and 128 channels, in (0, 1)."""
    maps = image.expand(-1, 3, -1, -1)
    blocks = []
    for index, layer in enumerate(islice(vgg.to(image.device), VGG_BLOCKS[-1]), 1):
        # Sigmoids in the place of ReLU, with the weights that were learned with ReLU.
        maps = torch.sigmoid(maps) if isinstance(layer, nn.ReLU) else layer(maps)
        if index in VGG_BLOCKS:
            blocks.append(maps)
    return blocks


def feature_loss(features: Features, value_weight: float) -> Tensor:
    """L_feature: fused features with the details of the visible and the values of the thermal ones.

    value_weight: of the values beside the details.
    """
    total = torch.zeros((), device=features.fused[0].device)
    for fused, (visible, thermal), weight in zip(features.fused, PAIRS, FEATURE_WEIGHTS, strict=True):
        details = log_response(fused - features.visible[visible])
        if thermal != visible:
            fused = fused[..., ::2, ::2]
        values = fused - features.thermal[thermal]
        total = total + weight * ((details**2).mean() + value_weight * (values**2).mean())
    return total


def style_loss(thermal: list[Tensor], fused: list[Tensor]) -> Tensor:
    """L_style: KL divergence of fused from thermal Gram matrices, row by row through a softmax."""
    divergences = []
    for wanted, found in zip(thermal, fused, strict=True):
        own, target = (torch.log_softmax(_gram(maps), 2) for maps in (found, wanted))
        divergences.append(functional.kl_div(own, target, reduction="batchmean", log_target=True))
    return torch.stack(divergences).sum()


def _gram(maps: Tensor) -> Tensor:
    flat = maps.flatten(2)
    return flat @ flat.transpose(1, 2) / flat[0].numel()


def patch_loss(sources: Tensor, fused: Tensor, constants: MdaLossConfig) -> Tensor:
    """L_patch of fused (B, 1, H, W) and sources (B, 2, H, W): weighted local SSIM and squared error."""
    side = constants.patch_window
    moments = _window_mean(torch.cat((sources, fused, sources**2, fused**2, sources * fused), 1), side)
    mean, own_mean, square, own_square, product = torch.split(moments, [2, 1, 2, 1, 2], 1)
    variance = (square - mean**2).clamp(min=0)
    own_variance = (own_square - own_mean**2).clamp(min=0)
    covariance = product - mean * own_mean
    similarity = (2 * covariance + PATCH_CONSTANT) / (variance + own_variance + PATCH_CONSTANT)
    error = square - 2 * product + own_square
    with torch.no_grad():
        energy = _window_mean(_window_mean(log_response(sources) ** 2, side).sqrt(), side)
        detail = torch.softmax(energy / constants.measure_scale, 1)
        level = 255 * mean + constants.deviation_weight * 255**2 * variance
        intensity = torch.softmax(level / constants.measure_scale, 1)
    return (detail * (1 - similarity) + constants.patch_intensity * intensity * error).sum(1).mean()


def _window_mean(maps: Tensor, side: int) -> Tensor:
    # Rows, then columns: 30 additions a pixel for a window of 225. At a border, what is inside counts.
    half = side // 2
    rows = functional.avg_pool2d(maps, (side, 1), 1, (half, 0), count_include_pad=False)
    mean: Tensor = functional.avg_pool2d(rows, (1, side), 1, (0, half), count_include_pad=False)
    return mean
