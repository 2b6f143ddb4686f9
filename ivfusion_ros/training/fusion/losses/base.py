"""What a loss gets and gives.

A loss runs the network itself, since some need its inner features, or train it in another way than by
fusing a pair; which weights change is the loss's business too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol

from torch import Tensor, nn

Terms = dict[str, Tensor]
"""Weighted terms by name, each a scalar; their sum is minimised."""


@dataclass(frozen=True)
class Batch:
    """Crops and what is known of the images that they come from.

    thermal, visible: (B, 1, H, W) float32 in [0, 1]. labels: (B, 1, H, W) uint8 class ids, 255 unknown.
    thermal_mean, visible_mean: (B, 1, 1, 1) float32, of the whole images.
    teacher: (B, 1, H, W) float32 in [0, 1], what a teacher fused, where the loss has one.
    following: (B, 2, H, W) float32 in [0, 1], thermal and visible of the next frame, with the teacher.
    noise_seed: of what a loss draws at random; of each training step another.
    """

    thermal: Tensor
    visible: Tensor
    labels: Tensor
    thermal_mean: Tensor
    visible_mean: Tensor
    teacher: Tensor | None = None
    following: Tensor | None = None
    noise_seed: int = 0


@dataclass(frozen=True)
class Outputs:
    """What a run of the network gave, float32.

    fused: (B, 1, H, W) in [0, 1]. features: whatever else the loss that made it needs.
    """

    fused: Tensor
    features: dict[str, Tensor] = field(default_factory=dict)


class Loss(Protocol):
    """A training objective."""

    def trained(self, network: nn.Module) -> Iterable[nn.Parameter]:
        """The weights that the optimiser changes; all others stay as they are."""

    def run(self, network: nn.Module, batch: Batch) -> Outputs:
        """Run the network; called under autocast."""

    def terms(self, batch: Batch, outputs: Outputs) -> Terms:
        """The terms of the loss; called in float32."""


@dataclass(frozen=True)
class FusedImageLoss:
    """A loss that needs nothing but the fused image, and trains the whole network."""

    measure: Callable[[Batch, Tensor], Terms]

    def trained(self, network: nn.Module) -> Iterable[nn.Parameter]:
        """All weights."""
        return network.parameters()

    def run(self, network: nn.Module, batch: Batch) -> Outputs:
        """Fuse the pairs."""
        return Outputs(network(batch.thermal, batch.visible).float())

    def terms(self, batch: Batch, outputs: Outputs) -> Terms:
        """The measure of the fused image."""
        return self.measure(batch, outputs.fused)
