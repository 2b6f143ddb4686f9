"""What every backend is: a model that runs on numpy arrays, or the reason why it cannot."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ivfusion_ros.backends.tensors import Array, TensorInfo


class Backend(Protocol):
    """A loaded model. One object serves one thread at a time; close it when done."""

    name: str
    """key in BACKENDS"""
    description: str
    """for people, e.g. OpenVINO 2026.4.1 bf16 on CPU, 2 threads"""
    inputs: Mapping[str, TensorInfo]
    outputs: Mapping[str, TensorInfo]
    metadata: Mapping[str, str]
    """the model's custom metadata"""

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Run the model once; the caller owns the outputs.

        Raises ModelError on a wrong name, shape or dtype and where the library fails.
        """

    def close(self) -> None:
        """Free the model."""


@runtime_checkable
class ParallelBackend(Protocol):
    """A backend whose runs may come from several threads at once."""

    def spread(self, runs: int) -> None:
        """Give each of so many runs at once its share of the threads; before the first run.

        Large inputs (tensors.runs_alone) still have one run at a time, with that share.
        """


@runtime_checkable
class PixelBackend(Protocol):
    """A backend whose `run` takes images as they are where a model reads floats."""

    def takes_pixels(self, name: str) -> bool:
        """Whether an input of (1, C, H, W) floats in [0, 1] may be a (1, H, W, C) uint8 image instead."""


class BackendStatus(NamedTuple):
    """Whether a backend can run here.

    detail: the library's version, empty where it has none; or the reason and how to fix it.
    """

    usable: bool
    detail: str
