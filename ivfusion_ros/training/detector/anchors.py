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
from ivfusion_ros.export.folded import load_folded
from ivfusion_ros.files import whole_file
from ivfusion_ros.networks.yolov5 import (
    BOX_VALUES,
    RGB_AND_THERMAL,
    STRIDES,
    AnchorModel,
    load_final,
    widened,
)
from ivfusion_ros.training.detector.anchor_loss import AnchorLoss
from ivfusion_ros.training.detector.config import AnchorLossConfig

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

_COCO_COUNT = 80
_COCO_NUMBERS = {name: number for number, name in COCO_IDS.items()}


class TrainedAnchorModel(AnchorModel):
    """A model that knows its loss."""

    constants = AnchorLossConfig()

    def init_criterion(self) -> AnchorLoss:
        """As ultralytics asks for it."""
        return AnchorLoss(self.model[-1].sizes, STRIDES, self.constants)


def load_start(model: AnchorModel, path: Path) -> None:
    """Put weights into a model: of a classic YOLOv5 of COCO (safetensors), a final.pt, or an exported ONNX.

    What looks at a thermal image that the start did not have begins at 0: the model says what the start
    says, whatever is in that image. Raises ModelError for a file that does not fit.
    """
    if path.suffix == ".safetensors":
        load_coco(model, path)
        return
    if path.suffix == ".onnx":
        load_folded(model, path)
        return
    start = load_final(path)
    fits = start.names == model.names and start.yaml["yaml_file"] == model.yaml["yaml_file"]
    if not fits or start.channels > model.channels:
        raise ModelError(f"{path} is {_told(start)}; expected {_told(model)}")
    model.load_state_dict(widened(start.state_dict(), model.channels))


def _told(model: AnchorModel) -> str:
    images = " with the thermal image as a channel" if model.channels == RGB_AND_THERMAL else ""
    return f"a {Path(model.yaml['yaml_file']).stem} of {', '.join(model.names.values())}{images}"


def load_coco(model: AnchorModel, path: Path) -> None:
    """Put the weights of a classic YOLOv5 of COCO (safetensors) into a model, its classes by name.

    Raises ModelError for a file that does not fit, or a class that COCO does not have.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        weights = load_file(path)
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{path} is no readable safetensors file: {error}") from error
    strange = [name for name in model.names.values() if name not in _COCO_NUMBERS]
    if strange:
        raise ModelError(
            f"COCO's weights know no {', '.join(strange)}; the classes to start from are "
            f"{', '.join(_COCO_NUMBERS)}"
        )
    rows = [*range(BOX_VALUES), *(BOX_VALUES + _COCO_NUMBERS[name] for name in model.names.values())]
    own = model.state_dict()
    fitted = {name: _rows_of_classes(name, weight, rows) for name, weight in weights.items()}
    fitted = widened({name: weight for name, weight in fitted.items() if name in own}, model.channels)
    missing = [name for name in own if name not in fitted]
    wrong = [name for name, weight in fitted.items() if weight.shape != own[name].shape]
    if missing or wrong:
        raise ModelError(
            f"{path} holds no YOLOv5 of this size with COCO's 80 classes: {len(missing)} weights are "
            f"missing and {len(wrong)} have another shape, for example {(missing + wrong)[0]}"
        )
    model.load_state_dict(fitted, strict=False)


def save_final(trained: AnchorModel, start: AnchorModel, kept: float, path: Path) -> None:
    """Write the mean of two models' weights, `kept` of it from `start`, with what rebuilds the model."""
    first, weights = start.state_dict(), trained.state_dict()
    mean = {
        name: torch.lerp(weight, first[name], kept) if weight.is_floating_point() else weight
        for name, weight in weights.items()
    }
    content = {
        "network": Path(trained.yaml["yaml_file"]).stem,
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
