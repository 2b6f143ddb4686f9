"""Train a YOLOv5 by ultralytics on a data set of `ivfusion dataset`, from scratch or from a checkpoint.

A run folder holds ultralytics' own files: args.yaml, results.csv (one row an epoch), weights/last.pt and by
validation weights/best.pt; and state.pt, from which `resume` goes on to the same bits, within an epoch too.
A detector with anchors ends with weights/final.pt, which holds nothing but weights and names.
"""

from __future__ import annotations

import math
import os
import time
from typing import TYPE_CHECKING, Any

# Nothing is installed or fetched behind the user's back.
os.environ["YOLO_AUTOINSTALL"] = "false"

import torch
from ultralytics.models.yolo.detect import DetectionTrainer
from ultralytics.utils.torch_utils import unwrap_model

from ivfusion_ros.config.parameters import plain
from ivfusion_ros.errors import ConfigError
from ivfusion_ros.files import write_whole
from ivfusion_ros.models import resolve_model
from ivfusion_ros.training.detector.anchors import TrainedAnchorModel, load_coco, save_final
from ivfusion_ros.training.detector.float32_loss import Float32Loss
from ivfusion_ros.training.detector.imitation import FeatureTeacher, ImitationLoss
from ivfusion_ros.training.detector.nms_stand_in import provide_nms
from ivfusion_ros.training.detector.scenes import SceneDataset, SceneLoader, SceneSampler
from ivfusion_ros.training.detector.state import (
    STATE,
    State,
    cut_curves,
    data_identity,
    load_state,
    save_state,
)
from ivfusion_ros.training.detector.ultralytics_settings import (
    check_start,
    crop_of,
    data_file,
    ultralytics_settings,
)
from ivfusion_ros.training.fusion.provenance import file_identity

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ivfusion_ros.training.detector.config import DetectorConfig


