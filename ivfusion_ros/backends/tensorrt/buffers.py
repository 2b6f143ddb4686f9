"""Where a tensor lies: once on the host and once on the GPU, or in one memory that both use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ivfusion_ros.backends import cuda

if TYPE_CHECKING:
    import numpy as np

    from ivfusion_ros.backends.tensors import Array


class Copied:
    """Memory of the GPU, and pinned memory on the host that is copied to or from it."""

    def __init__(self, taken: cuda.Owned, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        """taken: gives the memory back. Raises BackendError."""
        self._host: cuda.HostArray = taken.own(cuda.HostArray(shape, dtype))
        self.memory: cuda.Memory = taken.own(cuda.DeviceMemory(self._host.size))
        self.array: Array = self._host.array

    def up(self, stream: cuda.Stream) -> None:
        """Have the GPU see what is in the array, in the order of the stream."""
        stream.upload(self.memory, self._host)

    def down(self, stream: cuda.Stream) -> None:
        """Have the array show what the GPU wrote, in the order of the stream."""
        stream.download(self._host, self.memory)


class Shared:
    """Pinned memory that the GPU reads and writes itself, where both have the same memory (Jetson).

    The array must not be written while a run may read it, which for Copied is the copy alone.
    """

    def __init__(self, taken: cuda.Owned, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        """As Copied."""
        host: cuda.HostArray = taken.own(cuda.HostArray(shape, dtype))
        self.array: Array = host.array
        self.memory: cuda.Memory = cuda.MappedMemory(host)

    def up(self, stream: cuda.Stream) -> None:
        """Nothing is copied."""

    def down(self, stream: cuda.Stream) -> None:
        """Nothing is copied."""
