"""Training a YOLOv5 with anchors: COCO's weights at the start, the loss, and what is kept at the end.

A detector with a fresh head has eyes but no words, and forgets while it learns them. With all of COCO's
weights it can do its work from the first step on, and fine-tuning moves it no further than it has to. The
mean of the weights before and after keeps most of what was learned and most of what would be forgotten
(Wortsman et al., Robust fine-tuning of zero-shot models, CVPR 2022).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from ivfusion_ros.detection.classes import COCO_IDS
from ivfusion_ros.errors import ModelError
from ivfusion_ros.export.folded import NETWORKS, folded_model
from ivfusion_ros.files import whole_file
from ivfusion_ros.networks.yolov5 import (
    BOX_VALUES,
    FIRST_WEIGHT,
    RGB,
    RGB_AND_THERMAL,
    STRIDES,
    AnchorModel,
    load_final,
    widened,
)
from ivfusion_ros.training.detector.anchor_loss import AnchorLoss
from ivfusion_ros.training.detector.config import AnchorLossConfig
from ivfusion_ros.training.detector.wider import is_twice_as_wide, load_doubled

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

_HALF_AS_WIDE = {"yolov5s": "yolov5n"}
"""Of the networks that have one with as many layers."""
_COCO_COUNT = 80
_COCO_NUMBERS = {name: number for number, name in COCO_IDS.items()}


class TrainedAnchorModel(AnchorModel):
    """A model that knows its loss."""

    constants = AnchorLossConfig()

    def init_criterion(self) -> AnchorLoss:
        """As ultralytics asks for it."""
        return AnchorLoss(self.model[-1].sizes, STRIDES, self.constants)


def load_start(model: AnchorModel, path: Path) -> None:
    """Put weights into a model: of a file that read_detector takes.

    A detector half as wide gives its weights to two channels each, as in wider.py. Raises ModelError for a
    file that does not fit.
    """
    start = read_detector(path, tuple(model.names.values()), model.channels)
    if start.yaml["yaml_file"] == model.yaml["yaml_file"]:
        model.load_state_dict(start.state_dict())
    elif is_twice_as_wide(model, start):
        load_doubled(model, start)
    else:
        half = _HALF_AS_WIDE.get(_network(model))
        raise ModelError(
            f"{path} is {_told(start)}; expected {_told(model)}{f', or a {half}' if half else ''}; set "
            f"detector={_network(start)}, or give another start"
        )


def read_detector(path: Path, names: Sequence[str], channels: int) -> AnchorModel:
    """A detector of these classes and channels from a file, of the network that it holds.

    path: of a classic YOLOv5 of COCO (safetensors), a final.pt, or an exported ONNX file in f32 or f16.
    What looks at a thermal image that the file does not know begins at 0: the model says what the file
    says, whatever is in that image. Raises ModelError.
    """
    if path.suffix == ".safetensors":
        return read_coco(path, names, channels)
    found = folded_model(path) if path.suffix == ".onnx" else load_final(path)
    model = AnchorModel(_network(found), names, channels)
    if found.names != model.names or found.channels > channels:
        raise ModelError(f"{path} is {_told(found)}; expected {_told(model)}")
    model.load_state_dict(widened(found.state_dict(), channels))
    return model


def _told(model: AnchorModel) -> str:
    images = " with the thermal image as a channel" if model.channels == RGB_AND_THERMAL else ""
    return f"a {_network(model)} of {', '.join(model.names.values())}{images}"


def _network(model: AnchorModel) -> str:
    return Path(model.yaml["yaml_file"]).stem


def read_coco(path: Path, names: Sequence[str], channels: int = RGB) -> AnchorModel:
    """A classic YOLOv5 of COCO (safetensors), of whose classes these are kept.

    Raises ModelError for a file that holds none, or a class that COCO does not have.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        weights = load_file(path)
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{path} is no readable safetensors file: {error}") from error
    strange = [name for name in names if name not in _COCO_NUMBERS]
    if strange:
        raise ModelError(
            f"COCO's weights know no {', '.join(strange)}; the classes to start from are "
            f"{', '.join(_COCO_NUMBERS)}"
        )
    first = weights.get(FIRST_WEIGHT)
    if first is None or len(first) not in NETWORKS:
        raise ModelError(f"{path} holds no YOLOv5: it has no {FIRST_WEIGHT} of a known width")
    model = AnchorModel(NETWORKS[len(first)], names, channels)
    rows = [*range(BOX_VALUES), *(BOX_VALUES + _COCO_NUMBERS[name] for name in names)]
    own = model.state_dict()
    fitted = {name: _rows_of_classes(name, weight, rows) for name, weight in weights.items()}
    fitted = widened({name: weight for name, weight in fitted.items() if name in own}, channels)
    missing = [name for name in own if name not in fitted]
    wrong = [name for name, weight in fitted.items() if weight.shape != own[name].shape]
    if missing or wrong:
        raise ModelError(
            f"{path} holds no YOLOv5 with COCO's 80 classes: {len(missing)} weights are "
            f"missing and {len(wrong)} have another shape, for example {(missing + wrong)[0]}"
        )
    model.load_state_dict(fitted, strict=False)
    return model


def save_final(trained: AnchorModel, start: AnchorModel, kept: float, path: Path) -> None:
    """Write the mean of two models' weights, `kept` of it from `start`, with what rebuilds the model."""
    first, weights = start.state_dict(), trained.state_dict()
    mean = {
        name: torch.lerp(weight, first[name], kept) if weight.is_floating_point() else weight
        for name, weight in weights.items()
    }
    content = {
        "network": _network(trained),
        "head": "anchors",
        "names": list(trained.names.values()),
        "weights": mean,
    }
    with whole_file(path) as temporary:
        torch.save(content, temporary)


def _rows_of_classes(name: str, weight: Tensor, rows: Sequence[int]) -> Tensor:
    """A weight as it is, or of the head's convolutions what is said of the classes."""
    values = BOX_VALUES + _COCO_COUNT
    if not name.startswith("model.24.m.") or len(weight) != 3 * values:
        return weight
    by_anchor = weight.view(3, values, *weight.shape[1:])[:, list(rows)]
    return by_anchor.reshape(3 * len(rows), *weight.shape[1:])
