"""YOLOv5 with the anchor-based head of its release, in ultralytics' modules, so that COCO's weights fit all of it.

ultralytics trains YOLOv5 with a head of its own, for which there are no weights of COCO here: such a
detector starts with eyes but without words, and forgets while it learns them. With the first head (Jocher
et al., YOLOv5 v6.0, AGPL-3.0) a detector of COCO's classes is there from the first step on; fine-tuning
then moves it no further than it has to.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from ultralytics.nn.tasks import DetectionModel

from ivfusion_ros.errors import ModelError
from ivfusion_ros.files import whole_file
from ivfusion_ros.training.detector.anchor_loss import AnchorLoss

if TYPE_CHECKING:
    from collections.abc import Sequence

STRIDES = (8, 16, 32)
ANCHORS = (
    ((10, 13), (16, 30), (33, 23)),
    ((30, 61), (62, 45), (59, 119)),
    ((116, 90), (156, 198), (373, 326)),
)
"""Widths and heights in pixels by stride, as in YOLOv5's models of 640 pixels."""

COCO_CLASSES = {"person": 0, "bicycle": 1, "car": 2, "motorcycle": 3, "bus": 5, "truck": 7}
"""Those of COCO's 80 classes that this package knows, by their place."""
_COCO_COUNT = 80
_BOX_VALUES = 5
"""Centre, size and objectness, before the classes."""


class AnchorHead(nn.Module):
    """Three convolutions that give centre, size, objectness and classes of three anchors per cell.

    In training: a (B, 3, H, W, 5 + classes) tensor of logits per stride. Else ultralytics' form, ((B, 4 +
    classes, N) boxes as centre and size in pixels and scores, logits), or the classic (B, N, 5 + classes)
    where `classic` is set.
    """

    def __init__(self, class_count: int, channels: Sequence[int]) -> None:
        """channels: of the three features that come in."""
        super().__init__()
        self.nc, self.nl, self.values = class_count, len(STRIDES), _BOX_VALUES + class_count
        self.m = nn.ModuleList(nn.Conv2d(width, 3 * self.values, 1) for width in channels)
        self.register_buffer("anchors", torch.tensor(ANCHORS, dtype=torch.float32))
        self.stride = torch.tensor(STRIDES, dtype=torch.float32)
        self.classic = False
        # What ultralytics asks of a head.
        self.reg_max, self.end2end, self.max_det = 1, False, 300

    def forward(self, features: Sequence[Tensor]) -> Any:
        """See the class."""
        logits = []
        for convolution, feature in zip(self.m, features, strict=True):
            out = convolution(feature)
            batch, _, height, width = out.shape
            logits.append(out.view(batch, 3, self.values, height, width).permute(0, 1, 3, 4, 2))
        if self.training:
            return logits
        rows = torch.cat([self._decode(level, index) for index, level in enumerate(logits)], 1)
        if self.classic:
            return rows
        scores = rows[..., 4:5] * rows[..., _BOX_VALUES:]
        return torch.cat((rows[..., :4], scores), 2).transpose(1, 2), logits

    def _decode(self, logits: Tensor, level: int) -> Tensor:
        """(B, N, 5 + classes): boxes in pixels, objectness and class scores in [0, 1]."""
        batch, anchors, height, width, values = logits.shape
        share = logits.float().sigmoid()
        y, x = torch.meshgrid(
            torch.arange(height, device=logits.device), torch.arange(width, device=logits.device), indexing="ij"
        )
        cells = torch.stack((x, y), 2).float()
        centre = (share[..., :2] * 2 - 0.5 + cells) * STRIDES[level]
        size = (share[..., 2:4] * 2) ** 2 * self.anchors[level].view(1, anchors, 1, 1, 2)
        rows = torch.cat((centre, size, share[..., 4:]), 4)
        return rows.view(batch, anchors * height * width, values)


class AnchorModel(DetectionModel):
    """A YOLOv5 of ultralytics whose last block is an AnchorHead."""

    def __init__(self, network: str, names: Sequence[str]) -> None:
        """network: ultralytics' name, for example yolov5n. names: of the classes."""
        super().__init__(f"{network}.yaml", nc=len(names), verbose=False)
        old = self.model[-1]
        head = AnchorHead(len(names), [branch[0].conv.in_channels for branch in old.cv2])
        head.f, head.i, head.type, head.np = old.f, old.i, "AnchorHead", 0
        self.model[-1] = head
        self.stride = head.stride
        self.names = dict(enumerate(names))

    def init_criterion(self) -> AnchorLoss:
        """As ultralytics asks for it."""
        return AnchorLoss(self.model[-1].anchors, STRIDES)


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
    strange = [name for name in model.names.values() if name not in COCO_CLASSES]
    if strange:
        raise ModelError(
            f"COCO's weights know no {', '.join(strange)}; the classes to start from are "
            f"{', '.join(COCO_CLASSES)}"
        )
    rows = [*range(_BOX_VALUES), *(_BOX_VALUES + COCO_CLASSES[name] for name in model.names.values())]
    own = model.state_dict()
    fitted = {name: _rows_of_classes(name, weight, rows) for name, weight in weights.items()}
    fitted = {name: weight for name, weight in fitted.items() if name in own}
    missing = [name for name in own if name not in fitted and not name.endswith(".anchors")]
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


def load_final(path: Path) -> AnchorModel:
    """The model of a file of save_final; nothing in it is executed. Raises ModelError."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        model = AnchorModel(content["network"], content["names"])
        model.load_state_dict(content["weights"])
    except (OSError, pickle.UnpicklingError, RuntimeError, KeyError, TypeError) as error:
        raise ModelError(f"{path} is no final.pt of a detector with anchors: {error}") from error
    return model.eval()


def _rows_of_classes(name: str, weight: Tensor, rows: Sequence[int]) -> Tensor:
    """A weight as it is, or of the head's convolutions what is said of the classes."""
    values = _BOX_VALUES + _COCO_COUNT
    if not name.startswith("model.24.m.") or len(weight) != 3 * values:
        return weight
    by_anchor = weight.view(3, values, *weight.shape[1:])[:, list(rows)]
    return by_anchor.reshape(3 * len(rows), *weight.shape[1:])