class DetectorTrainer(DetectionTrainer):
    """ultralytics' trainer with crops, feature imitation and a schedule that can follow the clock."""

    def __init__(
        self,
        config: DetectorConfig,
        data: Path,
        run: Path,
        *,
        start: Path | None = None,
        resume: bool = False,
        teacher: Path | None = None,
    ) -> None:
        """Set up a run in the folder `run`.

        data: folder of `ivfusion dataset`, or a data.yaml of ultralytics. start: checkpoint whose weights
        to begin with. teacher: model, where config.teacher is no name of one.

        Raises ConfigError, DataError or ModelError.
        """
        provide_nms()
        check_start(config, start)
        self.config = config
        if config.teacher and teacher is None:
            teacher = resolve_model(config.teacher)
        self._teacher = FeatureTeacher(teacher) if teacher else None
        self._crop = crop_of(config)
        self._start, self._folder = start, run.resolve()
        self._progress, self._step, self._batch, self._mosaic_closed = 0.0, 0, 0, False
        self._stop: Callable[[], bool] = lambda: False
        file = data_file(data)
        self._origin = {
            "settings": plain(config),
            "data": data_identity(file),
            "init": file_identity(start),
            "teacher": file_identity(teacher),
        }
        self._state = load_state(self._folder, self._origin) if resume else None
        if not resume and (self._folder / STATE).exists():
            raise ConfigError(f"{run} holds a run already; go on with --resume, or give another --out")
        results = self._folder / "results.csv"
        curves = results.read_text(encoding="utf-8") if resume and results.exists() else ""
        super().__init__(overrides=ultralytics_settings(config, file, self._folder, start))
        if self._state is not None and curves:
            # ultralytics begins anew with those of a run that it does not continue itself.
            write_whole(results, curves)
            cut_curves(results, self._state.epoch)
        # ultralytics prepares images in the training process itself where there is no GPU.
        self.args.workers = config.workers
        self.add_callback("on_train_start", lambda _: self._begin())
        self.add_callback("on_train_epoch_start", lambda _: self._begin_epoch())
        self.add_callback("on_train_batch_start", lambda _: self._schedule())
        self.add_callback("on_train_batch_end", lambda _: self._end_batch())
        self.add_callback("on_model_save", lambda _: self._end_epoch())
        self.add_callback("on_train_end", lambda _: self._finish())

    def fit(self, stop: Callable[[], bool] = lambda: False) -> None:
        """Train to the end.

        stop: asked after each step; when it says so, the run is saved and this raises KeyboardInterrupt.
        """
        if self._state is not None and self._state.finished:
            return
        self._stop = stop
        self.train()

    @property
    def weights(self) -> Path:
        """What is exported: weights alone, the best by validation, or the last."""
        folder = self._folder / "weights"
        names = ("final", "best", "last") if self.config.validate else ("final", "last")
        return next(path for name in names if (path := folder / f"{name}.pt").exists())

    def build_dataset(self, img_path: str, mode: str = "train", batch: int | None = None) -> Any:
        """As the base class; training images are SceneDataset's crops."""
        if mode != "train":
            return super().build_dataset(img_path, mode, batch)
        return SceneDataset(
            img_path=img_path,
            imgsz=self.args.imgsz,
            batch_size=batch,
            augment=True,
            hyp=self.args,
            stride=32,
            data=self.data,
            prefix="train: ",
            crop=self._crop,
            camera=self.config.camera,
            seed=self.config.seed,
        )

    def get_dataloader(
        self, dataset_path: str, batch_size: int = 16, rank: int = 0, mode: str = "train"
    ) -> Any:
        """As the base class; training samples come from their places in the sequence of all epochs."""
        if mode != "train":
            return super().get_dataloader(dataset_path, batch_size, rank, mode)
        dataset = self.build_dataset(dataset_path, mode, batch_size)
        return SceneLoader(
            dataset=dataset,
            batch_size=min(batch_size, len(dataset)),
            sampler=SceneSampler(len(dataset)),
            num_workers=self.config.workers,
            pin_memory=self.device.type == "cuda",
            collate_fn=dataset.collate_fn,
        )

    def resume_training(self, ckpt: Any) -> None:  # noqa: ARG002
        """From our own state instead of ultralytics' checkpoint."""
        if self._state is None:
            return
        own = self._state.trainer
        unwrap_model(self.model).load_state_dict(own["weights"])
        self.ema.ema.load_state_dict(own["ema"])
        self.ema.updates = own["updates"]
        self.optimizer.load_state_dict(own["optimizer"])
        self.best_fitness = own["best_fitness"]
        self.start_epoch = self._state.epoch

    def get_model(self, cfg: Any = None, weights: Any = None, verbose: bool = True) -> Any:
        """As the base class, in the layout that convolutions in bf16 are fast in."""
        if self.config.head == "anchors":
            model = TrainedAnchorModel(self.config.detector, list(self.data["names"].values()))
            model.constants = self.config.anchors
            if weights is not None:
                model.load(weights)
            elif self._start is not None:
                load_coco(model, self._start)
        else:
            model = super().get_model(cfg, weights, verbose)
        return model.to(memory_format=torch.channels_last)

    def preprocess_batch(self, batch: dict[str, Any]) -> dict[str, Any]:
        """As the base class, likewise."""
        batch = super().preprocess_batch(batch)
        batch["img"] = batch["img"].contiguous(memory_format=torch.channels_last)
        return batch

    def validate(self) -> tuple[Any, Any]:
        """As the base class, unless validation is off."""
        if self.args.val:
            metrics, fitness = super().validate()
            return metrics, fitness
        self.best_fitness = 0.0
        return self.metrics, 0.0

    def final_eval(self) -> None:
        """Nothing: each epoch was judged, and a checkpoint that is rewritten here could be torn."""

    def _begin(self) -> None:
        model = unwrap_model(self.model)
        state = self._state
        if state is not None:
            # Time counts from the first start: schedule and results.csv go on where they were.
            self.train_time_start -= state.elapsed_s
            self._step, self._progress = state.step, state.progress
            self.train_loader.start_at(state.epoch, state.batch)
            self._batch = state.batch
            if state.mosaic_closed:
                self._close_mosaic()
                self.train_loader.start_at(state.epoch, state.batch)
        if self.device.type == "cpu":
            # ultralytics has bf16 for GPUs alone, torch has it here too.
            self.amp = self.config.precision == "bf16"
        model.criterion = Float32Loss(model.init_criterion())
        if self._teacher is not None:
            model.criterion = ImitationLoss(
                model,
                model.criterion,
                self._teacher,
                weight=self._imitation,
                forced=lambda: self._progress < self.config.forced,
            )

    def _imitation(self) -> float:
        share = (1 - self._progress) + self._progress * self.config.final_imitation
        return self.config.imitation * share

    def _schedule(self) -> None:
        config = self.config
        if config.hours:
            self._progress = min(1.0, (time.time() - self.train_time_start) / (3600 * config.hours))
        else:
            self._progress = self._step / (self.epochs * len(self.train_loader))
        cosine = (1 + math.cos(math.pi * self._progress)) / 2
        factor = config.final_rate + (1 - config.final_rate) * cosine
        factor *= min(1.0, (self._step + 1) / max(1, config.warm_up))
        for group in self.optimizer.param_groups:
            group["lr"] = group["initial_lr"] * factor
        self._step += 1

    def _begin_epoch(self) -> None:
        """End with whole images; between two epochs, as the loader must not be reset while it is read."""
        late = self._progress >= 1 - self.config.without_mosaic
        # An epoch that a run goes on with was begun before.
        if late and not self._mosaic_closed and self._batch == 0:
            self._close_mosaic()
            # Workers hold copies of the data set as it was.
            self.train_loader.start_at(self.epoch)

    def _close_mosaic(self) -> None:
        self._mosaic_closed = True
        self._close_dataloader_mosaic()

    def _end_batch(self) -> None:
        self._batch += 1
        if self.config.hours and self._progress >= 1:
            self.stop = True
        if self._batch == len(self.train_loader) or self.stop:
            # The end of the epoch follows.
            return
        stopped = self._stop()
        if stopped or self._step % self.config.save_every == 0:
            self._save(self.epoch, self._batch)
        if stopped:
            self._interrupt()

    def _end_epoch(self) -> None:
        self._batch = 0
        if self.stop or self.epoch + 1 >= self.epochs:
            # The end of the run follows.
            return
        self._save(self.epoch + 1, 0)
        if self._stop():
            self._interrupt()

    def _interrupt(self) -> None:
        raise KeyboardInterrupt(f"step {self._step} is in {self._folder / STATE}; --resume goes on there")

    def _save(self, epoch: int, batch: int, finished: bool = False) -> None:
        own = {
            "weights": unwrap_model(self.model).state_dict(),
            "ema": self.ema.ema.state_dict(),
            "updates": self.ema.updates,
            "optimizer": self.optimizer.state_dict(),
            "best_fitness": None if self.best_fitness is None else float(self.best_fitness),
        }
        elapsed = time.time() - self.train_time_start
        place = epoch, batch, self._step, self._progress
        state = State(*place, elapsed, self._mosaic_closed, finished, own, self._origin)
        save_state(self._folder, state)

    def _finish(self) -> None:
        if self.config.head == "anchors":
            trained = self.ema.ema.float()
            start = TrainedAnchorModel(self.config.detector, list(trained.names.values()))
            if self._start is not None:
                load_coco(start, self._start)
            save_final(trained, start, self.config.kept, self.wdir / "final.pt")
        self._save(self.epoch + 1, 0, finished=True)
