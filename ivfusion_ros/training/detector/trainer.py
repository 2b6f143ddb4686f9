"""Train a YOLOv5 by ultralytics on a data set of `ivfusion dataset`, from scratch or from a checkpoint.

A run folder holds ultralytics' own files: args.yaml, results.csv (one row an epoch), weights/last.pt and by
validation weights/best.pt; and state.pt, from which `resume` goes on to the same bits, within an epoch too.
A detector with anchors ends with weights/final.pt, which holds nothing but weights and names.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

# Nothing is installed or fetched behind the user's back.
os.environ["YOLO_AUTOINSTALL"] = "false"

import torch
import yaml
from ultralytics.models.yolo.detect import DetectionTrainer
from ultralytics.utils.torch_utils import unwrap_model

from ivfusion_ros.config.parameters import plain
from ivfusion_ros.errors import ConfigError, DataError, refusing
from ivfusion_ros.files import make_folder, read_yaml, write_whole
from ivfusion_ros.models import resolve_model
from ivfusion_ros.networks.yolov5 import RGB, RGB_AND_THERMAL
from ivfusion_ros.training.detector.anchors import TrainedAnchorModel, load_start, save_final
from ivfusion_ros.training.detector.course import Course
from ivfusion_ros.training.detector.imitation import FeatureTeacher
from ivfusion_ros.training.detector.label_cache import scan_labels_anew
from ivfusion_ros.training.detector.nms_stand_in import provide_nms
from ivfusion_ros.training.detector.norms import looked_at, part_norms
from ivfusion_ros.training.detector.paste import Paste, cut_outs_identity, read_cut_outs
from ivfusion_ros.training.detector.scenes import SceneDataset, SceneLoader, SceneSampler
from ivfusion_ros.training.detector.state import STATE, cut_curves, data_identity, load_state
from ivfusion_ros.training.detector.ultralytics_settings import (
    check_detector,
    check_start,
    crop_of,
    data_file,
    read_data,
    ultralytics_settings,
)
from ivfusion_ros.training.fusion.provenance import file_identity, versions

if TYPE_CHECKING:
    from collections.abc import Callable

    from ivfusion_ros.training.detector.config import DetectorConfig


_CHANNELS = {"rgb": RGB, "rgb+thermal": RGB_AND_THERMAL}


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
        memory: Path | None = None,
    ) -> None:
        """Set up a run in the folder `run`.

        data: folder of `ivfusion dataset`, or a data.yaml of ultralytics. start: checkpoint whose weights
        to begin with. teacher: model, where config.teacher is no name of one. memory: weights, where
        config.memory is no file of them.

        Raises ConfigError, DataError or ModelError.
        """
        provide_nms()
        scan_labels_anew()
        check_detector(config.detector)
        check_start(config, start)
        self.config = config
        if config.teacher and teacher is None:
            teacher = resolve_model(config.teacher, "detection")
        features = FeatureTeacher(teacher) if teacher else None
        if config.memory and memory is None:
            memory = Path(config.memory)
        self._crop = crop_of(config)
        self._start, self._folder = start, run.resolve()
        file = data_file(data)
        content = read_data(file)
        origin = {
            "settings": plain(config),
            "data": data_identity(file),
            "init": file_identity(start),
            "teacher": file_identity(teacher),
            "memory": file_identity(memory),
            "pasted": cut_outs_identity(config.paste),
            "versions": versions(),
        }
        self._before = load_state(self._folder, origin) if resume else None
        if not resume and (self._folder / STATE).exists():
            raise ConfigError(f"{run} holds a run already; go on with --resume, or give another --out")
        results = self._folder / "results.csv"
        curves = results.read_text(encoding="utf-8") if resume and results.exists() else ""
        if not Path(str(read_yaml(file).get("path") or file.parent)).is_absolute():
            # ultralytics would look for it from where the command runs.
            make_folder(self._folder)
            file = self._folder / "data.yaml"
            write_whole(file, yaml.safe_dump(content, sort_keys=False))
        super().__init__(overrides=ultralytics_settings(config, file, self._folder, start))
        if self._before is not None and curves:
            # ultralytics drops those of a run that it does not continue itself.
            write_whole(results, curves)
            cut_curves(results, self._before.epoch)
        # ultralytics prepares images in the training process itself where there is no GPU.
        self.args.workers = config.workers
        self._course = Course(self, self._folder, origin, self._before, features, memory)

    def fit(self, stop: Callable[[], bool] = lambda: False) -> None:
        """Train to the end.

        stop: asked after each step; when it says so, the run is saved and this raises KeyboardInterrupt.
        """
        if self._before is not None and self._before.finished:
            return
        self._course.stop = stop
        self.train()

    @property
    def weights(self) -> Path:
        """What is exported: weights alone, the best by validation, or the last."""
        folder = self._folder / "weights"
        names = ("final", "best", "last") if self.config.validate else ("final", "last")
        return next(path for name in names if (path := folder / f"{name}.pt").exists())

    def get_dataset(self) -> Any:
        """As the base class. Raises DataError."""
        with refusing(DataError, f"data set {self.args.data}", "folders of `ivfusion dataset`"):
            return super().get_dataset()

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
            paste=self._paste(),
            seed=self.config.seed,
            thermal=_CHANNELS[self.config.channels] == RGB_AND_THERMAL,
        )

    def _paste(self) -> Paste | None:
        own = self.config.paste
        names = list(self.data["names"].values())
        return Paste(own, read_cut_outs(Path(own.objects), names)) if own.objects else None

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
        if self._before is None:
            return
        own = self._before.trainer
        unwrap_model(self.model).load_state_dict(own["weights"])
        self.ema.ema.load_state_dict(own["ema"])
        self.ema.updates = own["updates"]
        self.optimizer.load_state_dict(own["optimizer"])
        self.best_fitness = own["best_fitness"]
        self.start_epoch = self._before.epoch

    def get_model(self, cfg: Any = None, weights: Any = None, verbose: bool = True) -> Any:
        """As the base class, in the layout that convolutions in bf16 are fast in."""
        if self.config.head == "anchors":
            model = self._anchor_model(self.data["names"])
            model.constants = self.config.anchors
            if weights is not None:
                model.load(weights)
            elif self._start is not None:
                load_start(model, self._start)
        else:
            model = super().get_model(cfg, weights, verbose)
        return model.to(memory_format=torch.channels_last)

    def _anchor_model(self, names: dict[int, str]) -> TrainedAnchorModel:
        own = self.config
        return TrainedAnchorModel(own.detector, list(names.values()), _CHANNELS[own.channels])

    def part_norms(self, *models: TrainedAnchorModel) -> None:
        """Give models that start from an ONNX file the norms that it folds away; see norms.py."""
        if self.config.head == "anchors" and self._start is not None and self._start.suffix == ".onnx":
            files = self.train_loader.dataset.im_files
            images = looked_at(files, self._crop, _CHANNELS[self.config.channels]).to(self.device)
            for model in models:
                part_norms(model, images)

    def preprocess_batch(self, batch: dict[str, Any]) -> dict[str, Any]:
        """As the base class, in that layout too."""
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

    def close_mosaic(self) -> None:
        """Let each sample show one scene from now on."""
        self._close_dataloader_mosaic()

    def state(self) -> dict[str, Any]:
        """Everything that a run goes on with: weights, their mean, the optimiser and the best figure."""
        return {
            "weights": unwrap_model(self.model).state_dict(),
            "ema": self.ema.ema.state_dict(),
            "updates": self.ema.updates,
            "optimizer": self.optimizer.state_dict(),
            "best_fitness": None if self.best_fitness is None else float(self.best_fitness),
        }

    def write_final(self) -> None:
        """Write final.pt, of a detector with anchors: the trained weights and what is kept of the start."""
        if self.config.head == "anchors":
            trained = self.ema.ema.float()
            start = self._anchor_model(trained.names)
            if self._start is not None:
                load_start(start, self._start)
                self.part_norms(start.to(self.device))
            save_final(trained, start, self.config.kept, self.wdir / "final.pt")
