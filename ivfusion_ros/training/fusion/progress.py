"""What a run tells while it goes: a bar with the loss and the time left, and a line for each validation."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from ivfusion_ros.training.fusion.pace import Pace, in_words

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from ivfusion_ros.training.fusion.learner import Learner

log = logging.getLogger(__name__)

_TOLD_EVERY = 20
"""Steps between two looks at the loss: each waits for the GPU."""


class Progress:
    """The progress of a learner towards its last step."""

    def __init__(self, learner: Learner, steps: int) -> None:
        self._learner, self._config, self._steps = learner, learner.config, steps
        self._pace = Pace()
        self._loss = ""
        layout = "{desc}{percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} [{elapsed}{postfix}]"
        self._bar: tqdm[Any] = tqdm(total=steps, initial=learner.step, unit="step", bar_format=layout)

    def add_step(self, seconds: float) -> None:
        """A step was made, which took this long."""
        self._pace.add_step(seconds)
        if self._learner.step % _TOLD_EVERY == 0:
            self._loss = f", loss {sum(self._learner.means().values()):.4f}"
        told = f"{self._pace.step_s:.2f} s a step, {in_words(self._left_s())} left{self._loss}"
        self._bar.set_postfix_str(told, refresh=False)
        self._bar.update()

    def add_validation(self, seconds: float) -> None:
        """A validation was made, which took this long."""
        self._pace.add_validation(seconds)

    def report(self, row: Mapping[str, float]) -> None:
        """Log what curves.csv was given: loss and metrics of held-out pairs, else terms of the loss."""
        names = ("loss", *self._config.validation.metrics)
        told = [f"{name} {row[key]:.4f}" for name in names if (key := f"validation_{name}") in row] or [
            f"{name} {value:.4f}" for name, value in row.items() if name.startswith("train_")
        ]
        log.info(
            "step %d of %d: %s; %.2f s a step, about %s left",
            self._learner.step, self._steps, ", ".join(told), self._pace.step_s, in_words(self._left_s()),
        )  # fmt: skip

    def _left_s(self) -> float:
        step, every = self._learner.step, self._config.validate_every
        validations = -(-self._steps // every) - step // every if step < self._steps else 0
        return self._pace.left_s(self._steps - step, validations)

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.close()
