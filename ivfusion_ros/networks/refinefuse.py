"""RefineFuse as it ships: our variant of the paper's network. Printed as the paper is: refinefuse_paper.py.

Paper: "RefineFuse: an end-to-end network for multi-scale refinement fusion of multi-modality images",
Visual Intelligence 2025 (CC BY 4.0). No code was published; channel counts and some formulas are
missing from the text. What differs from the paper:

- PSIM works on features average-pooled by 4, that is 1/16 (level 3) and 1/32 (level 4) of the input, where
  the paper has a grid of fixed size. So an object spans as many cells in a large image as in a crop that
  was trained on, but tokens grow with the image: 1,200 and 300 at 640x480, 5,120 and 1,280 at 1280x1024.
- FIM has channel attention only, and stands at each of the three joins, where the paper adds spatial
  attention and has one: out = F * w_deep * w_shallow + up(deep).
- The last decoder is 64 -> 64 -> 64 -> 32 -> 1.

Our choices where the text is silent: channels (64, 64, 128, 128); queries and keys of 32 channels, values
of as many as the feature; the last Tanh mapped from [-1, 1] to [0, 1]. This gives 2.38 M parameters and
11.2 G multiply-adds at 256x256 (paper: 2.21 M and 12.73 G). Height and width must be multiples of 32; the
exported graph pads to that. The file that ships has fewer channels, see docs/models.md.

The variant stays since the weights that ship are its own. Whether it is also the better one is for the
ablation to show: of the settings in config/train, refinefuse_paper, ablation/refinefuse_pooled (our PSIM),
ablation/refinefuse_joined (our FIM) and ablation/refinefuse_variant (both) train alike.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

Block = Callable[[int], nn.Module]
"""Channels -> a module that fuses two (B, C, H, W) features to one."""

HEAD = (64, 64, 32)
"""Channels between the convolutions of the last decoder."""


def conv(
    inputs: int, outputs: int, kernel: int = 3, stride: int = 1, groups: int = 1, bias: bool = True
) -> nn.Conv2d:
    """A convolution that keeps the size, or divides it by the stride."""
    return nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, groups=groups, bias=bias)


def _upsample(x: Tensor, factor: int) -> Tensor:
    return functional.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)


class Encoder(nn.Module):
    """One modality (B, 1, H, W) -> features at 1, 1/2, 1/4, ... of the resolution."""

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        widths = (1, *channels)
        self.levels = nn.ModuleList(
            conv(widths[i], widths[i + 1], stride=1 if i == 0 else 2) for i in range(len(channels))
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        features = []
        for level in self.levels:
            x = functional.relu(level(x))
            features.append(x)
        return features


class SFIM(nn.Module):
    """Superficial feature interaction: spatial attention, then channel a mixes with channel a.

    thermal, visible: (B, C, H, W) each -> (B, C, H, W).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        # A mean over these also where some that give 0 are left out.
        self.channels = channels
        self.attention = conv(2, 2)
        # A grouped convolution over t0 v0 t1 v1 ... is the sum of a depthwise one per modality, which
        # takes a quarter of its time on a CPU, as nothing has to be interleaved.
        self.mix_thermal = conv(channels, channels, groups=channels)
        self.mix_visible = conv(channels, channels, groups=channels, bias=False)

    def forward(self, thermal: Tensor, visible: Tensor) -> Tensor:
        # Maximum and mean over the channels of both, without a copy that concatenates them.
        highest = torch.maximum(thermal.amax(1, keepdim=True), visible.amax(1, keepdim=True))
        mean = (thermal.sum(1, keepdim=True) + visible.sum(1, keepdim=True)) / (2 * self.channels)
        pooled = torch.cat((highest, mean), 1)
        maps = torch.sigmoid(self.attention(pooled))
        thermal = thermal + thermal * maps[:, :1]
        visible = visible + visible * maps[:, 1:]
        return functional.relu(self.mix_thermal(thermal) + self.mix_visible(visible))


