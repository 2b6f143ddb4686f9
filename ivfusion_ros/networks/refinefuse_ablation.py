"""The rows of RefineFuse's ablations: Table 9 (which blocks) and Table 10 (how many levels).

The text leaves open what we chose: where a level has neither SFIM nor PSIM, both features are
concatenated and convolved, and without FIM so are the upsampled deep and the shallow feature; row III,
two levels without PSIM, has SFIM at both, as the full network has; a fifth level is as wide as the fourth.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from ivfusion_ros.networks.refinefuse import PSIM, SFIM, RefineFuse

if TYPE_CHECKING:
    from collections.abc import Callable


class Concatenation(nn.Module):
    """The conventional way: concatenate, 3x3 convolution, ReLU; (B, C, H, W) twice -> (B, C, H, W)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mix = nn.Conv2d(2 * channels, channels, 3, padding=1)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return functional.relu(self.mix(torch.cat((a, b), 1)))


REFINEFUSE_ABLATION: dict[str, Callable[[], nn.Module]] = {
    "refinefuse_table9_i": partial(RefineFuse, (64,), (Concatenation,)),
    "refinefuse_table9_ii": partial(RefineFuse, (64,), (SFIM,)),
    "refinefuse_table9_iii": partial(RefineFuse, (64, 64), (SFIM, SFIM), Concatenation),
    "refinefuse_table9_iv": partial(RefineFuse, (64, 64), (SFIM, PSIM), Concatenation),
    "refinefuse_table9_v": partial(RefineFuse, join=Concatenation),
    "refinefuse_table10_a": partial(RefineFuse, (64, 64, 128), (SFIM, SFIM, PSIM)),
    "refinefuse_table10_b": partial(RefineFuse, (64, 64, 128, 128, 128), (SFIM, SFIM, PSIM, PSIM, PSIM)),
}
