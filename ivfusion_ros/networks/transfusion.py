"""TransFusion: one VGG-19 encoder for both images, attention that fuses five stages, one decoder.

Paper: "TransFusion: Transfer learning-driven adaptive fusion network for infrared and visible image",
Infrared Physics & Technology 150 (2025) 105906, https://doi.org/10.1016/j.infrared.2025.105906. Where the
released code differs from the paper or leaves a choice, and where we deviate:

- Deeper maps guide shallower ones as the paper says (`deep_guidance`); the released code has it off.
- The encoder takes one channel. VGG's first weights are summed over the colours, which is the same as a
  grey image repeated three times. As in the released code, ImageNet's mean is not taken out.
- The two 3x3 convolutions after each stage's guidance are trained with it, in stage 2. They start as about
  the identity, divided by the gain of the attention before them: the decoder knows the encoder's features,
  and from random weights stage 2 would have to find them again.
- The last ReLU is a clamp to [0, 1]; its bias starts at 0.5, or it could begin, and stay, at zero.
- `width` scales all channels. Below 1 there are no VGG weights that fit: the encoder learns in stage 1.
- Height and width must be multiples of 16; the exported graph pads to that.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from ivfusion_ros.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

CHANNELS = (64, 128, 256, 512, 512)
"""Of VGG-19's stages, at 1, 1/2, 1/4, 1/8 and 1/16 of the resolution."""
CONVOLUTIONS = (2, 2, 4, 4, 4)
REDUCTIONS = (1, 1, 2, 4, 4)
JOINS = (
    (128, 128, 128, 128, 64, 64, 64, 32, 32),
    (256, 256, 256, 128, 128, 128, 128),
    (512, 512, 512, 256, 256),
    (1024, 768, 512),
)
"""Channels through the decoder's pairs of convolutions, from shallow to deep."""
GAIN_AT_REST = 2.8
"""Of perception and guidance, when all their convolutions give zero: 1.62 times 1.5 to 1.78."""


class Features(NamedTuple):
    """Five inner features each, from full resolution down: (B, C, H / 2^k, W / 2^k)."""

    thermal: tuple[Tensor, ...]
    visible: tuple[Tensor, ...]
    fused: tuple[Tensor, ...]


def _conv(inputs: int, outputs: int) -> nn.Conv2d:
    conv = nn.Conv2d(inputs, outputs, 3, padding=1)
    nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
    # Nearly zero: the exporter merges equal tensors, and the torch backend looks for each by its name.
    nn.init.uniform_(conv.bias, -1e-3, 1e-3)  # type: ignore[arg-type]
    return conv


def _near_identity(channels: int, gain: float = 1.0) -> nn.Conv2d:
    conv = _conv(channels, channels)
    with torch.no_grad():
        conv.weight.mul_(0.01).add_(nn.init.dirac_(torch.empty_like(conv.weight)), alpha=gain)
    return conv


class Encoder(nn.Module):
    """VGG-19's convolutions: image (B, 1, H, W) -> five features, each taken before the pooling."""

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        self.stages = nn.ModuleList()
        inputs = 1
        for outputs, count in zip(channels, CONVOLUTIONS, strict=True):
            layers: list[nn.Module] = []
            for _ in range(count):
                layers += [_conv(inputs, outputs), nn.ReLU()]
                inputs = outputs
            self.stages.append(nn.Sequential(*layers))

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        features: list[Tensor] = []
        for stage in self.stages:
            features.append(stage(functional.max_pool2d(features[-1], 2) if features else image))
        return tuple(features)

    @torch.no_grad()
    def load_vgg(self, vgg: nn.Sequential) -> None:
        """Take the weights of torchvision's VGG-19 `features`. Raises ConfigError for another width."""
        own, given = ([x for x in part.modules() if isinstance(x, nn.Conv2d)] for part in (self, vgg))
        if len(own) != len(given) or own[-1].weight.shape != given[-1].weight.shape:
            raise ConfigError(
                f"VGG-19's weights do not fit an encoder of {own[-1].out_channels} channels, expected 512; "
                "take network transfusion, or train the encoder from scratch with --vgg none"
            )
        for target, source in zip(own, given, strict=True):
            weight = source.weight if target is not own[0] else source.weight.sum(1, keepdim=True)
            target.weight.copy_(weight)
            target.bias.copy_(source.bias)  # type: ignore[union-attr, arg-type]


