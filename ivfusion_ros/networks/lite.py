"""RefineFuse-lite: for two CPU cores, at a hundredth of RefineFuse's cost. Our own design.

Which brightness a region gets is decided on a small picture of fixed size, which detail shows in it at
every pixel:

- The pair, reduced to 64x48 whatever its size, goes through a small U-Net that sees all of it. It gives
  the base: how much brighter or darker than visible each region becomes. Upsampled bilinearly it is smooth
  wherever it lies, so that a sky holds no shapes of the network's own; and a picture of any size has the
  same base.
- A strided convolution takes the images themselves to a quarter of their resolution, and few residual
  convolutions from there give a gain for each source and each pixel of a 4x4 block (depth to space). Gains
  multiply only what the sources have beyond their small pictures: where both are smooth there is nothing
  to multiply.
- fused = visible + base + thermal gain (thermal - small thermal) + visible gain (visible - small visible).
- What thermal adds is counted from its median, not from its mean: a hot object that fills a quarter of the
  view does not darken the rest.

Its predecessor gave an offset and two gains at a quarter of the resolution from features that saw 200
pixels. In pictures larger than those of its training it painted dark blobs into bright skies, where gains
and offset did not quite cancel a large and constant brightness.

At this size a CPU waits for memory more than it computes, so nothing but the images and the change is held
at full resolution: a strided convolution takes the pixels of a block apart, bilinear upsampling by 4 is a
convolution, and what both give is summed where blocks are still channels.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

BLOCK = 4
"""Side of the pixel blocks that one feature stands for."""

GRID = (48, 64)
"""Height and width of the small picture that the base is made of."""

_POOL = 8
_BASE_GAIN, _DETAIL_GAIN = 0.4, 0.6
"""Of the thermal image in an untrained network."""


class Residual(nn.Module):
    """(B, C, H, W) -> the same, plus a 3x3 convolution of it."""

    identity: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)
        identity = nn.init.dirac_(torch.empty_like(self.conv.weight))
        self.register_buffer("identity", identity, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        # Added to the weights, not to what they give: one pass over the features less.
        return _rectify(functional.conv2d(x, self.conv.weight + self.identity, self.conv.bias, padding=1))


class Base(nn.Module):
    """The small pair -> what to add to the small visible image, and the features that say so.

    (B, 2, 48, 64) in [0, 1] -> (B, 1, 48, 64), (B, channels, 48, 64).
    """

    def __init__(self, channels: int, deep_channels: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(4, channels, 3, padding=1)
        self.encoder = nn.Sequential(*(Residual(channels) for _ in range(3)))
        self.reduction = nn.Conv2d(channels, deep_channels, 3, 2, 1)
        self.deep = nn.Sequential(*(Residual(deep_channels) for _ in range(3)))
        self.expansion = nn.Conv2d(deep_channels, channels, 1)
        self.decoder = Residual(channels)
        self.head = nn.Conv2d(channels, 1, 3, padding=1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)  # type: ignore[arg-type]

    def forward(self, small: Tensor) -> tuple[Tensor, Tensor]:
        deviation = 2 * _from_median(small[:, :1])
        x = _rectify(self.stem(torch.cat((2 * small - 1, deviation, deviation.abs()), 1)))
        x = self.encoder(x)
        deep = self.deep(_rectify(self.reduction(x)))
        x = self.decoder(x + _double(self.expansion(deep)))
        return _BASE_GAIN / 2 * deviation + self.head(x), x


class RefineFuseLite(nn.Module):
    """Fuse thermal and visible luminance, (B, 1, H, W) in [0, 1] each -> (B, 1, H, W) in [0, 1].

    H and W must be multiples of `stride`. channels: of the base, the same at half of its resolution, and of
    the details at 1/4 and 1/8 of the image's.
    """

    means: Tensor
    bilinear: Tensor
    pixels: Tensor

    def __init__(self, channels: tuple[int, int, int, int] = (16, 48, 16, 32)) -> None:
        super().__init__()
        base, deep, fine, coarse = channels
        self.stride = _POOL
        # It would take 7 % of the time of so small a network.
        self.keeps_luminance = False
        self.base = Base(base, deep)
        self.stem = nn.Conv2d(2, fine, 2 * BLOCK, BLOCK, padding=BLOCK // 2)
        self.under = nn.Conv2d(3, fine, 1)
        self.context = nn.Conv2d(base, coarse, 1)
        self.encoder = Residual(fine)
        self.reduction = nn.Conv2d(fine, coarse, 3, 2, 1)
        self.deep = nn.Sequential(Residual(coarse), Residual(coarse))
        self.expansion = nn.Conv2d(coarse, fine, 1)
        self.decoder = Residual(fine)
        self.head = nn.Conv2d(fine, 2 * BLOCK**2, 1)
        nn.init.zeros_(self.head.weight)
        self.head.bias = nn.Parameter(torch.tensor([_DETAIL_GAIN, 0.0]).repeat_interleave(BLOCK**2))
        self.register_buffer("means", _means_of_blocks(2, _POOL), persistent=False)
        self.register_buffer("bilinear", _bilinear(3), persistent=False)
        self.register_buffer("pixels", _pixels_of_blocks(2), persistent=False)

    def forward(self, thermal: Tensor, visible: Tensor) -> Tensor:
        pair = torch.cat((thermal, visible), 1)
        # A pooling layer of two channels takes several times as long.
        small = _resized(functional.conv2d(pair, self.means, stride=_POOL), GRID)
        change, context = self.base(small)
        quarter = _resized(torch.cat((small, change), 1), (pair.shape[2] // BLOCK, pair.shape[3] // BLOCK))
        features = self._features(pair, quarter, context)
        change = functional.pixel_shuffle(self._change(pair, quarter, features), BLOCK)
        return (visible + change).clamp(0, 1)

    def _change(self, pair: Tensor, quarter: Tensor, features: Tensor) -> Tensor:
        """(B, 16, H / 4, W / 4): what is added to visible, for each pixel of a block.

        At full resolution three maps would be shuffled, not one. Nor is it one convolution for both
        sources: to split its channels takes longer than to convolve.
        """
        quarter = functional.pad(quarter, (1, 1, 1, 1), mode="replicate")
        upsample, pixels, gains = self.bilinear.chunk(3), self.pixels.chunk(2), self.head.weight.chunk(2)
        biases = self.head.bias.chunk(2)  # type: ignore[union-attr]
        change = functional.conv2d(quarter, upsample[2])
        for source in range(2):
            gain = functional.conv2d(features, gains[source], biases[source])
            detail = functional.conv2d(pair, pixels[source], stride=BLOCK)
            detail = detail + functional.conv2d(quarter, -upsample[source])
            change = change + gain * detail
        return change

    def _features(self, pair: Tensor, quarter: Tensor, context: Tensor) -> Tensor:
        """(B, 16, H / 4, W / 4): what the gains of each block's pixels are made of."""
        x = self.encoder(_rectify(self.stem(4 * pair) + self.under(quarter)))
        half = quarter.shape[2] // 2, quarter.shape[3] // 2
        deep = self.deep(_rectify(self.reduction(x) + _resized(self.context(context), half)))
        features: Tensor = self.decoder(x + _double(self.expansion(deep)))
        return features


