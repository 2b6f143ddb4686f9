"""Train the matcher on folders of registered pairs.

A run folder holds `last.pt`, from which it goes on as if it had never stopped, and `curve.csv`.
"""

from __future__ import annotations

import logging
import math
from collections import deque
from typing import TYPE_CHECKING, Any

import torch
from tqdm import tqdm

from ivfusion_ros.errors import ModelError
from ivfusion_ros.networks.checkpoint import load_checkpoint, save_checkpoint
from ivfusion_ros.networks.matcher import Matcher
from ivfusion_ros.training.fusion.optimizer import WeightAverage
from ivfusion_ros.training.fusion.prefetch import Prefetch
from ivfusion_ros.training.fusion.provenance import check_same_run, versions
from ivfusion_ros.training.matcher.loss import matching_loss
from ivfusion_ros.training.matcher.samples import Sample, Samples

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from ivfusion_ros.images.pairs import PairPaths
    from ivfusion_ros.training.matcher.config import MatcherConfig

log = logging.getLogger(__name__)

NETWORK = "matcher"
LAST = "last.pt"
MAY_CHANGE = ("threads", "workers", "save_every")
"""Settings that decide how fast, not what."""
_RECENT = 100
_LARGEST_GRADIENT = 1.0


class MatcherTrainer:
    """One run: network, optimiser, samples and their state on disk."""

    def __init__(
        self,
        config: MatcherConfig,
        pairs: Sequence[PairPaths],
        run: Path,
        origin: Mapping[str, Any],
        *,
        resume: bool,
    ) -> None:
        """origin: settings and data, which a run that goes on must share.

        Raises DataError for unusable pairs, ModelError where there is nothing to resume from, ConfigError
        where it was something else.
        """
        if config.threads:
            torch.set_num_threads(config.threads)
        torch.manual_seed(config.seed)
        self.config, self.run = config, run
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.network = Matcher().to(memory_format=torch.channels_last).to(self.device)  # type: ignore[call-overload]
        self.average = WeightAverage(self.network, config.averaged)
        self.step = 0
        self._origin = {"settings": origin["settings"], "data": origin["data"], "init": {}, "teacher": {}}
        self._optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )
        self._recent: deque[tuple[float, float]] = deque(maxlen=_RECENT)
        if resume:
            self._restore()
        self._samples = Samples(pairs, config)

    def fit(self, stop: Callable[[], bool] = lambda: False) -> None:
        """Train to the last step, saving on the way.

        stop: asked after each step; when it says so, the run is saved and this raises KeyboardInterrupt.
        """
        steps = self.config.iterations
        bar = tqdm(total=steps, initial=self.step, unit="step", mininterval=1.0)
        with bar, Prefetch(self._make, self.step, steps, self.config.workers) as coming:
            for samples in coming:
                self._recent.append(self._train(samples))
                self.step += 1
                bar.set_postfix_str(self.told, refresh=False)
                bar.update()
                if self.step % self.config.save_every == 0 or self.step == steps:
                    self.save()
                    log.info("step %d of %d: %s", self.step, steps, self.told)
                if stop() and self.step < steps:
                    self.save()
                    raise KeyboardInterrupt(
                        f"step {self.step} of {steps} is in {self.run / LAST}; --resume goes on there"
                    )

    @property
    def told(self) -> str:
        """Loss of the last hundred steps, and share of the places found."""
        if not self._recent:
            return "no step yet"
        loss, found = (sum(values) / len(values) for values in zip(*self._recent, strict=True))
        return f"loss {loss:.3f}, {found:.0%} of the places found"

    def save(self) -> None:
        """Write last.pt; it is there whole or not at all."""
        state = {
            "network": NETWORK,
            "weights": self.network.state_dict(),
            "ema": self.average.network.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "step": self.step,
            "origin": self._origin,
            "versions": versions(),
        }
        save_checkpoint(self.run / LAST, state)

    def _restore(self) -> None:
        path = self.run / LAST
        if not path.exists():
            raise ModelError(f"there is no checkpoint at {path}; train without --resume first")
        state = load_checkpoint(path)
        try:
            check_same_run(self.run, state["origin"], self._origin, MAY_CHANGE)
            self.network.load_state_dict(state["weights"])
            self.average.network.load_state_dict(state["ema"])
            self._optimizer.load_state_dict(state["optimizer"])
            self.step = int(state["step"])
        except (KeyError, TypeError, AttributeError, ValueError, RuntimeError) as error:
            raise ModelError(
                f"{path} is no checkpoint of a matcher's run ({type(error).__name__}: {error}); begin "
                "again, with another --out"
            ) from error

    def _make(self, number: int) -> list[Sample]:
        return self._samples.step(number, number / self.config.iterations)

    def _train(self, samples: Sequence[Sample]) -> tuple[float, float]:
        for group in self._optimizer.param_groups:
            group["lr"] = self._rate()
        thermal, visible = (
            torch.stack([torch.from_numpy(getattr(sample, name)) for sample in samples])[:, None]
            for name in ("thermal", "visible")
        )
        half = self.config.precision == "bf16"
        with torch.autocast(self.device, torch.bfloat16, enabled=half):
            logits = self.network(thermal.to(self.device), visible.to(self.device))
        loss, found = matching_loss(logits.cpu(), samples)
        self._optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), _LARGEST_GRADIENT)
        self._optimizer.step()
        self.average.update(self.network, self.step)
        return float(loss.detach()), found

    def _rate(self) -> float:
        config = self.config
        warm = min(1.0, (self.step + 1) / config.warm_up)
        cosine = (1 + math.cos(math.pi * self.step / config.iterations)) / 2
        return config.learning_rate * warm * (cosine + 0.01)
