"""The loss of a small network: a teacher's image, the task itself, and calm video."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ivfusion_ros.errors import ConfigError
from ivfusion_ros.networks.lite import RefineFuseLite
from ivfusion_ros.training.fusion.losses.base import Batch, Outputs, Terms
from ivfusion_ros.training.fusion.losses.image_terms import sobel
from ivfusion_ros.training.fusion.losses.multiscale import MultiScaleLoss

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ivfusion_ros.training.fusion.config import TrainConfig

ROUNDING_VARIANCE = 1 / 12 / 255**2
"""Of an 8-bit image: what changes less is no structure. Above it the faint texture of a thermal image
begins, of which so small a network drops much unless it is told."""


@dataclass(frozen=True)
class DistillationLoss:
    """MultiScaleLoss, with a part of its target replaced by the teacher's image, and a temporal term.

    The teacher takes `teacher_share` of the intensity and texture terms. Structure and fidelity stay those
    of the sources, so that the student may be better than its teacher.

    The temporal term is metrics.flicker as it is: how far the fused image changes to the following frame
    beyond the larger change of both sources, so no optical flow is needed. The following frame gets sensor
    noise, which makes a still scene of a pair that has no following frame: what flickers most in real video
    is noise that the fusion amplifies.
    """

    task: MultiScaleLoss = field(
        default_factory=lambda: MultiScaleLoss(
            structure_weight=5.5, structure_floor=ROUNDING_VARIANCE, fidelity_weight=0.8
        )
    )
    teacher_share: float = 0.75
    teacher_intensity: float = 3.0
    """Weight of the teacher's intensity; that of its texture is the task's."""
    temporal_weight: float = 10.0
    sensor_noise: float = 1.5 / 255
    """Standard deviation of what is added to the following frame of both sources."""

    def trained(self, network: nn.Module) -> Iterable[nn.Parameter]:
        """All weights."""
        return network.parameters()

    def run(self, network: nn.Module, batch: Batch) -> Outputs:
        """Fuse the pairs and their following frames, all at once."""
        following = self._following(batch)
        thermal, visible = (
            torch.cat((batch.thermal, following[0])),
            torch.cat((batch.visible, following[1])),
        )
        if isinstance(network, RefineFuseLite):
            means = batch.thermal_mean.repeat(2, 1, 1, 1), batch.visible_mean.repeat(2, 1, 1, 1)
            fused = network(thermal, visible, means).float()
        else:
            fused = network(thermal, visible).float()
        now, after = fused.chunk(2)
        return Outputs(now, {"following": after})

    def terms(self, batch: Batch, outputs: Outputs) -> Terms:
        """Those of MultiScaleLoss, `teacher` and `temporal`, weighted."""
        assert batch.teacher is not None
        fused, share = outputs.fused, self.teacher_share
        terms = self.task(batch, fused)
        for name in ("intensity", "texture"):
            terms[name] = (1 - share) * terms[name]
        gradients = zip(sobel(fused), sobel(batch.teacher), strict=True)
        texture = torch.stack([(own - aim).abs().mean() for own, aim in gradients]).sum()
        intensity = (fused - batch.teacher).abs().mean()
        terms["teacher"] = share * (self.teacher_intensity * intensity + self.task.texture_weight * texture)
        terms["temporal"] = self.temporal_weight * self._flicker(batch, outputs)
        return terms

    def _flicker(self, batch: Batch, outputs: Outputs) -> Tensor:
        thermal, visible = self._following(batch)
        calm = torch.maximum((thermal - batch.thermal).abs(), (visible - batch.visible).abs())
        change = (outputs.features["following"] - outputs.fused).abs()
        return (change - calm).clamp(min=0).mean()

    def _following(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """The following frame of both sources, with the same noise whenever asked."""
        assert batch.following is not None
        generator = torch.Generator().manual_seed(0)
        noise = torch.randn(batch.following.shape, generator=generator).to(batch.following.device)
        thermal, visible = (batch.following + self.sensor_noise * noise).clamp(0, 1).chunk(2, 1)
        return thermal, visible


def make_distillation_loss(config: TrainConfig) -> DistillationLoss:
    """The loss; raises ConfigError where the config names no teacher."""
    if not config.teacher:
        raise ConfigError(
            f"loss {config.loss} learns from a teacher, but none is given; name its model, for example "
            "--teacher refinefuse"
        )
    return DistillationLoss()
