"""Settings of a training run; free of torch, so that the command line can list them anywhere."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from ivfusion_ros.config.parameters import flatten, make_config, parameter, plain
from ivfusion_ros.errors import ConfigError
from ivfusion_ros.files import read_yaml
from ivfusion_ros.images.names import RUN_GAP
from ivfusion_ros.training.fusion.loss_config import SECTIONS_OF, LossSections

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

WHOLE = 0
"""As a crop's side: the whole image."""


@dataclass(frozen=True)
class OptimizerConfig:
    """What changes the weights; learning_rate and weight_decay stand beside it."""

    name: str = parameter("adamw", "algorithm that changes the weights", choices=("adamw", "adam", "sgd"))
    momentum: float = parameter(
        0.9, "momentum of SGD; Adam's beta of the mean gradient", minimum=0.0, maximum=0.9999
    )
    second_momentum: float = parameter(
        0.999, "Adam's beta of the mean squared gradient", minimum=0.0, maximum=0.99999
    )
    nesterov: bool = parameter(False, "Nesterov's momentum, of SGD")


@dataclass(frozen=True)
class ScheduleConfig:
    """How the learning rate changes; factors are of learning_rate."""

    name: str = parameter(
        "one_cycle",
        "one_cycle: from start up to 1 and down to end by cosines; cosine: from 1 to end; step: times "
        "decay at once every decay_epochs; exponential: the same smoothly; constant",
        choices=("one_cycle", "cosine", "step", "exponential", "constant"),
    )
    rise: float = parameter(
        0.1, "share of the steps until the peak of one_cycle", minimum=0.0, maximum=0.99
    )
    start: float = parameter(0.04, "factor at the start of one_cycle", minimum=0.0, maximum=1.0)
    end: float = parameter(4e-6, "factor at the end of one_cycle and cosine", minimum=0.0, maximum=1.0)
    high_momentum: float = parameter(
        0.95, "momentum at both ends of one_cycle, which changes it too", minimum=0.0, maximum=0.9999
    )
    low_momentum: float = parameter(0.85, "momentum at the peak of one_cycle", minimum=0.0, maximum=0.9999)
    decay: float = parameter(0.9, "factor of step and exponential", minimum=1e-6, maximum=1.0)
    decay_epochs: float = parameter(1.0, "passes over the data between two decays", minimum=1e-6)
    warm_up: int = parameter(
        0, "steps in which a rate that is not one_cycle's rises from 0 in a line", minimum=0
    )


@dataclass(frozen=True)
class AugmentConfig:
    """What is done to crops at random, the same at each run of a seed.

    gain, offset, polarity and hot change what is to be fused; the others only what the network sees, and
    the loss compares with the images as they were. Where a border is missing, that is the visible image.
    """

    flip: bool = parameter(True, "mirror half of the crops")
    rotate: bool = parameter(True, "turn by multiples of 90 degrees")
    smallest_scale: float = parameter(1.0, "lower end of a random zoom", minimum=0.1, maximum=10.0)
    largest_scale: float = parameter(1.0, "upper end of the zoom", minimum=0.1, maximum=10.0)
    gain: float = parameter(
        0.0, "largest change of a source's contrast around its mean, as a share", minimum=0.0, maximum=0.95
    )
    offset: float = parameter(
        0.0, "largest change of a source's brightness, grey levels", minimum=0.0, maximum=255.0
    )
    polarity: float = parameter(
        0.0, "share of crops with thermal inverted, as black-hot cameras have it", minimum=0.0, maximum=1.0
    )
    hot: float = parameter(
        0.0,
        "share of crops with a large hot object drawn into thermal, for which the rest is not to change",
        minimum=0.0,
        maximum=1.0,
    )
    blur: float = parameter(
        0.0, "largest standard deviation of a Gaussian blur of a source, pixels", minimum=0.0, maximum=20.0
    )
    noise: float = parameter(
        0.0, "largest standard deviation of noise, grey levels", minimum=0.0, maximum=100.0
    )
    border: float = parameter(
        0.0, "share of crops whose thermal image ends at a straight border", minimum=0.0, maximum=1.0
    )
    border_width: float = parameter(
        0.5, "largest share of such a crop that is black", minimum=0.0, maximum=0.95
    )
    coarse: float = parameter(
        0.0,
        "share of crops with few grey levels, as of 8 bits that were stretched",
        minimum=0.0,
        maximum=1.0,
    )
    fewest_levels: int = parameter(24, "grey levels of the coarsest of them", minimum=2, maximum=256)
    jpeg: float = parameter(0.0, "share of crops compressed as JPEG", minimum=0.0, maximum=1.0)
    lowest_quality: int = parameter(40, "worst quality of JPEG, the best is 95", minimum=1, maximum=95)

    def __post_init__(self) -> None:
        if self.smallest_scale > self.largest_scale:
            raise ConfigError(
                f"augment.smallest_scale is {self.smallest_scale}, must not be above "
                f"augment.largest_scale, {self.largest_scale}"
            )

    @property
    def repaints(self) -> bool:
        """Whether it changes what is to be fused."""
        return max(self.gain, self.offset, self.polarity, self.hot) > 0


@dataclass(frozen=True)
class ValidationConfig:
    """How held-out pairs are judged, as whole images."""

    metrics: tuple[str, ...] = parameter(
        ("VIF", "Qabf", "SSIM", "SCD"), "metrics of the fused images, by their names in `ivfusion eval`"
    )
    best: str = parameter("VIF", "what chooses best.pt: one of them, or loss")
    pairs: int = parameter(
        24,
        "held-out pairs that are evaluated each time, evenly spread; 0: all",
        minimum=0,
    )
    pictures: int = parameter(6, "how many of them are drawn at full size", minimum=0)

    def __post_init__(self) -> None:
        if self.best != "loss" and self.best not in self.metrics:
            raise ConfigError(
                f"validation.best is {self.best!r}, expected loss or one of validation.metrics: "
                f"{', '.join(self.metrics)}"
            )


