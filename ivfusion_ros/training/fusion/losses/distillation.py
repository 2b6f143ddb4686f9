"""The loss of a small network: a teacher's image, the task itself, and calm video."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ivfusion_ros.errors import ConfigError
from ivfusion_ros.training.fusion.loss_config import DistillationConfig
from ivfusion_ros.training.fusion.losses.base import Batch, Outputs, Terms
from ivfusion_ros.training.fusion.losses.multiscale import MultiScaleLoss
from ivfusion_ros.training.fusion.losses.terms import texture_distance

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ivfusion_ros.training.fusion.config import TrainConfig


@dataclass(frozen=True)
class DistillationLoss:
    """MultiScaleLoss, with a part of its target replaced by the teacher's image, and a temporal term.

    The teacher takes a share of the intensity and texture terms. Structure and fidelity stay those
    of the sources, so that the student may be better than its teacher.

    The temporal term is metrics.flicker as it is: how far the fused image changes to the following frame
    beyond the larger change of both sources, so no optical flow is needed. The following frame gets sensor
    noise, which makes a still scene of a pair that has no following frame: what flickers most in real video
    is noise that the fusion amplifies.
    """

    task: MultiScaleLoss = field(default_factory=MultiScaleLoss)
    constants: DistillationConfig = field(default_factory=DistillationConfig)

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
        now, after = network(thermal, visible).float().chunk(2)
        return Outputs(now, {"following": after})

    def terms(self, batch: Batch, outputs: Outputs) -> Terms:
        """Those of MultiScaleLoss, `teacher` and `temporal`, weighted."""
        assert batch.teacher is not None
        own, fused = self.constants, outputs.fused
        terms = self.task(batch, fused)
        for name in terms.keys() & {"intensity", "texture"}:
            terms[name] = (1 - own.teacher_share) * terms[name]
        texture = self.task.constants.texture_weight * texture_distance(fused, batch.teacher)
        intensity = own.teacher_intensity * (fused - batch.teacher).abs().mean()
        terms["teacher"] = own.teacher_share * (intensity + texture)
        terms["temporal"] = own.temporal_weight * self._flicker(batch, outputs)
        return terms

    def _flicker(self, batch: Batch, outputs: Outputs) -> Tensor:
        thermal, visible = self._following(batch)
        calm = torch.maximum((thermal - batch.thermal).abs(), (visible - batch.visible).abs())
        change = (outputs.features["following"] - outputs.fused).abs()
        return (change - calm).clamp(min=0).mean()

    def _following(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """The following frame of both sources, with the same noise whenever asked of one batch."""
        assert batch.following is not None
        generator = torch.Generator().manual_seed(batch.noise_seed)
        noise = torch.randn(batch.following.shape, generator=generator).to(batch.following.device)
        thermal, visible = (batch.following + self.constants.sensor_noise * noise).clamp(0, 1).chunk(2, 1)
        return thermal, visible


def make_distillation_loss(config: TrainConfig) -> DistillationLoss:
    """The loss; raises ConfigError where the config names no teacher."""
    if not config.teacher:
        raise ConfigError(
            f"loss {config.loss} learns from a teacher, but none is given; name its model, for example "
            "--teacher refinefuse"
        )
    return DistillationLoss(MultiScaleLoss(config.multiscale), config.distillation)
