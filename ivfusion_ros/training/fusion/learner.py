"""What learns: a network, its loss, its optimiser, and their state."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ivfusion_ros.errors import ConfigError, IvfusionError
from ivfusion_ros.networks import make_network
from ivfusion_ros.networks.checkpoint import load_weights
from ivfusion_ros.training.fusion.batches import Loaded, to_batches
from ivfusion_ros.training.fusion.config import WHOLE
from ivfusion_ros.training.fusion.losses import make_loss, needs_of
from ivfusion_ros.training.fusion.optimizer import Schedule, WeightAverage, make_optimizer

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ivfusion_ros.training.fusion.config import TrainConfig
    from ivfusion_ros.training.fusion.losses.base import Loss


class Learner:
    """A network in training, step by step."""

    def __init__(self, config: TrainConfig, start: Path | None) -> None:
        """start: checkpoint whose weights to begin with. Raises ConfigError, ModelError."""
        self.config = config
        self.device = _device(config.device)
        self.loss = make_loss(config)
        self.network = _network(config, self.device, start)
        self.unit, self.least = _sides(config, self.network)
        self.trained = _trained(self.loss, self.network, config)
        self.average = WeightAverage(self.network, config.ema) if config.ema else None
        if config.compile:
            self.network.compile()
        self.optimizer = make_optimizer(self.trained, config)
        self.step = 0
        self._terms: dict[str, Tensor] = {}
        self._since = 0

    @property
    def best_network(self) -> nn.Module:
        """What is validated and exported."""
        return self.network if self.average is None else self.average.network

    def train(self, crops: Sequence[Loaded], schedule: Schedule) -> None:
        """One step, by crops that need not be of one size."""
        self.network.train()
        # Whatever draws at random in a network does the same after a stop.
        torch.manual_seed(self.config.seed + self.step)
        schedule.apply(self.optimizer, self.step)
        self.optimizer.zero_grad(set_to_none=True)
        for loaded in crops:
            self._learn(loaded)
        if self.config.gradient_limit:
            nn.utils.clip_grad_norm_(self.trained, self.config.gradient_limit)
        self.optimizer.step()
        if self.average is not None:
            self.average.update(self.network, self.step)
        self.step += 1
        self._since += 1

    def _learn(self, loaded: Loaded) -> None:
        """Add the gradients of crops of one size, by their share of the step."""
        clean, seen = to_batches(loaded, self.device, self.config.seed + self.step)
        with torch.autocast(self.device, torch.bfloat16, enabled=self.config.precision == "bf16"):
            outputs = self.loss.run(self.network, seen)
        terms = self.loss.terms(clean, outputs)
        share = len(loaded) / self.config.batch
        (share * torch.stack(list(terms.values())).sum()).backward()  # type: ignore[no-untyped-call]
        for name, term in terms.items():
            # On the device: to read a value would wait for it.
            self._terms[name] = self._terms.get(name, 0) + share * term.detach()

    def means(self) -> dict[str, float]:
        """Terms of the loss over the steps since `forget`. Raises IvfusionError for NaN."""
        if not self._since:
            return {}
        means = (torch.stack(list(self._terms.values())) / self._since).tolist()
        if not all(map(math.isfinite, means)):
            raise IvfusionError(
                f"the loss is no longer a number at step {self.step}; try a lower learning_rate or "
                "gradient_limit, or precision f32"
            )
        return dict(zip(self._terms, means, strict=True))

    def forget(self) -> None:
        """Begin new means."""
        self._terms, self._since = {}, 0

    def state(self) -> dict[str, Any]:
        """Everything that `restore` needs, for a checkpoint."""
        state = {
            "network": self.config.network,
            "weights": self.network.state_dict(),
            "step": self.step,
            "optimizer": self.optimizer.state_dict(),
            "terms": self._terms,
            "since": self._since,
        }
        if self.average is not None:
            state["ema"] = self.average.network.state_dict()
        return state

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from the state of a checkpoint."""
        self.network.load_state_dict(state["weights"])
        if self.average is not None:
            self.average.network.load_state_dict(state["ema"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self._since = state["step"], state["since"]
        self._terms = {name: term.to(self.device) for name, term in state["terms"].items()}


def _network(config: TrainConfig, device: str, start: Path | None) -> nn.Module:
    torch.manual_seed(config.seed)
    network = make_network(config.network).to(device)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if start is not None:
        load_weights(network, start)
    return network


def _sides(config: TrainConfig, network: nn.Module) -> tuple[int, int]:
    """What the sides of all images must be multiples of, and at least. Raises ConfigError for a crop."""
    stride = int(getattr(network, "stride"))  # noqa: B009 (nn.Module hides the type)
    multiple, least = needs_of(config)
    unit = math.lcm(stride, multiple)
    least = -(-least // unit) * unit
    for crop in config.crop:
        if crop != WHOLE and crop % unit:
            also = f", and of the loss's {multiple}" if unit != stride else ""
            raise ConfigError(
                f"crop is {crop}, must be a multiple of {config.network}'s stride, {stride}{also}"
            )
        if crop != WHOLE and crop < least:
            raise ConfigError(f"crop is {crop}, must be at least {least} for loss {config.loss}")
    return unit, least


def _trained(loss: Loss, network: nn.Module, config: TrainConfig) -> list[nn.Parameter]:
    network.requires_grad_(False)
    trained = list(loss.trained(network))
    if not trained:
        raise ConfigError(f"{config.network} has no weights to train; run `ivfusion export` right away")
    for weight in trained:
        weight.requires_grad_(True)
    return trained


def _device(name: str) -> str:
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError(
            "device is cuda, but torch sees no GPU; use --device cpu or install a CUDA build of torch"
        )
    return name
