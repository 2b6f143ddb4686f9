"""What a backend on a GPU offers in addition to Backend: arrays that need not come back to the host.

A fused image that stays on the GPU spares the detector its way up, and lets it start while the image is
still on its way down. Backends on a CPU have none of this, and nothing asks them for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ivfusion_ros.backends.tensors import Array
    from ivfusion_ros.types import Size


@runtime_checkable
class DeviceBackend(Protocol):
    """A backend that keeps its outputs on the GPU, and takes a detector's image as it is."""

    image_size: Size | None
    """(width, height) that a detector's network works at, None where that goes by the image"""
    resident: Mapping[str, Any]
    """outputs of the last run, on the GPU until the next one"""

    def run_image(self, image: Array, resident: Any = None) -> dict[str, Array]:
        """Run a detector on a (1, H, W, 3) uint8 RGB image, which it fits into its input by itself.

        resident: the same image as an entry of another backend's `resident`, where there is one.
        Raises ModelError, BackendError.
        """

    def kept_sizes(self) -> list[Size]:
        """(width, height) of images for which this machine has kept what runs the model, newest first."""

    def follow(self, leader: Any) -> None:
        """Start on the leader's image as soon as that is computed, in the expectation of run_image with
        it."""
