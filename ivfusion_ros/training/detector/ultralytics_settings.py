"""Our settings in the words of ultralytics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from ultralytics.nn.tasks import yaml_model_load

from ivfusion_ros.errors import ConfigError, DataError
from ivfusion_ros.export.detector import is_final
from ivfusion_ros.files import read_yaml

if TYPE_CHECKING:
    from pathlib import Path

    from ivfusion_ros.training.detector.config import DetectorConfig
    from ivfusion_ros.types import Size

_ENDLESS = 1_000_000


def check_start(config: DetectorConfig, start: Path | None) -> None:
    """Raises ConfigError for a start or channels that the head cannot take."""
    if config.channels != "rgb" and (config.head != "anchors" or config.validate):
        raise ConfigError(
            f"channels is {config.channels}, which head anchors alone can do and ultralytics cannot judge, "
            f"but head is {config.head} and validate {config.validate}; set head=anchors and validate=false"
        )
    if config.head == "anchors":
        if start is not None and start.suffix not in (".safetensors", ".pt", ".onnx"):
            raise ConfigError(
                f"--init is {start}; a detector with anchors starts from COCO's YOLOv5 in safetensors, "
                "from the final.pt of another run, or from the ONNX file of one"
            )
        if config.kept and start is None:
            raise ConfigError(f"kept is {config.kept}, but there is no --init whose weights could be kept")
        return
    if config.kept or config.memory:
        raise ConfigError(
            f"kept is {config.kept} and memory {config.memory!r}, which only head anchors can do"
        )
    if start is not None and (start.suffix in (".safetensors", ".onnx") or is_final(start)):
        raise ConfigError(
            f"--init is {start}, a start for a detector with anchors, but head is {config.head}, which "
            "starts from a .pt of ultralytics such as yolov5nu.pt; set head=anchors, or take the settings "
            "yolov5n_coco"
        )


def check_detector(name: str) -> None:
    """Raises ConfigError for a network that ultralytics does not have."""
    try:
        yaml_model_load(f"{name}.yaml")
    except FileNotFoundError as error:
        raise ConfigError(
            f"ultralytics has no network {name!r}, expected a name such as yolov5n, yolov5s or yolo11n"
        ) from error


def crop_of(config: DetectorConfig) -> Size:
    """(width, height) of the crops that are trained on. Raises ConfigError."""
    crop = config.crop_width or config.image_size, config.crop_height or config.image_size
    if crop[0] % 32 or crop[1] % 32:
        raise ConfigError(f"crops are {crop[0]}x{crop[1]}, both sides must be multiples of 32")
    if config.smallest_scale > config.largest_scale:
        raise ConfigError(
            f"smallest_scale is {config.smallest_scale}, above largest_scale, {config.largest_scale}"
        )
    return crop


def data_file(data: Path) -> Path:
    """The data.yaml of a data set, given as folder or file. Raises DataError."""
    file = data / "data.yaml" if data.is_dir() else data
    if not file.is_file():
        raise DataError(f"there is no {file}; make a data set with `ivfusion dataset`")
    return file.resolve()


def read_data(file: Path) -> dict[str, Any]:
    """A data.yaml, with the folder that its images lie in.

    A `path` that is not absolute goes from the file's folder where it leads to one. Raises DataError where
    the file names a program, or lacks images of a part: ultralytics runs what stands in `download`, and
    needs images to train on and to judge by.
    """
    found = read_yaml(file)
    if found.get("download"):
        raise DataError(
            f"{file} names a download, which would be run as a program; get the images yourself, and "
            "remove that entry"
        )
    folder = file.parent / str(found.get("path") or "")
    if not folder.is_dir():
        # One of ultralytics' own data sets, wherever it keeps those.
        return found
    for part in ("train", "val"):
        place = folder / str(found.get(part))
        if not place.exists():
            # As Roboflow writes them, and ultralytics reads them.
            place = folder / str(found.get(part)).removeprefix("../")
        # Lists of files and several folders are ultralytics' own affair.
        if isinstance(found.get(part), str) and not place.is_file() and not any(place.rglob("*.*")):
            raise DataError(
                f"{file} has no images in {place}, its {part}; where nothing was held out, add folders of "
                "other recordings to `ivfusion dataset`"
            )
    return found | {"path": str(folder.resolve())}


def ultralytics_settings(
    config: DetectorConfig, data: Path, run: Path, start: Path | None
) -> dict[str, Any]:
    """What is passed to ultralytics; its own defaults are for COCO in colour."""
    return {
        "model": str(start) if start and config.head != "anchors" else f"{config.detector}.yaml",
        "data": str(data),
        "project": str(run.parent),
        "name": run.name,
        "exist_ok": True,
        "epochs": _ENDLESS if config.hours else config.epochs,
        "batch": config.batch,
        "nbs": config.batch,
        "imgsz": config.image_size,
        "optimizer": {"adamw": "AdamW", "sgd": "SGD"}[config.optimizer],
        "lr0": config.learning_rate,
        "momentum": config.momentum,
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
        "translate": config.translation,
        "fliplr": config.mirrored,
        "hsv_h": config.hue,
        "hsv_s": config.saturation,
        "hsv_v": config.brightness,
        "box": config.box_weight,
        "cls": config.class_weight,
        "dfl": config.distribution_weight,
    }


def _device(name: str) -> str:
    if name == "auto":
        return "0" if torch.cuda.is_available() else "cpu"
    return "0" if name == "cuda" else name
