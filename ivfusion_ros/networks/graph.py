"""A fusion network with everything around it: the graph that every backend runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from ivfusion_ros.networks import make_network
from ivfusion_ros.networks.checkpoint import load_weights

if TYPE_CHECKING:
    from pathlib import Path

NETWORK_KEY = "ivfusion.network"
"""ONNX metadata key that holds the network's name."""


class FusionGraph(nn.Module):
    """A network with everything around it, as every backend runs it.

    thermal: (1, H, W) uint8; rgb: (1, H, W, 3) uint8 -> (1, H, W, 3) uint8.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.stride = int(getattr(network, "stride"))  # noqa: B009 (nn.Module hides the type)

    def forward(self, thermal: Tensor, rgb: Tensor) -> Tensor:
        """Fuse one pair."""
        height, width = thermal.shape[1], thermal.shape[2]
        heat = thermal.unsqueeze(1).float() / 255
        # Bytes are transposed once for all: on a CPU, taking each channel on its own takes several times as
        # long, and so does keeping the colours in f32 until the end.
        planes = rgb.permute(0, 3, 1, 2)
        red, green, blue = (plane.float() for plane in planes.chunk(3, 1))
        luma = 0.299 / 255 * red + 0.587 / 255 * green + 0.114 / 255 * blue
        fused: Tensor = self.network(self._pad(heat), self._pad(luma))[:, :, :height, :width]
        # With Cb and Cr kept, each colour channel moves by what the luminance moved.
        change = 255 * (fused - luma)
        # OpenVINO drops the expansion. Without it ONNX Runtime adds at (H, W, 3), three values at a time.
        colour = planes.float() + change.expand(-1, 3, -1, -1)
        return colour.round().clamp(0, 255).permute(0, 2, 3, 1).to(torch.uint8)

    def _pad(self, image: Tensor) -> Tensor:
        height, width = image.shape[2], image.shape[3]
        # As multiples of a whole number: with remainders, sizes of deep features become long formulas, and
        # an export takes half as long again.
        bottom = (height + self.stride - 1) // self.stride * self.stride - height
        right = (width + self.stride - 1) // self.stride * self.stride - width
        return functional.pad(image, (0, right, 0, bottom), mode="replicate")


def build_graph(network_name: str, checkpoint: Path | None = None) -> FusionGraph:
    """The fusion graph of a network, with trained weights where a checkpoint is given."""
    network = make_network(network_name)
    if checkpoint is not None:
        load_weights(network, checkpoint)
    return FusionGraph(network).eval()
