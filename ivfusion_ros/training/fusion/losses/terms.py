"""Terms that several losses have, and those that can be added to any loss by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ivfusion_ros.training.fusion.loss_config import TermConfig
from ivfusion_ros.training.fusion.losses.base import Batch, Loss, Outputs, Terms
from ivfusion_ros.training.fusion.losses.edge_terms import edges_lost
from ivfusion_ros.training.fusion.losses.eye_terms import (
    contrast_lost,
    invented_edges,
    light_lost,
    noise_gained,
)
from ivfusion_ros.training.fusion.losses.image_terms import (
    sobel,
    structural_similarity,
    visual_information_fidelity,
)


def texture_distance(fused: Tensor, target: Tensor) -> Tensor:
    """Mean distance of both Sobel derivatives, a scalar."""
    gradients = zip(sobel(fused), sobel(target), strict=True)
    return torch.stack([(own - aim).abs().mean() for own, aim in gradients]).sum()


def structure_lost(batch: Batch, fused: Tensor, window: int = 7, floor: float = 1e-5) -> Tensor:
    """1 - SSIM to each source, summed: a scalar. window, floor: see structural_similarity."""
    similarity = structural_similarity(fused, _sources(batch), window, floor)
    return 2 * (1 - similarity.mean())


def fidelity_lost(batch: Batch, fused: Tensor, power: float = 1.0) -> Tensor:
    """1 - VIF to each source, to a power, summed: a scalar."""
    lost = 1 - visual_information_fidelity(_sources(batch), fused)
    # The sum of two VIF is largest where one source is dropped; the sum of their squared losses is not.
    return 2 * (lost.mean() if power == 1 else (lost.clamp(min=0) ** power).mean())


def _sources(batch: Batch) -> Tensor:
    return torch.cat((batch.thermal, batch.visible), 1)


TERMS: dict[str, Callable[[Batch, Tensor, TermConfig], Tensor]] = {
    "structure": lambda batch, fused, _: structure_lost(batch, fused),
    "fidelity": lambda batch, fused, _: fidelity_lost(batch, fused),
    "invented_edges": lambda batch, fused, _: invented_edges(batch, fused),
    "noise": lambda batch, fused, _: noise_gained(batch, fused),
    "contrast": lambda batch, fused, _: contrast_lost(batch, fused),
    "edges": lambda batch, fused, _: edges_lost(batch, fused),
    "light": lambda batch, fused, _: light_lost(batch, fused),
}
"""What can be added to any loss, by its name in TermsConfig: of a batch and the fused image, unweighted."""


@dataclass(frozen=True)
class WithTerms:
    """A loss with terms of TERMS added, named extra_NAME; see Loss."""

    loss: Loss
    extra: Mapping[str, TermConfig]

    def trained(self, network: nn.Module) -> Iterable[nn.Parameter]:
        """The loss's own."""
        return self.loss.trained(network)

    def run(self, network: nn.Module, batch: Batch) -> Outputs:
        """The loss's own."""
        return self.loss.run(network, batch)

    def terms(self, batch: Batch, outputs: Outputs) -> Terms:
        """The loss's own, and the added ones, weighted."""
        added = {
            f"extra_{name}": term.weight * TERMS[name](batch, outputs.fused, term)
            for name, term in self.extra.items()
        }
        return {**self.loss.terms(batch, outputs), **added}
