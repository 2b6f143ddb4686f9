"""The course of a run between ultralytics' steps: its schedule, whole images at the end, its states."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

import yaml
from ultralytics.utils.torch_utils import unwrap_model

from ivfusion_ros.files import write_whole
from ivfusion_ros.training.detector.float32_loss import Float32Loss
from ivfusion_ros.training.detector.imitation import ImitationLoss
from ivfusion_ros.training.detector.memory import Memory, RememberingLoss
from ivfusion_ros.training.detector.state import STATE, State, save_state

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from torch import Tensor

    from ivfusion_ros.training.detector.imitation import FeatureTeacher
    from ivfusion_ros.training.detector.trainer import DetectorTrainer


class Course:
    """Where a run is; ultralytics' callbacks move it on.

    stop: asked after each step; when it says so, the run is saved and KeyboardInterrupt is raised.
    """

    def __init__(
        self,
        trainer: DetectorTrainer,
        folder: Path,
        origin: dict[str, Any],
        before: State | None,
        teacher: FeatureTeacher | None,
        memory: Path | None,
    ) -> None:
        """origin: as in State. before: the state that the run goes on from. memory: weights of one."""
        self._trainer, self._config, self._folder = trainer, trainer.config, folder
        self._origin, self._before, self._teacher, self._memory = origin, before, teacher, memory
        self._progress, self._step, self._batch, self._mosaic_closed = 0.0, 0, 0, False
        self._losses: dict[str, Tensor] | None = None
        self.stop: Callable[[], bool] = lambda: False
        trainer.add_callback("on_train_start", lambda _: self._begin())
        trainer.add_callback("on_train_epoch_start", lambda _: self._begin_epoch())
        trainer.add_callback("on_train_batch_start", lambda _: self._schedule())
        trainer.add_callback("on_train_batch_end", lambda _: self._end_batch())
        trainer.add_callback("on_model_save", lambda _: self._end_epoch())
        trainer.add_callback("on_train_end", lambda _: self._finish())

    def _begin(self) -> None:
        trainer = self._trainer
        write_whole(self._folder / "provenance.yaml", yaml.safe_dump(self._origin, sort_keys=False))
        if self._before is None:
            trainer.part_norms(unwrap_model(trainer.model), trainer.ema.ema)
        else:
            self._go_on(self._before)
        if trainer.device.type == "cpu":
            # ultralytics has bf16 for GPUs alone, torch has it here too.
            trainer.amp = self._config.precision == "bf16"
        model = unwrap_model(trainer.model)
        model.criterion = Float32Loss(model.init_criterion())
        if self._memory is not None:
            model.criterion = RememberingLoss(model.criterion, Memory(model, self._memory))
        if self._teacher is not None:
            model.criterion = ImitationLoss(
                model,
                model.criterion,
                self._teacher,
                weight=self._imitation,
                forced=lambda: self._progress < self._config.forced,
            )

    def _go_on(self, state: State) -> None:
        trainer = self._trainer
        # Time counts from the first start: schedule and results.csv go on where they were.
        trainer.train_time_start -= state.elapsed_s
        self._step, self._progress, self._batch = state.step, state.progress, state.batch
        if state.losses is not None:
            self._losses = {name: value.to(trainer.device) for name, value in state.losses.items()}
        trainer.train_loader.start_at(state.epoch, state.batch)
        if state.mosaic_closed:
            self._close_mosaic()
            trainer.train_loader.start_at(state.epoch, state.batch)

    def _imitation(self) -> float:
        share = (1 - self._progress) + self._progress * self._config.final_imitation
        return self._config.imitation * share

    def _schedule(self) -> None:
        config, trainer = self._config, self._trainer
        if config.hours:
            self._progress = min(1.0, (time.time() - trainer.train_time_start) / (3600 * config.hours))
        else:
            self._progress = self._step / (trainer.epochs * len(trainer.train_loader))
        cosine = (1 + math.cos(math.pi * self._progress)) / 2
        factor = config.final_rate + (1 - config.final_rate) * cosine
        factor *= min(1.0, (self._step + 1) / max(1, config.warm_up))
        for group in trainer.optimizer.param_groups:
            group["lr"] = group["initial_lr"] * factor
        self._step += 1

    def _begin_epoch(self) -> None:
        """End with whole images; between two epochs, as the loader must not be reset while it is read."""
        late = self._progress >= 1 - self._config.without_mosaic
        # An epoch that a run goes on with was begun before.
        if late and not self._mosaic_closed and self._batch == 0:
            self._close_mosaic()
            # Workers hold copies of the data set as it was.
            self._trainer.train_loader.start_at(self._trainer.epoch)

    def _close_mosaic(self) -> None:
        self._mosaic_closed = True
        self._trainer.close_mosaic()

    def _end_batch(self) -> None:
        trainer = self._trainer
        self._average_losses()
        self._batch += 1
        if self._config.hours and self._progress >= 1:
            trainer.stop = True
        if self._batch == len(trainer.train_loader) or trainer.stop:
            # The end of the epoch follows.
            return
        stopped = self.stop()
        if stopped or self._step % self._config.save_every == 0:
            self._save(trainer.epoch, self._batch)
        if stopped:
            self._interrupt()

    def _average_losses(self) -> None:
        """Over the epoch, for results.csv: ultralytics' means are of what came since the run went on."""
        trainer, done = self._trainer, self._batch
        if not done:
            self._losses = trainer.tloss
        elif self._losses is not None:
            new = trainer.loss_items
            self._losses = {name: (self._losses[name] * done + new[name]) / (done + 1) for name in new}
            trainer.tloss = self._losses

    def _end_epoch(self) -> None:
        trainer = self._trainer
        self._batch, self._losses = 0, None
        if trainer.stop or trainer.epoch + 1 >= trainer.epochs:
            # The end of the run follows.
            return
        self._save(trainer.epoch + 1, 0)
        if self.stop():
            self._interrupt()

    def _interrupt(self) -> None:
        raise KeyboardInterrupt(f"step {self._step} is in {self._folder / STATE}; --resume goes on there")

    def _save(self, epoch: int, batch: int, finished: bool = False) -> None:
        elapsed = time.time() - self._trainer.train_time_start
        place = epoch, batch, self._step, self._progress
        own = self._trainer.state()
        state = State(*place, elapsed, self._mosaic_closed, finished, own, self._origin, self._losses)
        save_state(self._folder, state)

    def _finish(self) -> None:
        self._trainer.write_final()
        self._save(self._trainer.epoch + 1, 0, finished=True)
