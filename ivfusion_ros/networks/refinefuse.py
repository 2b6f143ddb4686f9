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
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


def _conv(
    inputs: int, outputs: int, kernel: int = 3, stride: int = 1, groups: int = 1, bias: bool = True
) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, groups=groups, bias=bias)


def _upsample(x: Tensor, factor: int) -> Tensor:
    return functional.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)


class Encoder(nn.Module):
    """One modality (B, 1, H, W) -> features at 1, 1/2, 1/4 and 1/8 of the resolution."""

    def __init__(self, channels: tuple[int, int, int, int]) -> None:
        super().__init__()
        widths = (1, *channels)
        self.levels = nn.ModuleList(
            _conv(widths[i], widths[i + 1], stride=1 if i == 0 else 2) for i in range(4)
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

    def __init__(self, channels: int, key_channels: int, pool: int) -> None:
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

    The deep feature comes upsampled, so both are (B, C, H, W).
    """

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

    H and W must be multiples of `stride`.
    """

    stride = 32

    def __init__(
        self, channels: tuple[int, int, int, int] = (64, 64, 128, 128), key_channels: int = 32
    ) -> None:
        super().__init__()
        c1, c2, c3, c4 = channels
        self.thermal_encoder = Encoder(channels)
        self.visible_encoder = Encoder(channels)
        self.sfim1 = SFIM(c1)
        self.sfim2 = SFIM(c2)
        self.psim3 = PSIM(c3, key_channels, pool=4)
        self.psim4 = PSIM(c4, key_channels, pool=4)
        self.fim = FIM()
        self.decoder4 = Decoder(c4, c3)
        self.decoder3 = Decoder(c3, c2)
        self.decoder2 = Decoder(c2, c1)
        self.decoder1 = nn.Sequential(
            _conv(c1, c1),
            nn.ReLU(),
            _conv(c1, c1),
            nn.ReLU(),
            _conv(c1, c1 // 2),
            nn.ReLU(),
            _conv(c1 // 2, 1),
        )

    def forward(self, thermal: Tensor, visible: Tensor) -> Tensor:
        t1, t2, t3, t4 = self.thermal_encoder(thermal)
        v1, v2, v3, v4 = self.visible_encoder(visible)
        deep = self.decoder4(self.psim4(t4, v4))
        deep = self.decoder3(self.fim(deep, self.psim3(t3, v3)))
        deep = self.decoder2(self.fim(deep, self.sfim2(t2, v2)))
        fused = self.decoder1(self.fim(deep, self.sfim1(t1, v1)))
        return torch.tanh(fused) / 2 + 0.5
