"""MDA: multi-scale dual attention, three scales of each image fused at equal and adjacent scales.

Paper: "A multi-scale information integration framework for infrared and visible image fusion",
Neurocomputing 600 (2024), https://arxiv.org/abs/2312.04328. The layers and their names are those of the
published checkpoint, which loads through `published_weights`. Deviations:

- The published file also holds layers that never run (upsampling in the equal-size fusion block, a 1x1
  convolution in both blocks); they are left out, 516,120 parameters become 484,214.
- The authors stretch each fused image to its own minimum and maximum before they save it; without that,
  their weights give grey fog, about .32 to .59. A stretch that differs from frame to frame would make a
  video flicker, so `ivfusion import` folds one for all images into `gain` and `offset`, measured on pairs.
- Height and width must be multiples of 8, as the spatial attention halves the features at 1/4 once more;
  the exported graph pads to that.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ivfusion_ros.errors import ModelError

CHANNELS = 32


class Features(NamedTuple):
    """Inner features, (B, 32, h, w) each.

    thermal, visible: at 1, 1/2 and 1/4 of the resolution. fused: 1x-1x, 1x-2x, 2x-2x, 2x-4x and 4x-4x
    (visible scale, thermal scale), each of the visible feature's size.
    """

    thermal: tuple[Tensor, ...]
    visible: tuple[Tensor, ...]
    fused: tuple[Tensor, ...]


def _conv(outputs: int = CHANNELS, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(CHANNELS, outputs, 3, stride, padding=1)


def _up_conv(outputs: int = CHANNELS) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(CHANNELS, outputs, 3, stride=2, padding=1, output_padding=1)


class ResDown(nn.Module):
    """Residual block, (B, 32, H, W) -> (B, 32, H / stride, W / stride)."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.res = nn.Sequential(
            _conv(), nn.PReLU(), _conv(), nn.PReLU(), _conv(stride=stride), _conv()
        )  # fmt: skip
        self.down_conv = nn.Sequential(_conv(), _conv(stride=stride), nn.PReLU())

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.res(x) + self.down_conv(x)
        return out


class ResUp(nn.Module):
    """Residual block, (B, 32, H, W) -> (B, outputs, 2H, 2W)."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.res = nn.Sequential(
            _conv(), nn.PReLU(), _conv(), nn.PReLU(), _up_conv(), _conv(outputs)
        )  # fmt: skip
        self.up_conv = nn.Sequential(_conv(), _up_conv(outputs), nn.PReLU())

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.res(x) + self.up_conv(x)
        return out


def _enlarge(upsample: bool, activation: nn.Module) -> nn.Module:
    return nn.Sequential(_up_conv(), activation) if upsample else nn.Identity()


class ChannelAttention(nn.Module):
    """Channel maps (B, 32, 1, 1) of the thermal and the visible feature."""

    def __init__(self, upsample: bool) -> None:
        super().__init__()
        squeezed = CHANNELS // 8
        self.up = _enlarge(upsample, nn.PReLU())
        self.channel_down = nn.Sequential(nn.Conv2d(CHANNELS, squeezed, 1), nn.PReLU())
        self.channel_up1 = nn.Sequential(nn.Conv2d(squeezed, CHANNELS, 1), nn.Sigmoid())
        self.channel_up2 = nn.Sequential(nn.Conv2d(squeezed, CHANNELS, 1), nn.Sigmoid())

    def forward(self, thermal: Tensor, visible: Tensor) -> tuple[Tensor, Tensor]:
        mean = (self.up(thermal) + visible).mean((2, 3), keepdim=True)
        squeezed = self.channel_down(mean)
        return self.channel_up1(squeezed), self.channel_up2(squeezed)


class SpatialAttention(nn.Module):
    """Spatial maps, of the visible feature's shape, of the thermal and the visible feature."""

    def __init__(self, upsample: bool) -> None:
        super().__init__()
        self.trans_conv = _enlarge(upsample, nn.PReLU())
        self.conv_fusion = nn.Sequential(nn.Conv2d(2 * CHANNELS, CHANNELS, 1), nn.PReLU())
        self.down = nn.Sequential(_conv(stride=2), nn.PReLU())
        self.up1 = nn.Sequential(_up_conv(), nn.Sigmoid())
        self.up2 = nn.Sequential(_up_conv(), nn.Sigmoid())

    def forward(self, thermal: Tensor, visible: Tensor) -> tuple[Tensor, Tensor]:
        joined = torch.cat((self.trans_conv(thermal), visible), 1)
        joined = self.down(self.conv_fusion(joined))
        return self.up1(joined), self.up2(joined)


class FusionBlock(nn.Module):
    """Dual attention: thermal (B, 32, h, w) and visible (B, 32, H, W) -> (B, 32, H, W).

    h is H / 2 and w is W / 2 with upsample, else they are equal.
    """

    def __init__(self, upsample: bool) -> None:
        super().__init__()
        self.channel_map = ChannelAttention(upsample)
        self.spatial_map = SpatialAttention(upsample)
        self.up = _enlarge(upsample, nn.ReLU())

    def forward(self, thermal: Tensor, visible: Tensor) -> Tensor:
        channel_thermal, channel_visible = self.channel_map(thermal, visible)
        spatial_thermal, spatial_visible = self.spatial_map(thermal, visible)
        heat: Tensor = self.up(thermal) * channel_thermal * spatial_thermal
        detail: Tensor = visible * channel_visible * spatial_visible
        return heat + detail


