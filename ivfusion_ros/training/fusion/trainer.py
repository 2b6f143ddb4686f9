"""Train a fusion network on folders of registered pairs.

A run folder holds `config.yaml` and `provenance.yaml`, `curves.csv` (one row per validation) and the same
for TensorBoard, `validation/` (held-out pairs at full size), `best.pt` (by validation.best) and `last.pt`,
from which `resume` goes on as if it had never stopped, wherever that was.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any, NoReturn

import torch
import yaml

from ivfusion_ros.errors import ConfigError, ModelError
from ivfusion_ros.files import write_whole
from ivfusion_ros.images.files import write_image
from ivfusion_ros.models import resolve_model
from ivfusion_ros.networks.checkpoint import load_checkpoint, save_checkpoint
from ivfusion_ros.training.fusion.batches import Loaded, load
from ivfusion_ros.training.fusion.config import MAY_CHANGE, settings
from ivfusion_ros.training.fusion.curves import Curves
from ivfusion_ros.training.fusion.data import ReadPlanes, Sampler, read_luminance
from ivfusion_ros.training.fusion.learner import Learner
from ivfusion_ros.training.fusion.optimizer import Schedule
from ivfusion_ros.training.fusion.prefetch import Prefetch
from ivfusion_ros.training.fusion.progress import Progress
from ivfusion_ros.training.fusion.provenance import check_same_run, file_identity, versions
from ivfusion_ros.training.fusion.split import split_folders
from ivfusion_ros.training.fusion.teacher import StudentPlanes, Teacher
from ivfusion_ros.training.fusion.validate import Validator
from ivfusion_ros.types import CAMERAS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from ivfusion_ros.training.fusion.config import TrainConfig

log = logging.getLogger(__name__)


class Trainer:
    """One run: network, optimiser, schedule, data and their state on disk."""

    def __init__(
        self,
        config: TrainConfig,
        folders: Sequence[Path],
        run: Path,
        start: Path | None = None,
        names: tuple[str, str] = CAMERAS,
        *,
        teacher: Path | None = None,
        teacher_cache: Path | None = None,
    ) -> None:
        """Set up a run in the folder `run`, with the weights of the file `start` if there is one.

        names: of the folders with the thermal and the rgb images within each of `folders`. teacher: model,
        where config.teacher is no name of one. teacher_cache: where its images are kept; by default beside
        the run, for others to use.

        Raises DataError for unusable folders, ConfigError for unknown names or a wrong crop, ModelError
        for a checkpoint that does not fit.
        """
        self.config, self.run = config, run
        if config.threads:
            torch.set_num_threads(config.threads)
        self.split = split_folders(folders, names, config)
        self.learner = Learner(config, start)
        self.network = self.learner.network
        if config.teacher and teacher is None:
            teacher = resolve_model(config.teacher, "fusion")
        read = self._planes(teacher, teacher_cache or run.parent)
        self.sampler = Sampler(self.split.training, config, (self.learner.unit, self.learner.least), read)
        self.validator = Validator(
            self.split.validation, config, self.learner.loss, read, self.learner.unit, self.learner.device
        )
        epoch = len(self.split.training) / config.batch
        self.steps = max(1, round(config.epochs * epoch)) if config.epochs else config.iterations
        self.schedule = Schedule(config, self.steps, epoch)
        detector = config.terms.detection.detector
        self.provenance: dict[str, Any] = {
            "settings": settings(config),
            "data": self.split.identity(),
            "init": file_identity(start),
            "teacher": file_identity(teacher),
            "detector": file_identity(resolve_model(detector, "detection") if detector else None),
            "versions": versions(),
        }
        self.best: float | None = None
        self._judged = 0

    @property
    def step(self) -> int:
        """Steps that were made."""
        return self.learner.step

    def _planes(self, model: Path | None, cache: Path) -> ReadPlanes:
        if model is None:
            return read_luminance
        teacher = Teacher(model, cache)
        teacher.prepare([*self.split.training, *self.split.validation], self.config.threads)
        return StudentPlanes(teacher, self.split.following)

    def fit(self, stop: Callable[[], bool] = lambda: False) -> None:
        """Train to the last step, validating and saving on the way.

        stop: asked after each step and each validated pair; when it says so, the run is saved and this
        raises KeyboardInterrupt. Raises ConfigError where the folder holds another run.
        """
        self._open()
        with Curves(self.run, self._judged) as curves, Progress(self.learner, self.steps) as progress:
            self._finish_validation(curves, progress, stop)
            with Prefetch(self._load, self.step, self.steps, self.config.workers) as coming:
                before = time.monotonic()
                for crops in coming:
                    self.learner.train(crops, self.schedule)
                    progress.add_step(time.monotonic() - before)
                    if self.step % self.config.save_every == 0 or self._is_due():
                        self.save()
                    self._finish_validation(curves, progress, stop)
                    if stop() and self.step < self.steps:
                        self._interrupt()
                    before = time.monotonic()

    def _open(self) -> None:
        if self.step == 0 and (self.run / "last.pt").exists():
            raise ConfigError(
                f"{self.run} holds a run already; continue it with --resume, or give another folder with "
                "--out"
            )
        self.run.mkdir(parents=True, exist_ok=True)
        for name, content in (("config", self.provenance["settings"]), ("provenance", self.provenance)):
            write_whole(self.run / f"{name}.yaml", yaml.safe_dump(content, sort_keys=False))
        log.info(
            "%s on %s: %d pairs to train on, %d held out, %d steps: %s",
            self.config.network, self.learner.device, len(self.split.training), len(self.split.validation),
            self.steps, self.run,
        )  # fmt: skip
        if not self.split.validation:
            log.warning(
                "nothing is held out: no figure tells how good the weights are, and there is no best.pt; "
                "give more --data or a larger validation_fraction"
            )

    def _load(self, number: int) -> list[Loaded]:
        return [load(patches, self.learner.device == "cuda") for patches in self.sampler.step(number)]

    def _is_due(self) -> bool:
        """Whether the weights as they are should be judged, and were not."""
        at = self.step % self.config.validate_every == 0 or self.step == self.steps
        return at and self._judged < self.step and bool(self.step)

    def _finish_validation(self, curves: Curves, progress: Progress, stop: Callable[[], bool]) -> None:
        if not self._is_due():
            return
        row = {"rate": self.schedule.rate(self.step - 1)}
        row |= {f"train_{name}": value for name, value in self.learner.means().items()}
        if self.split.validation:
            before = time.monotonic()
            verdict = self.validator.judge(self.learner.best_network, self.step, stop)
            if verdict is None:
                self._interrupt()
            progress.add_validation(time.monotonic() - before)
            row |= {f"validation_{name}": value for name, value in verdict.values.items()}
            for name, picture in verdict.pictures.items():
                (self.run / "validation").mkdir(exist_ok=True)
                write_image(self.run / "validation" / f"{name}.png", picture)
            curves.show(self.step, verdict.pictures)
            self._keep_best(verdict.values[self.config.validation.best])
        curves.add(self.step, row)
        self._judged = self.step
        self.learner.forget()
        self.save()
        progress.report(row)

    def _keep_best(self, value: float) -> None:
        if self.validator.better(value, self.best):
            self.best = value
            state = {
                "network": self.config.network,
                "weights": self.learner.best_network.state_dict(),
                "step": self.step,
                "best": {self.config.validation.best: value},
                "provenance": self.provenance,
            }
            save_checkpoint(self.run / "best.pt", state)

    def _interrupt(self) -> NoReturn:
        self.save()
        raise KeyboardInterrupt(
            f"step {self.step} of {self.steps} is in {self.run / 'last.pt'}; --resume goes on there"
        )

    def save(self) -> None:
        """Write last.pt; it is there whole or not at all."""
        own = {"best": self.best, "judged": self._judged, "provenance": self.provenance}
        save_checkpoint(self.run / "last.pt", self.learner.state() | own)

    def resume(self) -> None:
        """Continue from last.pt.

        Raises ModelError where there is none, ConfigError when its settings, data, start or teacher differ
        from this run's.
        """
        path = self.run / "last.pt"
        if not path.exists():
            raise ModelError(f"there is no checkpoint at {path}; train without --resume first")
        state = load_checkpoint(path)
        try:
            check_same_run(self.run, state["provenance"], self.provenance, MAY_CHANGE)
            self.learner.restore(state)
            self.best, self._judged = state["best"], state["judged"]
        # What it lacks, as one of `ivfusion import` does, or what does not fit this network.
        except (KeyError, TypeError, AttributeError, ValueError, RuntimeError) as error:
            raise ModelError(
                f"{path} is no checkpoint of a run that can go on ({type(error).__name__}: {error}); start "
                "from its weights by --init, in another run folder"
            ) from error
