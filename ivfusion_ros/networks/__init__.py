"""The networks: one paper, one file.

A fusion network is a torch module with an integer `stride` and
`forward(thermal, visible) -> fused`, each (B, 1, H, W) in [0, 1], H and W multiples of the stride.
One whose `keeps_luminance` is False has its colours cut by FusionGraph in the quicker way.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Protocol

from ivfusion_ros.errors import ConfigError
from ivfusion_ros.faces import later
from ivfusion_ros.networks.lite import RefineFuseLite
from ivfusion_ros.networks.mda import MDA
from ivfusion_ros.networks.mst import MST
from ivfusion_ros.networks.refinefuse import RefineFuse
from ivfusion_ros.networks.refinefuse_ablation import REFINEFUSE_ABLATION
from ivfusion_ros.networks.refinefuse_paper import PaperRefineFuse
from ivfusion_ros.networks.transfusion import TransFusion

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor, nn

# These modules import this one.
__getattr__, _later = later(
    __name__,
    {
        "channels": ("Group", "Reader", "channel_groups", "take_widths"),
        "checkpoint": ("PREFIX", "load_checkpoint", "load_weights", "save_checkpoint"),
        "graph": ("COLOUR_KEY", "KEEPS_LUMINANCE", "NETWORK_KEY", "FusionGraph", "build_graph"),
        "matcher": ("STRIDE", "Matcher", "MatcherGraph", "grid"),
        "published": ("import_published", "read_published"),
        "torch_file": ("check_form", "load_data", "reason_alone"),
        "yolov5": (
            "BOX_VALUES",
            "FIRST_WEIGHT",
            "RGB",
            "RGB_AND_THERMAL",
            "STRIDES",
            "AnchorModel",
            "TwoImages",
            "batch_norms",
            "load_final",
            "widened",
        ),
    },
)

__all__ = [
    "ALL_NETWORKS",
    "MDA",
    "MST",
    "NETWORKS",
    "FusionNetwork",
    "RefineFuse",
    "RefineFuseLite",
    "TransFusion",
    "make_network",
    *_later,
]


class FusionNetwork(Protocol):
    """What every network offers as well as being a torch module."""

    stride: int

    def __call__(self, thermal: Tensor, visible: Tensor) -> Tensor:
        """(B, 1, H, W) in [0, 1] each -> (B, 1, H, W) in [0, 1]."""


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "refinefuse": RefineFuse,
    "refinefuse_paper": PaperRefineFuse,
    "refinefuse_lite": RefineFuseLite,
    "mda": MDA,
    "mst": MST,
    "transfusion": TransFusion,
    "transfusion_slim": partial(TransFusion, width=3 / 16),
}

ALL_NETWORKS = {**NETWORKS, **REFINEFUSE_ABLATION}
"""Also those that are only there to be compared with a paper's tables; no message lists them."""


def make_network(name: str) -> nn.Module:
    """A network with fresh weights. Raises ConfigError for an unknown name."""
    if name not in ALL_NETWORKS:
        raise ConfigError(f"unknown network {name!r}, expected one of {', '.join(NETWORKS)}")
    return ALL_NETWORKS[name]()
