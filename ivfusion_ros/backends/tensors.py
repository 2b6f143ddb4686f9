"""What goes into and comes out of a model: names, shapes and dtypes, and the check of an input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ivfusion_ros.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Mapping

Array = npt.NDArray[Any]


_MOST_BYTES_AT_ONCE = 8_000_000
"""Of the inputs of a run beside others: RefineFuse takes nearly 200 times as much while it runs."""


@dataclass(frozen=True)
class TensorInfo:
    """One input or output of a model.

    shape: None for a dimension that is free, and None altogether where even the rank is not known.
    """

    shape: tuple[int | None, ...] | None
    dtype: np.dtype[Any]

    def accepts(self, array: Array) -> bool:
        """Whether the array has this dtype and a shape that fits."""
        if array.dtype != self.dtype:
            return False
        if self.shape is None:
            return True
        return array.ndim == len(self.shape) and all(
            want in (None, have) for want, have in zip(self.shape, array.shape, strict=True)
        )

    def __str__(self) -> str:
        if self.shape is None:
            return f"{self.dtype} of any shape"
        return f"{self.dtype} ({', '.join('any' if size is None else str(size) for size in self.shape)})"


def runs_alone(inputs: Mapping[str, Array]) -> bool:
    """Whether inputs are so large that runs of them at the same time would take too much memory."""
    return sum(array.nbytes for array in inputs.values()) > _MOST_BYTES_AT_ONCE


def checked_inputs(
    inputs: Mapping[str, Array], expected: Mapping[str, TensorInfo], model: str
) -> dict[str, Array]:
    """The inputs, C-contiguous (copied only where they are not). Raises ModelError on a misfit."""
    if inputs.keys() != expected.keys():
        raise ModelError(
            f"{model} was given the inputs {', '.join(inputs) or 'none'}, "
            f"expected {', '.join(expected) or 'none'}"
        )
    for name, info in expected.items():
        array = inputs[name]
        if not isinstance(array, np.ndarray):
            raise ModelError(f"{model}: input {name} is a {type(array).__name__}, expected {info}")
        if not info.accepts(array):
            raise ModelError(f"{model}: input {name} is {array.dtype} {array.shape}, expected {info}")
    return {name: np.asarray(inputs[name], order="C") for name in expected}