@dataclass(frozen=True)
class LearningConfig:
    """What is trained, and how."""

    network: str = parameter("refinefuse", "name of the network")
    loss: str = parameter("multiscale", "name of the loss")
    iterations: int = parameter(40000, "optimiser steps", minimum=1)
    epochs: int = parameter(0, "passes over the training pairs instead; 0: by iterations", minimum=0)
    batch: int = parameter(8, "crops per step", minimum=1)
    crop: tuple[int, ...] = parameter(
        (256,),
        "side of a crop, pixels, a multiple of the network's stride; of several each step draws one; 0: "
        "whole images. Images that are smaller are taken whole",
        minimum=WHOLE,
    )
    learning_rate: float = parameter(1e-3, "peak of the schedule", minimum=1e-8)
    weight_decay: float = parameter(1e-4, "weight decay of the optimiser", minimum=0.0)
    gradient_limit: float = parameter(
        1.0, "largest gradient norm, longer gradients are clipped; 0: none", minimum=0.0
    )
    ema: float = parameter(
        0.0,
        "decay per step of the mean of weights that is validated and exported; 0: the weights themselves",
        minimum=0.0,
        maximum=0.99999,
    )
    precision: str = parameter("bf16", "precision of the forward pass", choices=("bf16", "f32"))
    compile: bool = parameter(
        False, "by torch.compile: minutes at the start of each size of crops, then shorter steps"
    )
    seed: int = parameter(0, "random seed of weights, crops and noise", minimum=0)
    vgg: str = parameter(
        "imagenet",
        "features of losses and start of encoders that build on VGG: imagenet (weights by torchvision, "
        "downloaded once) or none (what the loss or network does without)",
        choices=("imagenet", "none"),
    )
    teacher: str = parameter(
        "", "fusion model to learn from, a name or an ONNX file; its images are kept beside the run"
    )
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)


@dataclass(frozen=True)
class DataConfig:
    """Which pairs are trained on, which are held out, and how those are judged."""

    validation_fraction: float = parameter(
        0.08, "share of each folder held out, in whole runs of frame numbers", minimum=0.0, maximum=0.5
    )
    guard: int = parameter(
        RUN_GAP, "pairs within so many frame numbers of a held-out one are not trained on", minimum=0
    )
    split_seed: int = parameter(0, "random seed of held-out runs", minimum=0)
    folder_limit: int = parameter(
        0, "largest number of pairs of a folder to train on, evenly spread; 0: all", minimum=0
    )
    validate_every: int = parameter(500, "steps between validations", minimum=1)
    validation: ValidationConfig = field(default_factory=ValidationConfig)


@dataclass(frozen=True)
class SpeedConfig:
    """What decides how fast a run is, not what comes out."""

    save_every: int = parameter(100, "steps between checkpoints", minimum=1)
    device: str = parameter("auto", "auto, cpu or cuda", choices=("auto", "cpu", "cuda"))
    threads: int = parameter(0, "CPU threads of torch; 0: as many as it takes", minimum=0, maximum=256)
    workers: int = parameter(
        2, "threads that prepare the next steps' crops; 0: each when it is needed", minimum=0, maximum=64
    )
    memory_gb: float = parameter(
        4.0, "decoded images that are kept, GB; others are read again", minimum=0.0
    )


@dataclass(frozen=True)
class TrainConfig(LossSections, SpeedConfig, DataConfig, LearningConfig):
    """Settings of one training run."""

    def __post_init__(self) -> None:
        if not self.crop:
            raise ConfigError("crop is empty, expected at least one side, or 0 for whole images")
        if self.teacher and self.augment.repaints:
            raise ConfigError(
                "augment.gain, offset, polarity and hot change what the teacher saw; leave them at 0 with "
                "one"
            )


LOSS_SECTIONS = frozenset(name for names in SECTIONS_OF.values() for name in names)

MAY_CHANGE = tuple(item.name for item in dataclasses.fields(SpeedConfig))
"""Settings by which a run may differ from the one that it resumes."""


Config = TypeVar("Config", bound=TrainConfig)


def load_train_config(
    path: Path,
    overrides: Mapping[str, Any],
    kind: type[Config] = TrainConfig,  # type: ignore[assignment]
) -> Config:
    """Settings of a YAML file and overrides by dotted name.

    The file may begin with those of another one, `base: FILE` beside it. Raises ConfigError, also for
    constants of a loss that is not trained with: they would do nothing.
    """
    values = _with_base(path)
    config = make_config(kind, values, str(path))
    if overrides:
        make_config(kind, overrides, "options")
        changes = dict(flatten(overrides))
        if "iterations" in changes:
            # Whoever asks for steps gets them, also where the file counts passes.
            changes.setdefault("epochs", 0)
        config = make_config(kind, {**values, **changes}, f"{path} with options")
    check_sections(config)
    return config


def _with_base(path: Path) -> dict[str, Any]:
    """A file's settings by dotted name over those of its base, which has none of its own."""
    own = read_yaml(path)
    base = own.pop("base", None)
    if base is None:
        return dict(flatten(own))
    values = read_yaml(path.parent / str(base))
    if "base" in values:
        raise ConfigError(f"{path} is based on {base}, which has a base itself; name that file's own base")
    return {**dict(flatten(values)), **dict(flatten(own))}


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
