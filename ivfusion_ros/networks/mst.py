"""MST: a classical multi-scale transform fusion without weights, the fallback that always works.

Paper: J. Chen, X. Li, L. Luo, X. Mei, J. Ma, "Infrared and visible image fusion based on target-enhanced
multiscale transform decomposition", Information Sciences 508, 2020: Laplacian pyramids; detail by the
larger coefficient; the thermal base decides where targets are enhanced, and one parameter how much.
Where this differs from it, or the paper leaves a choice:

- Pyramid (Burt, Adelson, "The Laplacian pyramid as a compact image code", IEEE Trans. Communications,
  1983) of 5 levels. The reduction is the even binomial (1 3 3 1) / 8, whose transpose is the bilinear
  expansion: no aliasing blocks, and no shift between levels.
- Detail by local energy instead of single coefficients (Burt, Kolczynski, "Enhanced image capture through
  fusion", ICCV 1993), as weights E_t^2 / (E_t^2 + E_v^2) instead of a choice: no seams where a choice
  would switch. Energies are means of 2x2 squared coefficients, expanded bilinearly; below
  one grey level of detail the visible image stays.
- Base: visible + 0.7 (thermal - its image's mean). The mean keeps the flat thermal background from adding
  haze to a black night; fused minus visible looks like the thermal image, as SCD asks.
- Target enhancement: at least S(excess) thermal, S(x) = arctan(10 x) / arctan(10) (Zhou, Wang, Li, Dong,
  "Perceptual fusion of infrared and visible images through a hybrid multi-scale decomposition with
  Gaussian and bilateral filters", Information Fusion 30, 2016), excess = thermal above its image's mean.
- Computed as visible + correction, which is the same sum: what does not change keeps all its precision
  on backends that compute in bf16.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

LEVELS = 5
THERMAL_GAIN = 0.7
"""How much of the thermal base is added: the paper's regularisation parameter."""
TARGET_STEEPNESS = 10.0
GREY_LEVELS = 255.0
"""Detail is computed in grey levels: in [0, 1] the constant below is too small for the ONNX exporter,
which drops it, and flat regions divide 0 by 0."""
NOISE_ENERGY_SQUARED = 1.0


class MST(nn.Module):
    """Fuse thermal and visible luminance, (B, 1, H, W) in [0, 1] each -> (B, 1, H, W) in [0, 1].

    H and W must be multiples of `stride`. There is nothing to train.
    """

    stride = 2**LEVELS
    # It would take 8 % of the time.
    keeps_luminance = False
    reduction: Tensor
    expansion: Tensor

    def __init__(self) -> None:
        super().__init__()
        binomial = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
        even, odd = torch.tensor([[1.0, 3.0, 0.0], [0.0, 3.0, 1.0]]) / 4
        phases = [torch.outer(y, x) for y in (even, odd) for x in (even, odd)]
        self.register_buffer("reduction", torch.outer(binomial, binomial)[None, None], persistent=False)
        self.register_buffer("expansion", torch.stack(phases)[:, None], persistent=False)

    def forward(self, thermal: Tensor, visible: Tensor) -> Tensor:
        details, base = self.pyramid(torch.cat((thermal, visible)) * GREY_LEVELS)
        correction = self._base_correction(*base.chunk(2))
        for detail in reversed(details):
            thermal_detail, visible_detail = detail.chunk(2)
            weight = self._thermal_weight(detail)
            correction = self.expand(correction) + weight * (thermal_detail - visible_detail)
        return (visible + correction / GREY_LEVELS).clamp(0, 1)

    def pyramid(self, images: Tensor) -> tuple[list[Tensor], Tensor]:
        """Details from fine to coarse, and the base, 1 / stride of the size."""
        details = []
        for _ in range(LEVELS):
            padded = functional.pad(images, (1, 1, 1, 1), mode="replicate")
            smaller = functional.conv2d(padded, self.reduction, stride=2)
            details.append(images - self.expand(smaller))
            images = smaller
        return details, images

    def expand(self, image: Tensor) -> Tensor:
        """Bilinear x2: one convolution per output phase, three times as fast as a resize in OpenVINO."""
        padded = functional.pad(image, (1, 1, 1, 1), mode="replicate")
        return functional.pixel_shuffle(functional.conv2d(padded, self.expansion), 2)

    def _thermal_weight(self, detail: Tensor) -> Tensor:
        energy = functional.avg_pool2d(detail * detail, 2)
        thermal, visible = (energy * energy).chunk(2)
        return self.expand(thermal / (thermal + visible + NOISE_ENERGY_SQUARED))

    @staticmethod
    def _base_correction(thermal: Tensor, visible: Tensor) -> Tensor:
        excess = thermal - thermal.mean((2, 3), keepdim=True)
        steepness = TARGET_STEEPNESS / GREY_LEVELS
        target = torch.atan(functional.relu(excess) * steepness) / math.atan(TARGET_STEEPNESS) * thermal
        base = torch.maximum(visible + THERMAL_GAIN * excess, target)
        return base.clamp(0.0, GREY_LEVELS) - visible
