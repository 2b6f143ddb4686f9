"""Settings of a matcher's training; free of torch."""

from __future__ import annotations

from dataclasses import dataclass

from ivfusion_ros.config.parameters import parameter
from ivfusion_ros.errors import ConfigError

COARSEST = 32
"""What the sides of an image are multiples of; see networks/matcher.py."""


@dataclass(frozen=True)
class SplitConfig:
    """Which pairs are held out; as in the training of fusion networks."""

    validation_fraction: float = parameter(
        0.2, "share of the pairs held out, in whole runs of frame numbers", minimum=0.0, maximum=0.9
    )
    split_seed: int = parameter(0, "seed of what is held out", minimum=0)
    guard: int = parameter(4, "pairs left out beside each run that is held out", minimum=0)
    folder_limit: int = parameter(0, "most pairs of a folder, evenly spread; 0: all", minimum=0)


@dataclass(frozen=True)
class WarpConfig:
    """How far the cameras are apart in a sample: as a rig is before it was calibrated."""

    smallest_view: float = parameter(
        0.6, "least share of a pair's width that a sample shows", minimum=0.1, maximum=1.0
    )
    turn_deg: float = parameter(10.0, "largest turn between the cameras", minimum=0.0, maximum=180.0)
    scale: float = parameter(1.3, "largest ratio of their scales", minimum=1.0, maximum=4.0)
    shift: float = parameter(0.15, "largest shift, as a share of the width", minimum=0.0, maximum=0.5)
    bend: float = parameter(
        0.02, "how far each corner is moved beyond that, as a share", minimum=0.0, maximum=0.2
    )


@dataclass(frozen=True)
class MatcherConfig(SplitConfig, WarpConfig):
    """A training. Raises ConfigError for sides that the network does not take."""

    iterations: int = parameter(6500, "steps", minimum=1)
    batch: int = parameter(8, "pairs a step", minimum=1)
    width: int = parameter(256, "of a sample, a multiple of 32", minimum=COARSEST)
    height: int = parameter(192, "of a sample, a multiple of 32", minimum=COARSEST)
    repainted: float = parameter(
        0.95,
        "share of the samples, at first, that are one camera's image beside the same one with other greys: "
        "from these it learns what a place is before it learns what cameras differ in",
        minimum=0.0,
        maximum=1.0,
    )
    repainted_last: float = parameter(0.15, "the same share at the end", minimum=0.0, maximum=1.0)
    learning_rate: float = parameter(2e-3, "largest one of AdamW, then by a cosine to 0", minimum=0.0)
    weight_decay: float = parameter(1e-3, "of AdamW", minimum=0.0)
    warm_up: int = parameter(100, "steps until the largest rate", minimum=1)
    averaged: float = parameter(
        0.998, "decay of the mean of the weights, which is what is kept", minimum=0.0, maximum=0.99999
    )
    precision: str = parameter("bf16", "of convolutions", choices=("bf16", "f32"))
    seed: int = parameter(0, "of weights and samples", minimum=0)
    threads: int = parameter(0, "of torch; 0: as it likes", minimum=0)
    workers: int = parameter(1, "threads that make samples; 0: none beside the training", minimum=0)
    save_every: int = parameter(200, "steps between two saves", minimum=1)

    def __post_init__(self) -> None:
        if self.width % COARSEST or self.height % COARSEST:
            raise ConfigError(f"samples of {self.width}x{self.height}, expected multiples of {COARSEST}")
