"""Training losses of the fusion networks, those of the papers and our own; a config names one of LOSSES."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ivfusion_ros.errors import ConfigError
from ivfusion_ros.training.fusion.losses.base import FusedImageLoss, Loss
from ivfusion_ros.training.fusion.losses.distillation import make_distillation_loss
from ivfusion_ros.training.fusion.losses.mda import make_mda_loss
from ivfusion_ros.training.fusion.losses.multiscale import MultiScaleLoss
from ivfusion_ros.training.fusion.losses.refinefuse import refinefuse_paper_loss
from ivfusion_ros.training.fusion.losses.refinefuse_ablation import REFINEFUSE_ABLATION
from ivfusion_ros.training.fusion.losses.transfusion import FeatureFusionLoss, make_reconstruction_loss

if TYPE_CHECKING:
    from collections.abc import Callable

    from ivfusion_ros.training.fusion.config import TrainConfig

LOSSES: dict[str, Callable[[TrainConfig], Loss]] = {
    "multiscale": lambda _: FusedImageLoss(MultiScaleLoss()),
    "refinefuse_paper": lambda _: FusedImageLoss(refinefuse_paper_loss),
    "distillation": make_distillation_loss,
    "mda": make_mda_loss,
    "transfusion_reconstruction": make_reconstruction_loss,
    "transfusion_fusion": lambda _: FeatureFusionLoss(),
}


def make_loss(config: TrainConfig) -> Loss:
    """The loss that a config names, also one of an ablation. Raises ConfigError for an unknown one."""
    if config.loss in REFINEFUSE_ABLATION:
        return FusedImageLoss(REFINEFUSE_ABLATION[config.loss])
    if config.loss not in LOSSES:
        raise ConfigError(f"unknown loss {config.loss!r}, expected one of {', '.join(LOSSES)}")
    return LOSSES[config.loss](config)
