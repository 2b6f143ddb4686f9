"""What a detector knew before it was trained on: its answers to the samples of the training.

Learning without forgetting (Li and Hoiem, ECCV 2016): a frozen copy of the old detector looks at each
sample, and the new one keeps to its answers where no label speaks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from ivfusion_ros.training.detector.anchors import read_detector

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from torch import Tensor

    from ivfusion_ros.networks.yolov5 import AnchorModel


class Memory:
    """A frozen detector with anchors."""

    def __init__(self, like: AnchorModel, weights: Path) -> None:
        """like: a model of its classes and channels, of any size. Raises ModelError."""
        model = read_detector(weights, tuple(like.names.values()), like.channels)
        model.eval().requires_grad_(False)
        # The head gives logits in training alone.
        self._model = model.fuse(verbose=False).to(memory_format=torch.channels_last)
        self._model.model[-1].train()

    def __call__(self, images: Tensor) -> list[Tensor]:
        """Logits by stride, (B, 3, H, W, 5 + classes), of (B, channels, H, W) images in [0, 1]."""
        self._model.to(images.device)
        with torch.no_grad(), torch.autocast(images.device.type, torch.bfloat16):
            answers: list[Tensor] = self._model(images)
        return answers


class RememberingLoss:
    """A loss that is given a memory's answers with each batch."""

    def __init__(self, loss: Callable[..., Any], memory: Memory) -> None:
        self._loss, self._memory = loss, memory

    def __call__(self, predictions: Any, batch: dict[str, Any]) -> Any:
        """As ultralytics' losses."""
        return self._loss(predictions, {**batch, "answers": self._memory(batch["img"])})
