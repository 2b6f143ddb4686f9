"""Settings of a training run; free of torch, so that the command line can list them anywhere."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ivfusion_ros.config.parameters import load_config, parameter, plain
from ivfusion_ros.errors import ConfigError
from ivfusion_ros.training.fusion.loss_config import (
    SECTIONS_OF,
    DistillationConfig,
    FeatureFusionLossConfig,
    MdaLossConfig,
    MultiScaleConfig,
    ReconstructionLossConfig,
    RefineFuseLossConfig,
    TermsConfig,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


@dataclass(frozen=True)
class TrainConfig:
    """Settings of one training run."""

    network: str = parameter("refinefuse", "name of the network")
    loss: str = parameter("multiscale", "name of the loss")
    iterations: int = parameter(40000, "optimiser steps", minimum=1)
    batch: int = parameter(8, "crops per step", minimum=1)
    crop: int = parameter(256, "side of a crop, pixels; a multiple of the network's stride", minimum=32)
    learning_rate: float = parameter(1e-3, "peak of the one-cycle schedule (AdamW)", minimum=1e-8)
    weight_decay: float = parameter(1e-4, "weight decay of AdamW", minimum=0.0)
    gradient_limit: float = parameter(
        1.0, "largest gradient norm, longer gradients are clipped", minimum=1e-6
    )
    precision: str = parameter("bf16", "precision of the forward pass", choices=("bf16", "f32"))
    validation_fraction: float = parameter(
        0.08, "share of each folder held out, in whole runs of frame numbers", minimum=0.0, maximum=0.5
    )
    validate_every: int = parameter(500, "steps between validations and checkpoints", minimum=1)
    seed: int = parameter(0, "random seed of weights, crops and held-out runs", minimum=0)
    vgg: str = parameter(
        "imagenet",
        "features of losses and start of encoders that build on VGG: imagenet (weights by torchvision, "
        "downloaded once) or none (what the loss or network does without)",
        choices=("imagenet", "none"),
    )
    teacher: str = parameter(
        "", "fusion model to learn from, a name or an ONNX file; its images are kept beside the run"
    )
    folder_limit: int = parameter(
        0, "largest number of pairs of a folder to train on, evenly spread; 0: all", minimum=0
    )
    device: str = parameter("auto", "auto, cpu or cuda", choices=("auto", "cpu", "cuda"))
    terms: TermsConfig = field(default_factory=TermsConfig)
    multiscale: MultiScaleConfig = field(default_factory=MultiScaleConfig)
    distillation: DistillationConfig = field(default_factory=DistillationConfig)
    refinefuse_paper: RefineFuseLossConfig = field(default_factory=RefineFuseLossConfig)
    mda: MdaLossConfig = field(default_factory=MdaLossConfig)
    transfusion_reconstruction: ReconstructionLossConfig = field(default_factory=ReconstructionLossConfig)
    transfusion_fusion: FeatureFusionLossConfig = field(default_factory=FeatureFusionLossConfig)


LOSS_SECTIONS = frozenset(name for names in SECTIONS_OF.values() for name in names)


def load_train_config(path: Path, overrides: Mapping[str, Any]) -> TrainConfig:
    """Settings of a YAML file and overrides by dotted name.

    Raises ConfigError, also for constants of a loss that is not trained with: they would do nothing.
    """
    config = load_config(TrainConfig, path, overrides)
    check_sections(config)
    return config


def check_sections(config: TrainConfig) -> None:
    """Raises ConfigError where a constant of another loss than the config's was changed."""
    used = SECTIONS_OF.get(config.loss, ())
    for name in sorted(LOSS_SECTIONS.difference(used)):
        section = getattr(config, name)
        changed = [
            item.name for item in dataclasses.fields(section) if getattr(section, item.name) != item.default
        ]
        if changed:
            raise ConfigError(
                f"{name}.{changed[0]} does nothing with loss {config.loss}, which reads "
                f"{', '.join(used) or 'no section'}"
            )


def settings(config: TrainConfig) -> dict[str, Any]:
    """Everything that a run is made of, as YAML holds it; constants of its own loss only."""
    unused = LOSS_SECTIONS.difference(SECTIONS_OF.get(config.loss, ()))
    return {name: value for name, value in plain(config).items() if name not in unused}
