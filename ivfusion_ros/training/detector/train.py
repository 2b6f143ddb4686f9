"""Train a YOLOv5 by ultralytics on a data set of `ivfusion dataset`, from scratch or from a checkpoint.

A run folder holds ultralytics' own files: args.yaml, results.csv (one row an epoch) and weights/last.pt,
from which `resume` goes on; with validation weights/best.pt too. A detector with anchors ends with
weights/final.pt, which holds nothing but weights and names.
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

from ivfusion_ros.errors import ConfigError, DataError, ModelError
from ivfusion_ros.models import resolve_model
from ivfusion_ros.training.detector.anchors import TrainedAnchorModel, load_coco, save_final
from ivfusion_ros.training.detector.imitation import FeatureTeacher, ImitationLoss
from ivfusion_ros.training.detector.nms_stand_in import provide_nms
from ivfusion_ros.training.detector.scenes import SceneDataset

if TYPE_CHECKING:
    from pathlib import Path

    from ivfusion_ros.training.detector.config import DetectorConfig
    from ivfusion_ros.types import Size

_WARM_UP_STEPS = 50
_FINAL_RATE = 0.01
_WITHOUT_MOSAIC = 0.15
_FINAL_IMITATION = 0.1
_ENDLESS = 1_000_000


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
    ) -> None:
        """Set up a run in the folder `run`.

        data: folder of `ivfusion dataset`, or a data.yaml of ultralytics. start: checkpoint whose weights
        to begin with.

        Raises ConfigError, DataError or ModelError.
        """
        provide_nms()
        _check_start(config, start)
        self.config = config
        self._teacher = FeatureTeacher(resolve_model(config.teacher)) if config.teacher else None
        self._crop = _crop(config)
        self._start = start
        self._progress, self._step, self._mosaic_closed = 0.0, 0, False
        last = run.resolve() / "weights" / "last.pt"
        if resume and not last.is_file():
            raise ModelError(f"there is no checkpoint at {last}; train without --resume first")
        super().__init__(
            overrides=_settings(config, _data_file(data), run.resolve(), start, resume and last)
        )
        # ultralytics prepares images in the training process itself where there is no GPU.
        self.args.workers = config.workers
        self.add_callback("on_train_start", lambda _: self._begin())
        self.add_callback("on_train_epoch_start", lambda _: self._close_mosaic())
        self.add_callback("on_train_batch_start", lambda _: self._schedule())
        self.add_callback("on_train_batch_end", lambda _: self._stop_in_time())
        self.add_callback("on_train_end", lambda _: self._finish())

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
        )

    def get_model(self, cfg: Any = None, weights: Any = None, verbose: bool = True) -> Any:
        """As the base class, in the layout that convolutions in bf16 are fast in."""
        if self.config.head == "anchors":
            model = TrainedAnchorModel(self.config.detector, list(self.data["names"].values()))
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
        """As the base class, unless validation is off."""
        if self.args.val:
            super().final_eval()

    def _begin(self) -> None:
        model = unwrap_model(self.model)
        if self.resume:
            # Time counts from the first start: schedule and results.csv go on where they were.
            self.train_time_start -= self.read_results_csv().get("time", [0.0])[-1]
            self._step = self.start_epoch * len(self.train_loader)
        if self.device.type == "cpu":
            # ultralytics has bf16 for GPUs alone, torch has it here too.
            self.amp = self.config.precision == "bf16"
        model.criterion = _Float32Loss(model.init_criterion())
        if self._teacher is not None:
            model.criterion = ImitationLoss(
                model,
                model.criterion,
                self._teacher,
                weight=self._imitation,
                forced=lambda: self._progress < self.config.forced,
            )

    def _imitation(self) -> float:
        share = (1 - self._progress) + self._progress * _FINAL_IMITATION
        return self.config.imitation * share

    def _schedule(self) -> None:
        if self.config.hours:
            self._progress = min(1.0, (time.time() - self.train_time_start) / (3600 * self.config.hours))
        else:
            self._progress = self._step / (self.epochs * len(self.train_loader))
        cosine = (1 + math.cos(math.pi * self._progress)) / 2
        factor = (_FINAL_RATE + (1 - _FINAL_RATE) * cosine) * min(1.0, (self._step + 1) / _WARM_UP_STEPS)
        for group in self.optimizer.param_groups:
            group["lr"] = group["initial_lr"] * factor
        self._step += 1

    def _close_mosaic(self) -> None:
        """End with whole images; between two epochs, as the loader must not be reset while it is read."""
        if self._progress >= 1 - _WITHOUT_MOSAIC and not self._mosaic_closed:
            self._mosaic_closed = True
            self._close_dataloader_mosaic()
            if self.config.workers:
                # They hold copies of the data set as it was.
                self.train_loader.reset()

    def _finish(self) -> None:
        if self.config.head != "anchors":
            return
        trained = self.ema.ema.float()
        start = TrainedAnchorModel(self.config.detector, list(trained.names.values()))
        if self._start is not None:
            load_coco(start, self._start)
        save_final(trained, start, self.config.kept, self.wdir / "final.pt")

    def _stop_in_time(self) -> None:
        if self.config.hours and self._progress >= 1:
            self.stop = True


class _Float32Loss:
    """A loss of ultralytics whose boxes and overlaps are not rounded to bf16."""

    def __init__(self, loss: Any) -> None:
        self._loss = loss

    def __call__(self, predictions: Any, batch: dict[str, Any]) -> Any:
        with torch.autocast(batch["img"].device.type, enabled=False):
            return self._loss(_float32(predictions), batch)


def _float32(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value.float()
    if isinstance(value, dict):
        return {key: _float32(item) for key, item in value.items()}
    return type(value)(_float32(item) for item in value) if isinstance(value, (list, tuple)) else value


def _check_start(config: DetectorConfig, start: Path | None) -> None:
    if config.head == "anchors":
        if start is not None and start.suffix != ".safetensors":
            raise ConfigError(
                f"--init is {start}; a detector with anchors starts from COCO's YOLOv5 in safetensors"
            )
        if config.kept and start is None:
            raise ConfigError(f"kept is {config.kept}, but there is no --init whose weights could be kept")
    elif config.kept:
        raise ConfigError(f"kept is {config.kept}, which only head anchors can do")


def _crop(config: DetectorConfig) -> Size:
    crop = config.crop_width or config.image_size, config.crop_height or config.image_size
    if crop[0] % 32 or crop[1] % 32:
        raise ConfigError(f"crops are {crop[0]}x{crop[1]}, both sides must be multiples of 32")
    if config.smallest_scale > config.largest_scale:
        raise ConfigError(
            f"smallest_scale is {config.smallest_scale}, above largest_scale, {config.largest_scale}"
        )
    return crop


def _data_file(data: Path) -> Path:
    file = data / "data.yaml" if data.is_dir() else data
    if not file.is_file():
        raise DataError(f"there is no {file}; make a data set with `ivfusion dataset`")
    return file.resolve()


def _settings(
    config: DetectorConfig, data: Path, run: Path, start: Path | None, resume: Path | bool
) -> dict[str, Any]:
    """What is passed to ultralytics; its own defaults are for COCO in colour."""
    return {
        "model": str(start) if start and config.head != "anchors" else f"{config.detector}.yaml",
        "data": str(data),
        "project": str(run.parent),
        "name": run.name,
        "exist_ok": True,
        "resume": str(resume) if resume else False,
        "epochs": _ENDLESS if config.hours else config.epochs,
        "batch": config.batch,
        "nbs": config.batch,
        "imgsz": config.image_size,
        "optimizer": "AdamW",
        "lr0": config.learning_rate,
        "weight_decay": config.weight_decay,
        "warmup_epochs": 0.0,
        "close_mosaic": 0,
        "patience": 0,
        "amp": "bf16" if config.precision == "bf16" and _device(config.device) != "cpu" else False,
        "val": config.validate,
        "plots": False,
        "workers": config.workers,
        "seed": config.seed,
        "deterministic": False,
        "device": _device(config.device),
        "mosaic": config.mosaic,
        "scale": (config.smallest_scale, config.largest_scale),
        "translate": 0.4,
        # Colours of a fused image are the RGB camera's, where it saw any; its brightness is anything.
        "hsv_h": 0.01,
        "hsv_s": 0.5,
        "hsv_v": 0.5,
    }


def _device(name: str) -> str:
    if name == "auto":
        return "0" if torch.cuda.is_available() else "cpu"
    return "0" if name == "cuda" else name
