"""Crops as tensors: what the loss compares with, and what the network sees."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ivfusion_ros.training.fusion.losses.base import Batch

if TYPE_CHECKING:
    from ivfusion_ros.training.fusion.data import Patches


@dataclass(frozen=True)
class Loaded:
    """Patches as tensors on the CPU, made in the background."""

    images: Tensor
    seen: Tensor | None
    means: Tensor

    def __len__(self) -> int:
        return len(self.images)


def load(patches: Patches, pin: bool) -> Loaded:
    """pin: for a GPU, which then copies while it computes."""
    parts = (patches.images, patches.seen, patches.means)
    tensors = [None if part is None else torch.from_numpy(np.ascontiguousarray(part)) for part in parts]
    if pin:
        tensors = [None if tensor is None else tensor.pin_memory() for tensor in tensors]
    images, seen, means = tensors
    assert images is not None and means is not None
    return Loaded(images, seen, means)


def to_batches(loaded: Loaded, device: str, noise_seed: int) -> tuple[Batch, Batch]:
    """(as it is, as the network sees it); one and the same where nothing was made worse."""
    images = loaded.images.to(device, non_blocking=True)
    means = loaded.means.to(device, non_blocking=True)[:, :, None, None]
    grey = images.float() / 255
    with_teacher = images.shape[1] > 3
    batch = Batch(
        grey[:, :1],
        grey[:, 1:2],
        images[:, 2:3],
        means[:, :1],
        means[:, 1:],
        grey[:, 3:4] if with_teacher else None,
        grey[:, 4:6] if with_teacher else None,
        noise_seed,
    )
    if loaded.seen is None:
        return batch, batch
    seen = loaded.seen.to(device, non_blocking=True).float() / 255
    following = seen[:, 2:] if with_teacher else None
    return batch, replace(batch, thermal=seen[:, :1], visible=seen[:, 1:2], following=following)