class PSIM(nn.Module):
    """Profound semantic interaction: the joint query attends to each modality's keys and values.

    thermal, visible: (B, C, H, W) each, H and W multiples of `pool` -> (B, C, H, W).
    """

    def __init__(self, channels: int, key_channels: int = 32, pool: int = 4) -> None:
        super().__init__()
        self.pool = pool
        self.scale = key_channels**-0.5
        self.query = conv(2 * channels, key_channels)
        self.key_thermal = conv(channels, key_channels)
        self.key_visible = conv(channels, key_channels)
        self.value_thermal = conv(channels, channels)
        self.value_visible = conv(channels, channels)
        self.out = conv(2 * channels, channels)

    def forward(self, thermal: Tensor, visible: Tensor) -> Tensor:
        small_thermal = functional.avg_pool2d(thermal, self.pool)
        small_visible = functional.avg_pool2d(visible, self.pool)
        query = self.query(torch.cat((small_thermal, small_visible), 1))
        thermal = thermal + self._attend(
            query, self.key_thermal(small_thermal), self.value_thermal(small_thermal)
        )
        visible = visible + self._attend(
            query, self.key_visible(small_visible), self.value_visible(small_visible)
        )
        return functional.relu(self.out(torch.cat((thermal, visible), 1)))

    def _attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        scores = query.flatten(2).transpose(1, 2) @ key.flatten(2) * self.scale
        attended = value.flatten(2) @ torch.softmax(scores, -1).transpose(1, 2)
        return _upsample(attended.view_as(value), self.pool)


class FIM(nn.Module):
    """Feature interaction of a deep (B, C, H/2, W/2) with a shallow (B, C, H, W) feature.

    The deep feature comes upsampled, so both are (B, C, H, W). There are no weights, whatever `channels`.
    """

    def __init__(self, channels: int) -> None:  # noqa: ARG002 (every block is given them)
        super().__init__()

    def forward(self, deep: Tensor, shallow: Tensor) -> Tensor:
        deep_weight = torch.sigmoid(deep.mean((2, 3), keepdim=True))
        shallow_weight = torch.sigmoid(shallow.mean((2, 3), keepdim=True))
        return shallow * deep_weight * shallow_weight + deep


class Decoder(nn.Module):
    """1x1 convolution to `width`, 3x3 one, then bilinear x2: (B, inputs, H, W) -> (B, outputs, 2H, 2W)."""

    def __init__(self, inputs: int, width: int, outputs: int) -> None:
        super().__init__()
        self.project = conv(inputs, width, kernel=1)
        self.refine = conv(width, outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.project(x))
        return _upsample(functional.relu(self.refine(x)), 2)


class RefineFuse(nn.Module):
    """Fuse thermal and visible luminance, (B, 1, H, W) in [0, 1] each -> (B, 1, H, W) in [0, 1].

    H and W must be multiples of `stride`. blocks: what fuses the modalities at each level, from full
    resolution down, with `channels` features. joins: what brings the next deeper level into each but the
    last; None: both are concatenated, and the decoder's first convolution takes twice the channels.
    head: channels between the convolutions of the last decoder.
    """

    def __init__(
        self,
        channels: Sequence[int] = (64, 64, 128, 128),
        blocks: Sequence[Block] = (SFIM, SFIM, PSIM, PSIM),
        joins: Sequence[Block | None] = (FIM, FIM, FIM),
        head: Sequence[int] = HEAD,
    ) -> None:
        super().__init__()
        levels = range(1, len(blocks) + 1)
        self.thermal_encoder = Encoder(channels)
        self.visible_encoder = Encoder(channels)
        # Weights are named by kind and level, sfim1 to psim4, as in the files that ship.
        self._blocks = [
            self._add(level, block(width))
            for level, block, width in zip(levels, blocks, channels, strict=True)
        ]
        self._joins = [
            join and self._add(level, join(width))
            for level, join, width in zip(levels, joins, channels[:-1], strict=False)
        ]
        joined = [
            width if join else 2 * width for join, width in zip(self._joins, channels[:-1], strict=True)
        ]
        inputs = [*joined, channels[-1]]
        self._decoders = [
            self._add(level, Decoder(inputs[level - 1], channels[level - 1], channels[level - 2]))
            for level in reversed(levels[1:])
        ]
        self.decoder1 = _last_decoder((inputs[0], *head, 1))
        self.stride = max(2**level * getattr(block, "pool", 1) for level, block in enumerate(self._blocks))

    def _add(self, level: int, module: nn.Module) -> nn.Module:
        name = f"{type(module).__name__.lower()}{level}"
        self.add_module(name, module)
        return module

    def forward(self, thermal: Tensor, visible: Tensor) -> Tensor:
        pairs = list(zip(self.thermal_encoder(thermal), self.visible_encoder(visible), strict=True))
        fused = [block(*pair) for block, pair in zip(self._blocks, pairs, strict=True)]
        deep = fused.pop()
        for decoder, join in zip(self._decoders, reversed(self._joins), strict=True):
            deep, shallow = decoder(deep), fused.pop()
            deep = join(deep, shallow) if join else torch.cat((deep, shallow), 1)
        return torch.tanh(self.decoder1(deep)) / 2 + 0.5


def _last_decoder(widths: Sequence[int]) -> nn.Sequential:
    """3x3 convolutions from each of the widths to the next, with ReLU between them."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths):
        layers += [conv(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*layers[:-1])
