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

COLOUR_KEY = "ivfusion.colour"
KEEPS_LUMINANCE = "luminance"
"""ONNX metadata key and its value where FusionGraph.keeps_luminance holds; files of before have none."""

_GREY = 1e-3
"""Added to colour differences, which are 0 where a pixel is grey; grey levels."""


class FusionGraph(nn.Module):
    """A network with everything around it, as every backend runs it.

    thermal: (1, H, W) uint8; rgb: (1, H, W, 3) uint8 -> (1, H, W, 3) uint8.

    With Cb and Cr kept, each colour channel moves by what the luminance moves. Where one would leave
    0..255, keeps_luminance takes the colour towards grey until it fits; otherwise the channel is cut, which
    on 3 % of a day's pixels changes the luminance by more than a grey level, and by up to 35. None: as the
    network says, for it takes about 0.7 ms of one core at 640x480.
    """

    def __init__(self, network: nn.Module, keeps_luminance: bool | None = None) -> None:
        super().__init__()
        self.network = network
        wanted = bool(getattr(network, "keeps_luminance", True))
        self.keeps_luminance = wanted if keeps_luminance is None else keeps_luminance
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
        # OpenVINO drops the expansions. Without them ONNX Runtime adds at (H, W, 3), by three values.
        if self.keeps_luminance:
            saturation = _saturation(red, green, blue, 255 * luma, 255 * fused.float())
            grey = 255 * (fused - saturation * luma)
            colour = saturation.expand(-1, 3, -1, -1) * planes.float() + grey.expand(-1, 3, -1, -1)
        else:
            change = 255 * (fused - luma)
            colour = planes.float() + change.expand(-1, 3, -1, -1)
        return colour.round().clamp(0, 255).permute(0, 2, 3, 1).to(torch.uint8)

    def _pad(self, image: Tensor) -> Tensor:
        height, width = image.shape[2], image.shape[3]
        # As multiples of a whole number: with remainders, sizes of deep features become long formulas, and
        # an export takes half as long again.
        bottom = (height + self.stride - 1) // self.stride * self.stride - height
        right = (width + self.stride - 1) // self.stride * self.stride - width
        return functional.pad(image, (0, right, 0, bottom), mode="replicate")


def _saturation(red: Tensor, green: Tensor, blue: Tensor, luma: Tensor, fused: Tensor) -> Tensor:
    """The largest share of the colour with which all channels fit, up to 1; all (1, 1, H, W), in 0..255."""
    above = torch.maximum(torch.maximum(red, green), blue) - luma + _GREY
    below = luma - torch.minimum(torch.minimum(red, green), blue) + _GREY
    fused = fused.clamp(0, 255)
    # The lesser of (255 - fused) / above and fused / below, with one division, which takes longest of all.
    share = torch.minimum((255 - fused) * below, fused * above) / (above * below)
    return share.clamp(max=1)


def build_graph(network_name: str, checkpoint: Path | None = None) -> FusionGraph:
    """The fusion graph of a network, with trained weights where a checkpoint is given."""
    network = make_network(network_name)
    if checkpoint is not None:
        load_weights(network, checkpoint)
    return FusionGraph(network).eval()
