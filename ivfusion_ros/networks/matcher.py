"""Places that a thermal and a visible image share: a small matcher without key points. Our own design.

As in LoFTR (Sun et al., CVPR 2021) the features of a coarse grid over one image are compared with all of
the other's, and a dual softmax says which belong together. What is smaller here:

- One set of weights looks at both cameras. It sees local contrast, the amount of that, and the gradient's,
  each relative to what is around: what is dark in one camera may be bright in the other, but it ends at the
  same places.
- Convolutions down to 1/32 and up again to 1/8, no attention: 1.98 M parameters.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

STRIDE = 8
"""Pixels between two places of the grid."""

_NEAR = 5
"""Side of the square of grid places whose mean is what lies around a pixel."""
_LARGEST_CONTRAST, _LARGEST_GRADIENT = 3.0, 5.0


class Residual(nn.Module):
    """(B, C, H, W) -> the same, with two more convolutions."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first, self.second = _convolution(channels, channels), _convolution(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(x + self.second(functional.relu(self.first(x))))


class Matcher(nn.Module):
    """(B, 1, H, W) thermal and visible in [0, 1], sides multiples of 32 -> (B, H W / 64, H W / 64) logits.

    Rows are places of the thermal image, columns of the visible one, both row by row.
    """

    def __init__(self) -> None:
        super().__init__()
        self.eighth = nn.Sequential(_down(3, 24), _down(24, 48), _down(48, 96), Residual(96))
        self.sixteenth = nn.Sequential(_down(96, 128), Residual(128), Residual(128))
        self.coarsest = nn.Sequential(_down(128, 152), Residual(152))
        self.up_coarsest = nn.Conv2d(152, 128, 1)
        self.joined = Residual(128)
        self.up_sixteenth = nn.Conv2d(128, 128, 1)
        self.of_eighth = nn.Conv2d(96, 128, 1)
        self.head = nn.Sequential(_convolution(128, 96), nn.ReLU(), nn.Conv2d(96, 96, 1))
        self.sharpness = nn.Parameter(torch.tensor(2.5))

    def forward(self, thermal: Tensor, visible: Tensor) -> Tensor:
        with torch.no_grad():
            both = torch.cat((look(thermal.float()), look(visible.float())))
        features = functional.normalize(self._features(both).float().flatten(2), dim=1)
        of_thermal, of_visible = features.chunk(2)
        return of_thermal.transpose(1, 2) @ of_visible * self.sharpness.exp()

    def _features(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, 96, H / 8, W / 8)."""
        eighth = self.eighth(x)
        sixteenth = self.sixteenth(eighth)
        deep = _doubled(self.up_coarsest(self.coarsest(sixteenth)))
        joined = self.joined(functional.relu(sixteenth + deep))
        mixed = self.of_eighth(eighth) + _doubled(self.up_sixteenth(joined))
        features: Tensor = self.head(functional.relu(mixed))
        return features


class MatcherGraph(nn.Module):
    """A Matcher for images of one size, as calibrate/matcher.py asks for in an ONNX file.

    (1, 1, H, W) thermal and visible -> matches (N, 4), x and y of each place of the grid in the thermal
    image and of where it is in the visible one; confidence (N,) in [0, 1].
    """

    places: Tensor

    def __init__(self, network: nn.Module, size: tuple[int, int]) -> None:
        """size: (width, height)."""
        super().__init__()
        self.network = network
        self.register_buffer("places", grid(size))

    def forward(self, thermal: Tensor, visible: Tensor) -> tuple[Tensor, Tensor]:
        logits = self.network(thermal, visible)[0]
        onto_visible, onto_thermal = logits.softmax(1), logits.softmax(0)
        # Around the best place, whose neighbours share what lies between two of them.
        best = self.places[(onto_visible * onto_thermal).argmax(1)]
        near = ((best[:, None] - self.places).abs().amax(2) < 1.5 * STRIDE).float()
        share = onto_visible * near
        there = share @ self.places / share.sum(1, keepdim=True).clamp(min=1e-9)
        confidence = share.sum(1) * (onto_thermal * near).sum(1)
        return torch.cat((self.places, there), 1), confidence.clamp(0.0, 1.0)


def grid(size: tuple[int, int]) -> Tensor:
    """(N, 2) x and y of the centres of all places, row by row, integers at pixel centres.

    size: (width, height).
    """
    rows, columns = torch.meshgrid(
        torch.arange(size[1] // STRIDE), torch.arange(size[0] // STRIDE), indexing="ij"
    )
    return torch.stack((columns, rows), 2).reshape(-1, 2).float() * STRIDE + (STRIDE - 1) / 2


def look(image: Tensor) -> Tensor:
    """(B, 1, H, W) in [0, 1] -> (B, 3, H, W): local contrast, its amount, and the gradient's amount."""
    deviation = image - _around(image)
    contrast = deviation / (_around(deviation**2).sqrt() + 0.02)
    padded = functional.pad(image, (1, 1, 1, 1), mode="replicate")
    across = padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]
    down = padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]
    gradient = (across**2 + down**2 + 1e-8).sqrt()
    contrast = contrast.clamp(-_LARGEST_CONTRAST, _LARGEST_CONTRAST)
    amount = (gradient / (_around(gradient) + 0.01)).clamp(max=_LARGEST_GRADIENT)
    return torch.cat((contrast, contrast.abs(), amount), 1)


def _around(x: Tensor) -> Tensor:
    """The mean of some 40 pixels around each."""
    small = functional.avg_pool2d(x, STRIDE)
    mean = functional.avg_pool2d(small, _NEAR, 1, _NEAR // 2, count_include_pad=False)
    return functional.interpolate(mean, scale_factor=STRIDE, mode="bilinear", align_corners=False)


def _convolution(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs))


def _down(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(_convolution(inputs, outputs, 2), nn.ReLU())


def _doubled(x: Tensor) -> Tensor:
    return functional.interpolate(x, scale_factor=2, mode="nearest")
