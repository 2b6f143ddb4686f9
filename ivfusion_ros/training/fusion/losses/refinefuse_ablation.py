"""The settings of RefineFuse's loss ablation (Table 8), each a change of the paper's loss.

Equations 10 and 11 are missing from the text; the words around them leave one reading each.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ivfusion_ros.training.fusion.losses.refinefuse import refinefuse_paper_loss, texture_loss

if TYPE_CHECKING:
    from ivfusion_ros.training.fusion.loss_config import RefineFuseLossConfig
    from ivfusion_ros.training.fusion.losses.base import Batch, Terms


def both_sources_loss(batch: Batch, fused: Tensor, constants: RefineFuseLossConfig) -> Terms:
    """Setting A: as near to one source as to the other, wherever (equation 10)."""
    intensity = (fused - batch.thermal).abs().mean() + (fused - batch.visible).abs().mean()
    return {"intensity": intensity, "texture": constants.texture_weight * texture_loss(batch, fused)}


def maximum_loss(batch: Batch, fused: Tensor, constants: RefineFuseLossConfig) -> Terms:
    """Setting B: the brighter source at each pixel (equation 11)."""
    intensity = (fused - torch.maximum(batch.thermal, batch.visible)).abs().mean()
    return {"intensity": intensity, "texture": constants.texture_weight * texture_loss(batch, fused)}


def textureless_loss(batch: Batch, fused: Tensor, constants: RefineFuseLossConfig) -> Terms:
    """Setting C: the paper's masked intensity alone."""
    return {"intensity": refinefuse_paper_loss(batch, fused, constants)["intensity"]}


PaperMeasure = Callable[["Batch", Tensor, "RefineFuseLossConfig"], "Terms"]

REFINEFUSE_ABLATION: dict[str, PaperMeasure] = {
    "refinefuse_table8_a": both_sources_loss,
    "refinefuse_table8_b": maximum_loss,
    "refinefuse_table8_c": textureless_loss,
}
