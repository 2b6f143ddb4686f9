"""Batch norms for a model that starts from an ONNX file, which has them in its convolutions.

Training needs them apart. A norm changes nothing whose mean and variance are those of what its convolution
gives, and whose scale and shift undo both. So the model says what the file says, and nearly the same where
a batch's own mean and variance count, in training.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import torch
from torch import nn

from ivfusion_ros.networks.yolov5 import RGB, batch_norms

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from ivfusion_ros.networks.yolov5 import AnchorModel
    from ivfusion_ros.types import Size

_LOOKED_AT = 32
"""Images that tell what a convolution gives."""


@torch.no_grad()
def part_norms(model: AnchorModel, images: Tensor) -> None:
    """Give each norm the mean and variance of what its convolution gives for (N, C, H, W) images in [0, 1].

    What the model says stays the same.
    """
    seen: dict[nn.Module, list[Tensor]] = {norm: [] for _, norm in batch_norms(model)}

    def note(norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        values = inputs[0].float()
        seen[norm].append(torch.stack((values.mean((0, 2, 3)), values.square().mean((0, 2, 3)))))

    handles = [norm.register_forward_pre_hook(note) for norm in seen]
    training = model.training
    model.eval()
    for image in images:
        model(image[None])
    model.train(training)
    for handle in handles:
        handle.remove()
    for norm, moments in seen.items():
        mean, square = torch.stack(moments).mean(0)
        _move(norm, mean, (square - mean**2).clamp(min=0))


def looked_at(files: Sequence[str], size: Size, channels: int) -> Tensor:
    """(N, channels, H, W) float32 in [0, 1]: a data set's images, evenly spaced, at (width, height).

    What is more than RGB is black.
    """
    chosen = [files[index] for index in np.linspace(0, len(files) - 1, _LOOKED_AT).round().astype(int)]
    images = [
        cv2.resize(np.asarray(cv2.imread(file)), size, interpolation=cv2.INTER_AREA) for file in chosen
    ]
    result = torch.zeros(len(images), channels, size[1], size[0])
    result[:, :RGB] = torch.from_numpy(np.stack(images)[..., ::-1].transpose(0, 3, 1, 2) / np.float32(255))
    return result


def _move(norm: Any, mean: Tensor, variance: Tensor) -> None:
    """Other statistics for a norm, which gives what it gave with its own."""
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    norm.bias.add_(scale * (mean - norm.running_mean))
    norm.weight.copy_(scale * (variance + norm.eps).sqrt())
    norm.running_mean.copy_(mean)
    norm.running_var.copy_(variance)
