"""What changes the weights, and how fast: optimiser, schedule of its rate, and the mean of the weights."""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from ivfusion_ros.training.fusion.config import TrainConfig

OPTIMIZERS: dict[str, Callable[[Sequence[nn.Parameter], TrainConfig], torch.optim.Optimizer]] = {
    "adamw": lambda weights, config: torch.optim.AdamW(
        weights, config.learning_rate, betas=_betas(config), weight_decay=config.weight_decay
    ),
    "adam": lambda weights, config: torch.optim.Adam(
        weights, config.learning_rate, betas=_betas(config), weight_decay=config.weight_decay
    ),
    "sgd": lambda weights, config: torch.optim.SGD(
        weights,
        config.learning_rate,
        momentum=config.optimizer.momentum,
        weight_decay=config.weight_decay,
        nesterov=config.optimizer.nesterov,
    ),
}


def make_optimizer(weights: Sequence[nn.Parameter], config: TrainConfig) -> torch.optim.Optimizer:
    """The optimiser that a config names."""
    return OPTIMIZERS[config.optimizer.name](weights, config)


def _betas(config: TrainConfig) -> tuple[float, float]:
    return config.optimizer.momentum, config.optimizer.second_momentum


class Schedule:
    """Learning rate and momentum of each step, from its number alone."""

    def __init__(self, config: TrainConfig, steps: int, steps_per_epoch: float) -> None:
        """steps: of the whole run."""
        self._config, self._steps, self._steps_per_epoch = config, steps, steps_per_epoch

    def rate(self, step: int) -> float:
        """Learning rate of the step with this number, the first being 0."""
        config = self._config.schedule
        factor = FACTORS[config.name](self, step)
        if config.name != "one_cycle" and step < config.warm_up:
            factor *= (step + 1) / config.warm_up
        return self._config.learning_rate * factor

    def momentum(self, step: int) -> float:
        """Momentum, Adam's first beta, of a step."""
        config = self._config.schedule
        if config.name != "one_cycle":
            return self._config.optimizer.momentum
        return self.cycle(step, config.high_momentum, config.low_momentum, config.high_momentum)

    def apply(self, optimizer: torch.optim.Optimizer, step: int) -> None:
        """Set both in an optimiser."""
        for group in optimizer.param_groups:
            group["lr"] = self.rate(step)
            if "betas" in group:
                group["betas"] = self.momentum(step), group["betas"][1]
            else:
                group["momentum"] = self.momentum(step)

    def one_cycle(self, step: int) -> float:
        """Factor of the learning rate: from start up to 1 and down to end."""
        config = self._config.schedule
        return self.cycle(step, config.start, 1.0, config.end)

    def cosine(self, step: int) -> float:
        """Factor from 1 to end."""
        return _cosine(step / max(1, self._steps - 1), 1.0, self._config.schedule.end)

    def decays(self, step: int) -> float:
        """Decays so far, a fraction between two."""
        return step / self._steps_per_epoch / self._config.schedule.decay_epochs

    def step(self, step: int) -> float:
        """Factor that decays at once."""
        return float(self._config.schedule.decay ** int(self.decays(step)))

    def exponential(self, step: int) -> float:
        """Factor that decays smoothly."""
        return float(self._config.schedule.decay ** self.decays(step))

    def cycle(self, step: int, start: float, peak: float, end: float) -> float:
        """By a cosine from start to peak and by another one to end; the peak's place is torch's."""
        last = self._steps - 1
        top = max(0.0, self._config.schedule.rise * self._steps - 1)
        if step < top:
            return _cosine(step / top, start, peak)
        return _cosine((step - top) / max(1.0, last - top), peak, end)


def _cosine(share: float, start: float, end: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2


FACTORS: dict[str, Callable[[Schedule, int], float]] = {
    "one_cycle": Schedule.one_cycle,
    "cosine": Schedule.cosine,
    "step": Schedule.step,
    "exponential": Schedule.exponential,
    "constant": lambda *_: 1.0,
}
"""What a step's learning rate is a share of, by the name of a schedule."""


class WeightAverage:
    """A copy of a network whose weights are the exponential mean of the trained one's."""

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.network = copy.deepcopy(network).requires_grad_(False).eval()
        self._decay = decay

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Take in the weights after the step with this number; early means forget faster."""
        decay = min(self._decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(_tensors(self.network), _tensors(network), 1 - decay)
        for mean, value in zip(self.network.buffers(), network.buffers(), strict=True):
            mean.copy_(value)


def _tensors(network: nn.Module) -> list[Tensor]:
    return [weight.data for weight in network.parameters()]
