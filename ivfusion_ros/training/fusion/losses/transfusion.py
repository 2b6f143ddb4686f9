"""TransFusion's two stages: an autoencoder first, then how to fuse its features.

Choices where the paper's text is not at hand or we deviate:

- Mutual information is differentiable; the released code takes it from numpy histograms, through which no
  gradient reaches the network. It is of all channels' values at up to 32x32 places of each image.
- SSIM is of one scale, with this package's small constants, where the released code's is multi-scale.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ivfusion_ros.errors import ConfigError
from ivfusion_ros.networks.transfusion import TransFusion
from ivfusion_ros.training.fusion.loss_config import FeatureFusionLossConfig, ReconstructionLossConfig
from ivfusion_ros.training.fusion.losses.base import Batch, Outputs, Terms
from ivfusion_ros.training.fusion.losses.image_terms import structural_similarity
from ivfusion_ros.training.fusion.losses.mutual_information import mutual_information
from ivfusion_ros.training.fusion.vgg import vgg_convolutions

if TYPE_CHECKING:
    from ivfusion_ros.training.fusion.config import TrainConfig

COMPARED_STAGES = (1, 5)


def _transfusion(network: nn.Module) -> TransFusion:
    if not isinstance(network, TransFusion):
        raise ConfigError(
            f"losses transfusion_* are for transfusion and transfusion_slim, found {type(network).__name__}"
        )
    return network


def make_reconstruction_loss(config: TrainConfig) -> ReconstructionLoss:
    """Stage 1 with or without VGG, as the config says. Raises as vgg_convolutions does."""
    vgg = None if config.vgg == "none" else vgg_convolutions(19)
    return ReconstructionLoss(vgg, config.transfusion_reconstruction)


@dataclass(frozen=True)
class ReconstructionLoss:
    """Stage 1: MSE + lambda (1 - SSIM) of both images and what comes out of the autoencoder.

    vgg: VGG-19's convolutions, which the encoder then starts from and keeps; with None, it is trained too.
    """

    vgg: nn.Sequential | None = None
    constants: ReconstructionLossConfig = field(default_factory=ReconstructionLossConfig)

    def trained(self, network: nn.Module) -> Iterable[nn.Parameter]:
        """The decoder, and the encoder where it is not VGG's, whose weights it gets here.

        Raises ConfigError for another network, or one whose width VGG's weights do not fit.
        """
        network = _transfusion(network)
        if self.vgg is None:
            return chain(network.encoder.parameters(), network.decoder.parameters())
        network.encoder.load_vgg(self.vgg)
        return network.decoder.parameters()

    def run(self, network: nn.Module, batch: Batch) -> Outputs:
        """Reconstruct both images; `fused` is the visible one, the feature `thermal` the other."""
        images = torch.cat((batch.thermal, batch.visible))
        thermal, visible = _transfusion(network).reconstruct(images).float().chunk(2)
        return Outputs(visible, {"thermal": thermal})

    def terms(self, batch: Batch, outputs: Outputs) -> Terms:
        """Terms `intensity` and `structure`, weighted."""
        images = torch.cat((batch.thermal, batch.visible))
        own = torch.cat((outputs.features["thermal"], outputs.fused))
        by = self.constants
        similarity = structural_similarity(own, images, by.structure_window, by.structure_floor).mean()
        return {
            "intensity": ((own - images) ** 2).mean(),
            "structure": by.structure_weight * (1 - similarity),
        }


def brighter_source(batch: Batch) -> Tensor:
    """The paper's intensity target: the larger value at each pixel, (B, 1, H, W)."""
    return torch.maximum(batch.thermal, batch.visible)


@dataclass(frozen=True)
class FeatureFusionLoss:
    """Stage 2: intensity to a target, structure of both images, mutual information with their features.

    target: the image whose intensity the fused one should have; the paper's unless another is given.
    """

    target: Callable[[Batch], Tensor] = brighter_source
    constants: FeatureFusionLossConfig = field(default_factory=FeatureFusionLossConfig)

    def trained(self, network: nn.Module) -> Iterable[nn.Parameter]:
        """Perception and guidance. Raises ConfigError for another network."""
        network = _transfusion(network)
        return chain(network.perception.parameters(), network.guidance.parameters())

    def run(self, network: nn.Module, batch: Batch) -> Outputs:
        """Fuse the pairs; the features are named thermal_1, fused_5 and so on, (B, values) each."""
        network = _transfusion(network)
        features = network.features(batch.thermal, batch.visible)
        named = {
            f"{kind}_{stage}": _values(group[stage - 1], self.constants.places)
            for kind, group in features._asdict().items()
            for stage in COMPARED_STAGES
        }
        return Outputs(network.decoder(features.fused).float(), named)

    def terms(self, batch: Batch, outputs: Outputs) -> Terms:
        """Terms `intensity`, `structure` and `information`, weighted."""
        fused, sources = outputs.fused, (batch.thermal, batch.visible)
        with torch.no_grad():
            target = self.target(batch)
        by = self.constants
        window = by.structure_window, by.structure_floor
        similarity = torch.stack(
            [structural_similarity(fused, source, *window).mean() for source in sources]
        )
        given = outputs.features
        information = torch.stack(
            [
                mutual_information(given[f"fused_{stage}"], given[f"{kind}_{stage}"], by.bins)
                for kind in ("thermal", "visible")
                for stage in COMPARED_STAGES
            ]
        )
        return {
            "intensity": by.intensity_weight * ((fused - target) ** 2).mean(),
            "structure": 1 - similarity.mean(),
            # Black crops have no information, and a loss has to be finite.
            "information": by.information_weight / information.sum(0).mean().clamp(min=0.01),
        }


def _values(feature: Tensor, places: int) -> Tensor:
    rows, columns = (-(-side // places) for side in feature.shape[2:])
    return feature[:, :, ::rows, ::columns].flatten(1).float()
