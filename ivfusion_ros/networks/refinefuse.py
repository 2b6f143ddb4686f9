"""RefineFuse: multi-scale interaction of two encoders, with attention at the deep levels.

Paper: "RefineFuse: an end-to-end network for multi-scale refinement fusion of multi-modality images",
Visual Intelligence 2025 (CC BY 4.0). No code was published; channel counts and some formulas are
missing from the text, so these are our choices:

- Channels (64, 64, 128, 128); the last decoder is 64 -> 64 -> 64 -> 32 -> 1. This gives 2.39 M
  parameters and 11.3 G multiply-adds at 256x256 (paper: 2.21 M and 12.73 G).
- PSIM works on features average-pooled by 4, that is 1/16 (level 3) and 1/32 (level 4) of the input.
  The paper's "1/4 and 1/8 of the original resolution" would give 19,200 tokens at 640x480; with
  pooling there are 1,200 and 300, and 5,120 and 1,280 at 1280x1024. Queries and keys have 32 channels,
  values as many as the feature.
- FIM multiplies both channel weights (equation 5 is missing): out = F * w_deep * w_shallow + up(deep).
- The last Tanh is mapped from [-1, 1] to [0, 1].
- Height and width must be multiples of 32; the exported graph pads to that.

The rows of the paper's ablations are other `blocks` and another `join`, see refinefuse_ablation.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

Block = Callable[[int], nn.Module]
"""Channels -> a module that fuses two (B, C, H, W) features to one."""


def _conv(
    inputs: int, outputs: int, kernel: int = 3, stride: int = 1, groups: int = 1, bias: bool = True
) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, groups=groups, bias=bias)


def _upsample(x: Tensor, factor: int) -> Tensor:
    return functional.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)


class Encoder(nn.Module):
    """One modality (B, 1, H, W) -> features at 1, 1/2, 1/4, ... of the resolution."""

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        widths = (1, *channels)
        self.levels = nn.ModuleList(
            _conv(widths[i], widths[i + 1], stride=1 if i == 0 else 2) for i in range(len(channels))
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
        self.attention = _conv(2, 2)
        # A grouped convolution over t0 v0 t1 v1 ... is the sum of a depthwise one per modality, which
        # takes a quarter of its time on a CPU, as nothing has to be interleaved.
        self.mix_thermal = _conv(channels, channels, groups=channels)
        self.mix_visible = _conv(channels, channels, groups=channels, bias=False)

    def forward(self, thermal: Tensor, visible: Tensor) -> Tensor:
        # Maximum and mean over the channels of both, without a copy that concatenates them.
        highest = torch.maximum(thermal.amax(1, keepdim=True), visible.amax(1, keepdim=True))
        mean = (thermal.mean(1, keepdim=True) + visible.mean(1, keepdim=True)) / 2
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
        self.query = _conv(2 * channels, key_channels)
        self.key_thermal = _conv(channels, key_channels)
        self.key_visible = _conv(channels, key_channels)
        self.value_thermal = _conv(channels, channels)
        self.value_visible = _conv(channels, channels)
        self.out = _conv(2 * channels, channels)

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

    def __init__(self, channels: int) -> None:  # noqa: ARG002 (every block is told them)
        super().__init__()

    def forward(self, deep: Tensor, shallow: Tensor) -> Tensor:
        deep_weight = torch.sigmoid(deep.mean((2, 3), keepdim=True))
        shallow_weight = torch.sigmoid(shallow.mean((2, 3), keepdim=True))
        return shallow * deep_weight * shallow_weight + deep


class Decoder(nn.Module):
    """1x1 and 3x3 convolution, then bilinear x2: (B, C, H, W) -> (B, C', 2H, 2W)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.project = _conv(inputs, inputs, kernel=1)
        self.refine = _conv(inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.project(x))
        return _upsample(functional.relu(self.refine(x)), 2)


class RefineFuse(nn.Module):
    """Fuse thermal and visible luminance, (B, 1, H, W) in [0, 1] each -> (B, 1, H, W) in [0, 1].

    H and W must be multiples of `stride`. blocks: what fuses the modalities at each level, from full
    resolution down, with `channels` features; join: what brings a deeper level into the next one.
    """

    def __init__(
        self,
        channels: Sequence[int] = (64, 64, 128, 128),
        blocks: Sequence[Block] = (SFIM, SFIM, PSIM, PSIM),
        join: Block = FIM,
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
        self._joins = [self._add(level, join(channels[level - 1])) for level in levels[:-1]]
        self._decoders = [
            self._add(level, Decoder(channels[level - 1], channels[level - 2]))
            for level in reversed(levels[1:])
        ]
        self.decoder1 = _last_decoder(channels[0])
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
            deep = join(decoder(deep), fused.pop())
        return torch.tanh(self.decoder1(deep)) / 2 + 0.5


def _last_decoder(channels: int) -> nn.Sequential:
    return nn.Sequential(
        _conv(channels, channels),
        nn.ReLU(),
        _conv(channels, channels),
        nn.ReLU(),
        _conv(channels, channels // 2),
        nn.ReLU(),
        _conv(channels // 2, 1),
    )