class ChannelWeights(nn.Module):
    """(B, C, H, W) -> how much each channel has to say, (B, C, 1, 1) in [0, 1]."""

    def __init__(self, channels: int, reduction: int) -> None:
        super().__init__()
        squeezed = channels // reduction
        self.mlp = nn.Sequential(
            nn.Conv2d(channels, squeezed, 1, bias=False),
            nn.ReLU(),
            nn.Conv2d(squeezed, channels, 1, bias=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        highest, mean = x.amax((2, 3), keepdim=True), x.mean((2, 3), keepdim=True)
        return torch.sigmoid(self.mlp(highest) + self.mlp(mean))


class Perception(nn.Module):
    """Cross-modal channel perception: thermal and visible (B, C, H, W) -> their weighted mean."""

    def __init__(self, channels: int, reduction: int) -> None:
        super().__init__()
        self.thermal = ChannelWeights(channels, reduction)
        self.visible = ChannelWeights(channels, reduction)

    def forward(self, thermal: Tensor, visible: Tensor) -> Tensor:
        own, other = self.thermal(thermal), self.visible(visible)
        thermal_gain = 1 + torch.sigmoid(2 * own - other)
        visible_gain = 1 + torch.sigmoid(2 * other - own)
        # The gains are halved, not the features: few values instead of many.
        return thermal * (thermal_gain / 2) + visible * (visible_gain / 2)


class Guidance(nn.Module):
    """Spatial guidance: the own map, (B, 1, H, W) in [0, 1], and what is made of a feature with a map."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.attention = nn.Conv2d(2, 1, 3, padding=1)
        undo_gain = _near_identity(channels, 1 / GAIN_AT_REST)
        self.refine = nn.Sequential(undo_gain, _near_identity(channels), nn.GELU())

    def forward(self, x: Tensor, spatial: Tensor) -> Tensor:
        out: Tensor = self.refine(x + spatial * x)
        return out

    def spatial_map(self, x: Tensor) -> Tensor:
        """From the maximum and the mean over the channels."""
        pooled = torch.cat((x.amax(1, keepdim=True), x.mean(1, keepdim=True)), 1)
        return torch.sigmoid(self.attention(pooled))


class Decoder(nn.Module):
    """Five features -> image (B, 1, H, W) in [0, 1]."""

    def __init__(self, channels: Sequence[int], joins: Sequence[Sequence[int]]) -> None:
        super().__init__()
        deeper = (*(join[-1] for join in joins[1:]), channels[-1])
        self.ups = nn.ModuleList(
            nn.ConvTranspose2d(deep, shallow, 2, stride=2)
            for deep, shallow in zip(deeper, channels[:-1], strict=True)
        )
        self.joins = nn.ModuleList(
            nn.Sequential(*(layer for widths in pairwise(join) for layer in (_conv(*widths), nn.GELU())))
            for join in joins
        )
        narrow = joins[0][-1] // 2
        last = _conv(narrow, 1)
        nn.init.normal_(last.weight, std=0.02)
        nn.init.constant_(last.bias, 0.5)  # type: ignore[arg-type]
        self.out = nn.Sequential(_conv(joins[0][-1], narrow), nn.GELU(), last)

    def forward(self, features: tuple[Tensor, ...]) -> Tensor:
        *shallower, deep = features
        for up, join in zip(reversed(self.ups), reversed(self.joins), strict=True):
            deep = join(torch.cat((up(deep), shallower.pop()), 1))
        image: Tensor = self.out(deep)
        return image.clamp(0, 1)


class TransFusion(nn.Module):
    """Fuse thermal and visible luminance, (B, 1, H, W) in [0, 1] each -> (B, 1, H, W) in [0, 1].

    H and W must be multiples of `stride`. width: share of the paper's channels, a multiple of 1/16.
    deep_guidance: each spatial map also heeds the next deeper one.
    """

    stride = 16

    def __init__(self, width: float = 1.0, deep_guidance: bool = True) -> None:
        super().__init__()
        channels = [round(width * count) for count in CHANNELS]
        self.deep_guidance = deep_guidance
        self.encoder = Encoder(channels)
        self.perception = nn.ModuleList(map(Perception, channels, REDUCTIONS))
        self.guidance = nn.ModuleList(map(Guidance, channels))
        self.decoder = Decoder(channels, [[round(width * count) for count in join] for join in JOINS])

    def forward(self, thermal: Tensor, visible: Tensor) -> Tensor:
        fused: Tensor = self.decoder(self.features(thermal, visible).fused)
        return fused

    def reconstruct(self, image: Tensor) -> Tensor:
        """An image through encoder and decoder alone, (B, 1, H, W) in [0, 1]: what stage 1 trains."""
        out: Tensor = self.decoder(self.encoder(image))
        return out

    def features(self, thermal: Tensor, visible: Tensor) -> Features:
        """The features of both images, and the fused ones that the decoder gets."""
        both = self.encoder(torch.cat((thermal, visible)))
        thermals = tuple(feature[: len(thermal)] for feature in both)
        visibles = tuple(feature[len(thermal) :] for feature in both)
        means = [fuse(*pair) for fuse, *pair in zip(self.perception, thermals, visibles, strict=True)]
        maps = self.spatial_maps(means)
        fused = (guide(mean, own) for guide, mean, own in zip(self.guidance, means, maps, strict=True))
        return Features(thermals, visibles, tuple(fused))

    def spatial_maps(self, means: Sequence[Tensor]) -> list[Tensor]:
        """Maps (B, 1, H / 2^k, W / 2^k) in [0, 1] of the five features that perception gives."""
        maps: list[Tensor] = []
        for guidance, mean in zip(reversed(self.guidance), reversed(means), strict=True):
            assert isinstance(guidance, Guidance)
            own = guidance.spatial_map(mean)
            if maps and self.deep_guidance:
                deeper = functional.interpolate(maps[-1], scale_factor=2, mode="bilinear")
                own = torch.sigmoid(own + deeper)
            maps.append(own)
        return maps[::-1]
