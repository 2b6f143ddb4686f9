"""What RefineFuse is compared with: the rows of its paper's Tables 9 and 10, and our variant of it.

Table 9 says which blocks a network has, Table 10 how many levels; all are changes of the printed network
(refinefuse_paper.py). The text leaves open what we chose: where a level has neither SFIM nor PSIM, both
features are concatenated and convolved; row III, two levels without PSIM, has SFIM at both, as the full
network has; without FIM (row V) its join concatenates as the others do, which adds 4 thousand parameters to
the decoder behind it; a fifth level is as wide as the fourth.

The two variants replace one of the printed network's modules by ours: `refinefuse_pooled` has PSIM on
features pooled by 4, `refinefuse_joined` a FIM without spatial attention at each join. They make the
ablation of our variant, with refinefuse_paper and refinefuse itself.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from ivfusion_ros.networks import refinefuse as ours
from ivfusion_ros.networks.refinefuse import SFIM
from ivfusion_ros.networks.refinefuse_paper import FIM, PSIM, PaperRefineFuse

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
    "refinefuse_table9_i": partial(PaperRefineFuse, channels=(64,), blocks=(Concatenation,), joins=()),
    "refinefuse_table9_ii": partial(PaperRefineFuse, channels=(64,), blocks=(SFIM,), joins=()),
    "refinefuse_table9_iii": partial(
        PaperRefineFuse, channels=(64, 64), blocks=(SFIM, SFIM), joins=(None,)
    ),
    "refinefuse_table9_iv": partial(PaperRefineFuse, channels=(64, 64), blocks=(SFIM, PSIM), joins=(None,)),
    "refinefuse_table9_v": partial(PaperRefineFuse, joins=(None, None, None)),
    "refinefuse_table10_a": partial(
        PaperRefineFuse, channels=(64, 64, 128), blocks=(SFIM, SFIM, PSIM), joins=(None, FIM)
    ),
    "refinefuse_table10_b": partial(
        PaperRefineFuse,
        channels=(64, 64, 128, 128, 128),
        blocks=(SFIM, SFIM, PSIM, PSIM, PSIM),
        joins=(None, FIM, None, None),
    ),
    "refinefuse_pooled": partial(PaperRefineFuse, blocks=(SFIM, SFIM, ours.PSIM, ours.PSIM)),
    "refinefuse_joined": partial(PaperRefineFuse, joins=(ours.FIM,) * 3, head=ours.HEAD),
}
