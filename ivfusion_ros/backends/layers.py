"""Where the time of a network goes: its layers as a backend runs them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from ivfusion_ros.graphs.operations import (
    batched_product,
    convolution,
    product,
    transposed_convolution,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ivfusion_ros.backends.tensors import Array

Shape = tuple[int, ...]

WARM_UPS = 2
"""Runs of a profile that do not count: the first takes up to twice as long, on memory that is new to it."""


@dataclass(frozen=True)
class Layer:
    """One layer in the mean of the timed runs.

    kind: the backend's own word, such as Convolution or Reorder. multiply_adds, moved_bytes: work, and what
    is read and written of tensors and weights; None where the backend does not tell their shapes.
    """

    kind: str
    name: str
    milliseconds: float
    multiply_adds: int | None = None
    moved_bytes: int | None = None


@runtime_checkable
class ProfilingBackend(Protocol):
    """A backend that tells the times of its layers."""

    def profile(self, inputs: Mapping[str, Array], runs: int) -> list[Layer]:
        """Layers in the order in which they run; measuring them makes each a little slower.

        Raises ModelError as run does.
        """


_CONVOLUTIONS = ("Conv", "FusedConv", "NhwcFusedConv", "Convolution", "GroupConvolution")
_COUNTS = {
    **dict.fromkeys(_CONVOLUTIONS, convolution),
    **dict.fromkeys(("ConvTranspose", "Deconvolution"), transposed_convolution),
    **dict.fromkeys(("MatMul", "FusedMatMul"), batched_product),
    **dict.fromkeys(("Gemm", "FusedGemm", "FullyConnected"), product),
}
"""By the words of ONNX, ONNX Runtime and OpenVINO."""


def multiply_adds(kind: str, inputs: Sequence[Shape], output: Shape) -> int:
    """Of a layer: of convolutions and matrix products, as papers count them; 0 of others."""
    count = _COUNTS.get(kind)
    if count is None or len(inputs) < 2:
        return 0
    image, weight = inputs[:2]
    if count is convolution and len(weight) == len(image) + 1:
        # OpenVINO has groups as a dimension of their own.
        weight = weight[1:]
    return count(image, weight, output)


def size_bytes(shape: Shape, item_bytes: float) -> int:
    """Of a tensor."""
    return round(math.prod(shape) * item_bytes)
