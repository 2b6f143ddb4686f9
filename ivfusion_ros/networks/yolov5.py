"""YOLOv5 with the anchor-based head of its release (Jocher et al., YOLOv5 v6.0), in ultralytics' modules.

Backbone and neck are ultralytics' own; its head for YOLOv5 is another one, for which there are no weights
of COCO here. With the first head a detector of COCO's classes is there before training begins.
"""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from ultralytics.nn.tasks import DetectionModel, yaml_model_load

from ivfusion_ros.errors import ModelError
from ivfusion_ros.networks.torch_file import load_data

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

_UNREADABLE = (OSError, pickle.UnpicklingError, RuntimeError, LookupError, TypeError, AttributeError)
"""What a file of another kind may raise."""

STRIDES = (8, 16, 32)
ANCHORS = (
    ((10, 13), (16, 30), (33, 23)),
    ((30, 61), (62, 45), (59, 119)),
    ((116, 90), (156, 198), (373, 326)),
)
"""Widths and heights in pixels by stride, as in YOLOv5's models of 640 pixels."""

BOX_VALUES = 5
"""Centre, size and objectness, before the classes."""

RGB, RGB_AND_THERMAL = 3, 4
"""Channels that go in: red, green and blue, and after them the registered thermal image."""

FIRST_WEIGHT = "model.0.conv.weight"
"""The only weight whose shape tells how many channels go in."""


class AnchorHead(nn.Module):
    """Three convolutions that give centre, size, objectness and classes of three anchors per cell.

    In training: a (B, 3, H, W, 5 + classes) tensor of logits per stride. Else ultralytics' form, ((B, 4 +
    classes, N) boxes as centre and size in pixels and scores, logits), or the classic (B, N, 5 + classes)
    where `classic` is set.
    """

    def __init__(self, class_count: int, channels: Sequence[int]) -> None:
        """channels: of the three features that come in."""
        super().__init__()
        self.nc, self.nl, self.values = class_count, len(STRIDES), BOX_VALUES + class_count
        self.m = nn.ModuleList(nn.Conv2d(width, 3 * self.values, 1) for width in channels)
        self.sizes: Tensor
        self.parts: Tensor
        self.register_buffer("sizes", torch.tensor(ANCHORS, dtype=torch.float32), persistent=False)
        self.register_buffer("parts", _parts(self.values), persistent=False)
        self.stride = torch.tensor(STRIDES, dtype=torch.float32)
        self.classic = False
        # What ultralytics asks of a head.
        self.reg_max, self.end2end, self.max_det = 1, False, 300

    def forward(self, features: Sequence[Tensor]) -> Any:
        """See the class."""
        maps = [convolution(feature) for convolution, feature in zip(self.m, features, strict=True)]
        logits = [level.unflatten(1, (3, self.values)).permute(0, 1, 3, 4, 2) for level in maps]
        if self.training:
            return logits
        rows = torch.cat([self._decode(level, index) for index, level in enumerate(maps)], 1)
        if self.classic:
            return rows
        scores = rows[..., 4:5] * rows[..., BOX_VALUES:]
        return torch.cat((rows[..., :4], scores), 2).transpose(1, 2), logits

    def _decode(self, logits: Tensor, level: int) -> Tensor:
        """(B, N, 5 + classes): boxes in pixels, objectness and class scores in [0, 1].

        logits: (B, 3 * (5 + classes), H, W), as the convolution gives them. All channels go through the
        same arithmetic, and the rows of a cell lie together: to take channels apart, or the rows of an
        anchor together, takes longer than that.
        """
        height, width = logits.shape[2:]
        share = logits.float().sigmoid()
        linear, square, column, row = self.parts[level, :, :, None, None].unbind()
        y = torch.arange(height, device=share.device, dtype=share.dtype)[:, None] - 0.5
        x = torch.arange(width, device=share.device, dtype=share.dtype) - 0.5
        rows: Tensor = share * (linear + square * share) + column * x + row * y
        return rows.permute(0, 2, 3, 1).reshape(logits.shape[0], -1, self.values)


def _parts(values: int) -> Tensor:
    """(strides, 4, 3 * values): what a channel takes of its sigmoid, of that squared, of x and of y."""
    parts = torch.zeros(len(STRIDES), 4, 3, values)
    linear, square, column, row = parts.unbind(1)
    stride = torch.tensor(STRIDES, dtype=torch.float32)[:, None]
    linear[..., :2] = 2 * stride[..., None]
    square[..., 2:4] = 4 * torch.tensor(ANCHORS)
    linear[..., 4:] = 1
    column[..., 0] = row[..., 1] = stride
    return parts.flatten(2)


class AnchorModel(DetectionModel):
    """A YOLOv5 of ultralytics whose last block is an AnchorHead."""

    def __init__(self, network: str, names: Sequence[str], channels: int = RGB) -> None:
        """network: ultralytics' name, for example yolov5n. names: of the classes. channels: that go in."""
        # With a number of classes of its own beside the file's, ultralytics prints that both differ.
        described = yaml_model_load(f"{network}.yaml") | {"nc": len(names)}
        super().__init__(described, ch=channels, verbose=False)
        self.channels = channels
        old = self.model[-1]
        head = AnchorHead(len(names), [branch[0].conv.in_channels for branch in old.cv2])
        # What ultralytics notes of each block.
        for name, value in {"f": old.f, "i": old.i, "type": "AnchorHead", "np": 0}.items():
            setattr(head, name, value)
        self.model[-1] = head
        self.stride = head.stride
        self.names = dict(enumerate(names))


class TwoImages(nn.Module):
    """A model RGB_AND_THERMAL whose images come apart, as its ONNX graph takes them."""

    def __init__(self, model: AnchorModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor, thermal: Tensor) -> Any:
        """images: (B, 3, H, W), thermal: (B, 1, H, W), both in [0, 1]; gives what the model gives."""
        return self.model(torch.cat((images, thermal), 1))


def widened(weights: Mapping[str, Tensor], channels: int) -> dict[str, Tensor]:
    """Weights of a model of RGB for one of more channels: what looks at those is 0."""
    first = weights.get(FIRST_WEIGHT)
    if first is None or first.shape[1:2] != (RGB,):
        return dict(weights)
    more = first.new_zeros(len(first), channels - RGB, *first.shape[2:])
    return {**weights, FIRST_WEIGHT: torch.cat((first, more), 1)}


def batch_norms(model: nn.Module) -> Iterator[tuple[str, Any]]:
    """Names and batch norms of a model."""
    return ((name, part) for name, part in model.named_modules() if isinstance(part, nn.BatchNorm2d))


def load_final(path: Path) -> AnchorModel:
    """The model of a file of save_final; nothing in it is executed. Raises ModelError."""
    try:
        content = load_data(path)
        weights = content["weights"]
        model = AnchorModel(content["network"], content["names"], weights[FIRST_WEIGHT].shape[1])
        model.load_state_dict(weights)
    except _UNREADABLE as error:
        raise ModelError(f"{path} is no final.pt of a detector with anchors: {error}") from error
    model.eval()
    return model