class MDA(nn.Module):
    """Fuse thermal and visible luminance, (B, 1, H, W) in [0, 1] each -> (B, 1, H, W) in [0, 1].

    H and W must be multiples of `stride`. gain, offset: of the last tanh; 0.5 each bring it to [0, 1].
    """

    stride = 8
    gain: Tensor
    offset: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.input = nn.Conv2d(1, CHANNELS, 3, padding=1)
        self.downsample_1x = ResDown(1)
        self.downsample_2x = ResDown(2)
        self.downsample_4x = nn.Sequential(ResDown(2), ResDown(2))
        self.fusion_1x = FusionBlock(upsample=False)
        self.fusion_2x = FusionBlock(upsample=True)
        self.upsample_2x = ResUp(16)
        self.upsample_4x = nn.Sequential(ResUp(CHANNELS), ResUp(8))
        self.output = nn.Sequential(nn.Conv2d(104, CHANNELS, 3, padding=1), _conv(1))
        self.register_buffer("gain", torch.tensor(0.5))
        self.register_buffer("offset", torch.tensor(0.5))
        self.register_load_state_dict_pre_hook(_add_range)  # type: ignore[no-untyped-call]

    def stretch(self, low: float, high: float) -> None:
        """Bring low and high of the fused images as they are to 0 and 1, after what was stretched before.

        Raises ModelError where they are no range.
        """
        if not low < high:
            raise ModelError(
                f"the network's images go from {low:.3f} to {high:.3f} on these pairs: there is nothing to "
                "stretch; expected the weights of a trained network, and pairs that are no flat grey"
            )
        self.gain /= high - low
        self.offset.copy_((self.offset - low) / (high - low))

    def forward(self, thermal: Tensor, visible: Tensor) -> Tensor:
        return self.decode(self.features(thermal, visible).fused)

    def features(self, thermal: Tensor, visible: Tensor) -> Features:
        """The features of both images and the five fused ones, which L_feature compares."""
        # One set of weights encodes both modalities, hence both in one batch.
        shallow = self.input(torch.cat((thermal, visible)))
        levels = [down(shallow) for down in (self.downsample_1x, self.downsample_2x, self.downsample_4x)]
        t1, t2, t4 = thermals = tuple(level[: len(thermal)] for level in levels)
        v1, v2, v4 = visibles = tuple(level[len(thermal) :] for level in levels)
        fused = (
            self.fusion_1x(t1, v1),
            self.fusion_2x(t2, v1),
            self.fusion_1x(t2, v2),
            self.fusion_2x(t4, v2),
            self.fusion_1x(t4, v4),
        )
        return Features(thermals, visibles, fused)

    def decode(self, fused: tuple[Tensor, ...]) -> Tensor:
        """The five fused features -> image, (B, 1, H, W) in [0, 1]."""
        f11, f12, f22, f24, f44 = fused
        enlarged = (f11, f12, self.upsample_2x(f22), self.upsample_2x(f24), self.upsample_4x(f44))
        # One gain for tanh's range and the stretch: in half precision, fog alone has few levels.
        image = torch.tanh(self.output(torch.cat(enlarged, 1))) * self.gain + self.offset
        return image.clamp(0, 1)


def _add_range(module: nn.Module, weights: dict[str, Any], prefix: str, *_: Any) -> None:
    """Files of before, and the authors', have no range: theirs is tanh's own."""
    for name in RANGE:
        weights.setdefault(prefix + name, getattr(module, name))


RANGE = ("gain", "offset")

UNUSED = (
    "fusion_1x.channel_map.up.",
    "fusion_1x.spatial_map.trans_conv.",
    "fusion_1x.up.",
    "fusion_1x.one.",
    "fusion_2x.one.",
)
"""Layers of the published checkpoint that its network never runs."""


def published_weights(state: Mapping[str, Any]) -> dict[str, Tensor]:
    """MDA's state_dict from the authors' checkpoint (its weights are under `model`).

    Raises ModelError for another network's file, naming a layer that is missing or not expected.
    """
    model = state.get("model")
    if not isinstance(model, Mapping):
        raise ModelError(f"the checkpoint has the keys {', '.join(map(str, state))}, expected `model`")
    weights = {key: value for key, value in model.items() if not str(key).startswith(UNUSED)}
    expected = {key: value for key, value in MDA().state_dict().items() if key not in RANGE}
    for problem, keys in (
        ("lacks", expected.keys() - weights.keys()),
        ("has unexpected", weights.keys() - expected.keys()),
    ):
        if keys:
            first = min(map(str, keys))
            raise ModelError(
                f"the checkpoint is not MDA's: it {problem} {len(keys)} layers such as {first}"
            )
    for key, value in weights.items():
        if not isinstance(value, Tensor) or value.shape != expected[key].shape:
            found = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise ModelError(f"{key} is {found}, expected a tensor {tuple(expected[key].shape)}")
    return weights
