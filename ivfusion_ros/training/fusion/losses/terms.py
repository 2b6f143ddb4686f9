"""Terms that several losses have, and those that can be added to any loss by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ivfusion_ros.errors import BackendError
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

if TYPE_CHECKING:
    from ivfusion_ros.training.fusion.loss_config import DetectionTermConfig


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


Measure = Callable[[Batch, Tensor], Tensor]
"""A term, unweighted, of a batch and the fused image."""

DETECTOR_STRIDE = 32
"""Sides of images that a detector looks at are multiples of it."""


def _detection(config: DetectionTermConfig) -> Measure:
    # Those who train without it need no ultralytics.
    try:
        from ivfusion_ros.training.fusion.losses.detection_term import DetectionLost
    except ImportError as error:
        raise BackendError(
            f"terms.detection needs ultralytics and safetensors ({error}); run: pip install ultralytics "
            "safetensors, or set terms.detection.weight to 0"
        ) from error
    return DetectionLost(config)


TERMS: dict[str, Callable[[Any], Measure]] = {
    "structure": lambda _: structure_lost,
    "fidelity": lambda _: fidelity_lost,
    "invented_edges": lambda _: invented_edges,
    "noise": lambda _: noise_gained,
    "contrast": lambda _: contrast_lost,
    "edges": lambda _: edges_lost,
    "light": lambda _: light_lost,
    "detection": _detection,
}
"""What can be added to any loss, by its name in TermsConfig: made of its settings there."""


@dataclass(frozen=True)
class WithTerms:
    """A loss with terms of TERMS added, named extra_NAME; see Loss."""

    loss: Loss
    extra: Mapping[str, tuple[float, Measure]]
    """Weights and terms."""

    def trained(self, network: nn.Module) -> Iterable[nn.Parameter]:
        """The loss's own."""
        return self.loss.trained(network)

    def run(self, network: nn.Module, batch: Batch) -> Outputs:
        """The loss's own."""
        return self.loss.run(network, batch)

    def terms(self, batch: Batch, outputs: Outputs) -> Terms:
        """The loss's own, and the added ones, weighted."""
        added = {
            f"extra_{name}": weight * measure(batch, outputs.fused)
            for name, (weight, measure) in self.extra.items()
        }
        return {**self.loss.terms(batch, outputs), **added}
