"""Training losses of the fusion networks, those of the papers and our own; a config names one of LOSSES."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ivfusion_ros.errors import ConfigError
from ivfusion_ros.training.fusion.loss_config import SECTIONS_OF
from ivfusion_ros.training.fusion.losses.base import Batch, FusedImageLoss, Loss, Outputs
from ivfusion_ros.training.fusion.losses.distillation import make_distillation_loss
from ivfusion_ros.training.fusion.losses.image_terms import FIDELITY_SIDE
from ivfusion_ros.training.fusion.losses.mda import make_mda_loss
from ivfusion_ros.training.fusion.losses.multiscale import MultiScaleLoss
from ivfusion_ros.training.fusion.losses.refinefuse import refinefuse_paper_loss
from ivfusion_ros.training.fusion.losses.refinefuse_ablation import REFINEFUSE_ABLATION, PaperMeasure
from ivfusion_ros.training.fusion.losses.terms import DETECTOR_STRIDE, TERMS, WithTerms
from ivfusion_ros.training.fusion.losses.transfusion import FeatureFusionLoss, make_reconstruction_loss

if TYPE_CHECKING:
    from collections.abc import Callable

    from ivfusion_ros.training.fusion.config import TrainConfig

__all__ = ["LOSSES", "REFINEFUSE_ABLATION", "TERMS", "Batch", "Loss", "Outputs", "make_loss"]

LOSSES: dict[str, Callable[[TrainConfig], Loss]] = {
    "multiscale": lambda config: FusedImageLoss(MultiScaleLoss(config.multiscale)),
    "refinefuse_paper": lambda config: _paper(refinefuse_paper_loss, config),
    "distillation": make_distillation_loss,
    "mda": make_mda_loss,
    "transfusion_reconstruction": make_reconstruction_loss,
    "transfusion_fusion": lambda config: FeatureFusionLoss(constants=config.transfusion_fusion),
}


def make_loss(config: TrainConfig) -> Loss:
    """The loss that a config names, also one of an ablation, with its extra terms. Raises ConfigError."""
    loss = _named_loss(config)
    named = ((name, getattr(config.terms, name)) for name in TERMS)
    extra = {name: (term.weight, TERMS[name](term)) for name, term in named if term.weight > 0}
    return WithTerms(loss, extra) if extra else loss


def needs_of(config: TrainConfig) -> tuple[int, int]:
    """What the sides of an image must be multiples of, and at least, for the loss that a config names."""
    multiscale = "multiscale" in SECTIONS_OF.get(config.loss, ())
    fidelity = config.terms.fidelity.weight > 0 or (multiscale and config.multiscale.fidelity_weight > 0)
    unit = 2**config.multiscale.levels if multiscale else 1
    if config.terms.detection.weight > 0:
        unit = math.lcm(unit, DETECTOR_STRIDE)
    return unit, FIDELITY_SIDE if fidelity else 1


def _named_loss(config: TrainConfig) -> Loss:
    if config.loss in REFINEFUSE_ABLATION:
        return _paper(REFINEFUSE_ABLATION[config.loss], config)
    if config.loss not in LOSSES:
        raise ConfigError(f"unknown loss {config.loss!r}, expected one of {', '.join(LOSSES)}")
    return LOSSES[config.loss](config)


def _paper(measure: PaperMeasure, config: TrainConfig) -> FusedImageLoss:
    return FusedImageLoss(lambda batch, fused: measure(batch, fused, config.refinefuse_paper))
