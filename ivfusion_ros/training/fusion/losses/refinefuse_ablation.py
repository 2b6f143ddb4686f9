"""The settings of RefineFuse's loss ablation (Table 8), each a change of the paper's loss.

Equations 10 and 11 are missing from the text; the words around them leave one reading each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ivfusion_ros.training.fusion.losses.refinefuse import refinefuse_paper_loss, texture_loss

if TYPE_CHECKING:
    from collections.abc import Callable

    from ivfusion_ros.training.fusion.losses.base import Batch, Terms


def both_sources_loss(batch: Batch, fused: Tensor) -> Terms:
    """Setting A: as near to one source as to the other, wherever (equation 10)."""
    intensity = (fused - batch.thermal).abs().mean() + (fused - batch.visible).abs().mean()
    return {"intensity": intensity, "texture": 5 * texture_loss(batch, fused)}


def maximum_loss(batch: Batch, fused: Tensor) -> Terms:
    """Setting B: the brighter source at each pixel (equation 11)."""
    intensity = (fused - torch.maximum(batch.thermal, batch.visible)).abs().mean()
    return {"intensity": intensity, "texture": 5 * texture_loss(batch, fused)}


def textureless_loss(batch: Batch, fused: Tensor) -> Terms:
    """Setting C: the paper's masked intensity alone."""
    return {"intensity": refinefuse_paper_loss(batch, fused)["intensity"]}


REFINEFUSE_ABLATION: dict[str, Callable[[Batch, Tensor], Terms]] = {
    "refinefuse_table8_a": both_sources_loss,
    "refinefuse_table8_b": maximum_loss,
    "refinefuse_table8_c": textureless_loss,
}
