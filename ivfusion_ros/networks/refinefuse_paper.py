"""RefineFuse as printed: PSIM on a grid of fixed size, one FIM with channel and spatial attention.

Paper: "RefineFuse: an end-to-end network for multi-scale refinement fusion of multi-modality images",
Visual Intelligence 2025 (CC BY 4.0). No code was published. Encoders, SFIM and decoders are those of
refinefuse.py, our variant. What the paper says, and what we chose where it leaves room:

- PSIM: keys, queries and values live on a grid of fixed size, and what they give is upsampled to the
  feature. The text has only "downsampled to 1/4 and 1/8 of the original resolution", which at 640x480 would
  be 19,200 tokens; but of the paper's 12.73 G multiply-adds at 256x256 and 48.11 G at 512x512, (4 * 12.73 -
  48.11) / 3 = 0.94 G do not depend on the image. 28x28 cells make 0.93 G.
- Projections are one 3x3 convolution each; queries and keys have an eighth of the feature's channels, as in
  the first attention of this kind on images (SAGAN), values have all.
- FIM stands where the text places it: between the third decoder and the second SFIM's output (level 2). The
  shallow feature is scaled by both channel weights, and by a spatial map of the deep feature, made like
  SFIM's of the maximum and the mean over channels; the deep feature is added. Equation 5 is missing from
  the text, which says channel and spatial attention in two places.
- The other two joins, of which the text says nothing, concatenate, as it says of previous methods.
- Channels (64, 64, 128, 128), the last decoder 128 -> 64 -> 32 -> 32 -> 1; the last Tanh is mapped from
  [-1, 1] to [0, 1].

This gives 2.26 M parameters, 12.72 G multiply-adds at 256x256 and 48.06 G at 512x512, a ratio of 3.777
(paper: 2.21 M, 12.73 G, 48.11 G, 3.779). Height and width must be multiples of 8; the exported graph pads
to that.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from ivfusion_ros.networks.refinefuse import SFIM, RefineFuse, conv

GRID = 28
"""Rows and columns of cells that PSIM pools a feature to."""
CHANNELS_PER_KEY = 8
HEAD = (64, 32, 32)
"""Channels between the convolutions of the last decoder."""


class PSIM(nn.Module):
    """Profound semantic interaction: the joint query attends to each modality's keys and values.

    thermal, visible: (B, C, H, W) each -> (B, C, H, W).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        keys = channels // CHANNELS_PER_KEY
        self.scale = keys**-0.5
        self.query = conv(2 * channels, keys)
        self.key_thermal = conv(channels, keys)
        self.key_visible = conv(channels, keys)
        self.value_thermal = conv(channels, channels)
        self.value_visible = conv(channels, channels)
        self.out = conv(2 * channels, channels)

    def forward(self, thermal: Tensor, visible: Tensor) -> Tensor:
        small_thermal, small_visible = pool_to_grid(thermal), pool_to_grid(visible)
        query = self.query(torch.cat((small_thermal, small_visible), 1))
        thermal = thermal + self._attend(
            query, self.key_thermal(small_thermal), self.value_thermal(small_thermal), thermal
        )
        visible = visible + self._attend(
            query, self.key_visible(small_visible), self.value_visible(small_visible), visible
        )
        return functional.relu(self.out(torch.cat((thermal, visible), 1)))

    def _attend(self, query: Tensor, key: Tensor, value: Tensor, feature: Tensor) -> Tensor:
        scores = query.flatten(2).transpose(1, 2) @ key.flatten(2) * self.scale
        attended = value.flatten(2) @ torch.softmax(scores, -1).transpose(1, 2)
        return functional.interpolate(
            attended.view_as(value), size=feature.shape[2:], mode="bilinear", align_corners=False
        )


def pool_to_grid(feature: Tensor) -> Tensor:
    """Adaptive average pooling, as torch's: (B, C, H, W) -> (B, C, GRID, GRID)."""
    rows, columns = (_pooling(side, feature) for side in feature.shape[2:])
    return rows @ (feature @ columns.T)


def _pooling(side: int, like: Tensor) -> Tensor:
    """(GRID, side) by which a side is multiplied to take its mean over each cell of the grid."""
    # Two products, since ONNX knows adaptive pooling for sides that are known at export alone.
    first = torch.arange(GRID, device=like.device) * side
    # Of whole numbers above zero: rounded down and up.
    start, end = first // GRID, (first + side + GRID - 1) // GRID
    pixels = torch.arange(side, device=like.device)
    inside = (pixels >= start[:, None]) & (pixels < end[:, None])
    return inside.to(like.dtype) / (end - start)[:, None]


class FIM(nn.Module):
    """Feature interaction of a deep and a shallow feature of one size, (B, C, H, W) each."""

    def __init__(self, channels: int) -> None:  # noqa: ARG002 (every block is given them)
        super().__init__()
        self.attention = conv(2, 1)

    def forward(self, deep: Tensor, shallow: Tensor) -> Tensor:
        deep_weight = torch.sigmoid(deep.mean((2, 3), keepdim=True))
        shallow_weight = torch.sigmoid(shallow.mean((2, 3), keepdim=True))
        pooled = torch.cat((deep.amax(1, keepdim=True), deep.mean(1, keepdim=True)), 1)
        spatial_map = torch.sigmoid(self.attention(pooled))
        return shallow * (deep_weight * shallow_weight) * spatial_map + deep


PaperRefineFuse = partial(RefineFuse, blocks=(SFIM, SFIM, PSIM, PSIM), joins=(None, FIM, None), head=HEAD)
"""The network without arguments, or with some of RefineFuse's for what is compared with it."""