def _from_median(image: Tensor) -> Tensor:
    """(B, 1, H, W) less its median."""
    values = image.flatten(1)
    upper = values.topk(values.shape[1] // 2, 1, sorted=False).values
    return image - upper.amin(1)[:, None, None, None]


def _means_of_blocks(channels: int, side: int) -> Tensor:
    """Weights of a strided convolution that takes the mean of blocks of each channel."""
    return torch.eye(channels)[:, :, None, None].expand(-1, -1, side, side) / side**2


def _pixels_of_blocks(channels: int) -> Tensor:
    """(16 C, C, 4, 4): weights of a strided convolution that is the reverse of a pixel shuffle by 4."""
    pixels = torch.eye(BLOCK**2).reshape(1, BLOCK**2, 1, BLOCK, BLOCK)
    return (torch.eye(channels)[:, None, :, None, None] * pixels).reshape(-1, channels, BLOCK, BLOCK)


def _bilinear(channels: int) -> Tensor:
    """(16 C, C, 3, 3): weights of a convolution before depth to space that upsamples by 4 bilinearly."""
    weights = torch.zeros(BLOCK, 3)
    for place in range(BLOCK):
        offset = (place + 0.5) / BLOCK - 0.5
        weights[place, 1] = 1 - abs(offset)
        weights[place, 2 if offset > 0 else 0] = abs(offset)
    kernels = torch.einsum("iy,jx->ijyx", weights, weights).reshape(1, BLOCK**2, 1, 3, 3)
    return (torch.eye(channels)[:, None, :, None, None] * kernels).reshape(-1, channels, 3, 3)


def _rectify(x: Tensor) -> Tensor:
    # Plain ReLU died in training: with so few channels, soon no feature was left before the head.
    return functional.leaky_relu(x, 0.1)


def _resized(x: Tensor, size: tuple[int, int]) -> Tensor:
    return functional.interpolate(x, size=size, mode="bilinear", align_corners=False)


def _double(x: Tensor) -> Tensor:
    return functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
