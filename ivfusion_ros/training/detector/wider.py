"""The start of a detector twice as wide as another: it says what that one says, and can learn more.

Chen, Goodfellow and Shlens, Net2Net: Accelerating learning via knowledge transfer (ICLR 2016).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from ivfusion_ros.networks.yolov5 import FIRST_WEIGHT

if TYPE_CHECKING:
    from ivfusion_ros.networks.yolov5 import AnchorModel

_APART = 0.25
"""How far the two parts of a weight lie from its half, as a share of its layer's standard deviation."""


def is_twice_as_wide(wide: AnchorModel, narrow: AnchorModel) -> bool:
    """Whether both find the same classes by the same layers, those of `wide` with twice the channels."""
    weights, own = narrow.state_dict(), wide.state_dict()
    return (
        wide.names == narrow.names
        and weights.keys() == own.keys()
        and len(own[FIRST_WEIGHT]) == 2 * len(weights[FIRST_WEIGHT])
    )


def load_doubled(wide: AnchorModel, narrow: AnchorModel) -> None:
    """Put a model's weights into one for which is_twice_as_wide holds.

    Each channel is there twice, side by side, and so it stays where features are put together. What reads
    it has a part of its weight for either, drawn at random (the same each time): their sum is the weight,
    and the two learn apart.
    """
    random = torch.Generator().manual_seed(0)
    own = wide.state_dict()
    for name, weight in narrow.state_dict().items():
        given = weight
        # Neither the image's channels nor the head's rows are doubled.
        if given.shape[:1] != own[name].shape[:1]:
            given = given.repeat_interleave(2, 0)
        if given.shape != own[name].shape:
            apart = torch.randn(given.shape, generator=random) * _APART * weight.std()
            given = torch.stack((given / 2 + apart, given / 2 - apart), 2).flatten(1, 2)
        own[name].copy_(given)
