"""The few calls of CUDA that run an engine: a GPU, memory on both sides, streams, events, graphs.

They go through NVIDIA's `cuda-bindings` (30 MB; torch with CUDA takes gigabytes), which is imported on
first use. CUDA's runtime keeps to the device's primary context, so TensorRT and torch in one process share
memory with this. Every failure is a BackendError that names the call; after one that CUDA calls sticky, all
calls of this process fail, and it is a DeviceLostError.
"""

from __future__ import annotations

import ctypes
import logging
import math
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ivfusion_ros.errors import BackendError, DeviceLostError

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger(__name__)

INSTALL = "pip install cuda-bindings (on JetPack 6: pip install 'cuda-bindings<13')"

STICKY = frozenset({214, 220, 226, 700, 702, 709, 710, *range(714, 720), 721})
"""cudaError_t after which, by its documentation, "the process must be terminated and relaunched": memory
that ECC cannot correct, illegal and misaligned addresses, launches that failed or took too long."""

LOST = "the GPU is lost to this process, which has to be started anew"


@dataclass(frozen=True)
class Gpu:
    """The first NVIDIA GPU.

    driver_cuda: (major, minor) of the newest CUDA that its driver runs. unified: whether it has no memory
    but the host's, as on a Jetson.
    """

    name: str
    capability: tuple[int, int]
    memory_bytes: int
    driver_cuda: tuple[int, int]
    unified: bool = False


def find_gpu() -> Gpu:
    """The GPU that engines run on. Raises BackendError where there is none, or no way to it."""
    runtime = bindings()
    version = int(call("cudaDriverGetVersion"))
    if version == 0:
        raise BackendError(
            "there is no NVIDIA driver on this machine, or it is not passed to the container"
        )
    own = int(call("cudaRuntimeGetVersion")) if hasattr(runtime, "cudaRuntimeGetVersion") else version
    if version // 1000 < own // 1000:
        raise BackendError(
            f"cuda-bindings is for CUDA {_pair(own)}, the driver runs CUDA up to {_pair(version)}; "
            f"run: pip install 'cuda-bindings<{own // 1000}', or update the driver"
        )
    if int(call("cudaGetDeviceCount")) == 0:
        raise BackendError("there is no NVIDIA GPU on this machine")
    properties = call("cudaGetDeviceProperties", 0)
    name = properties.name.decode() if isinstance(properties.name, bytes) else str(properties.name)
    return Gpu(
        name.rstrip("\0"),
        (int(properties.major), int(properties.minor)),
        int(properties.totalGlobalMem),
        _pair_of(version),
        bool(properties.integrated),
    )


def _pair_of(version: int) -> tuple[int, int]:
    return version // 1000, version % 1000 // 10


def _pair(version: int) -> str:
    return ".".join(map(str, _pair_of(version)))


class Owned(ExitStack):
    """Parts on the GPU, given back in reverse order, the others too where one cannot be.

    A constructor takes its parts in a `with` that ends by pop_all(): where one cannot be had, the first
    ones are given back.
    """

    def own(self, part: Any) -> Any:
        """Keep a part, which has free(), until the end; returns it."""
        self.callback(part.free)
        return part

    def free(self) -> None:
        """Give all back. What fails is logged: there is nothing that a caller could do about it."""
        try:
            self.close()
        except BackendError as error:
            log.warning("not all of the GPU's memory was given back: %s", error)


class HostArray:
    """A numpy array in pinned memory, which the GPU copies from and to by itself."""

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self.size = max(1, math.prod(shape) * dtype.itemsize)
        self.address = int(call("cudaMallocHost", self.size))
        view = memoryview((ctypes.c_ubyte * self.size).from_address(self.address))
        self.array = np.frombuffer(view, dtype, math.prod(shape)).reshape(shape)

    def free(self) -> None:
        """Give the memory back; the array must not be used any more."""
        call("cudaFreeHost", self.address)


class DeviceMemory:
    """Memory of the GPU, in bytes."""

    def __init__(self, size: int) -> None:
        self.size = max(1, size)
        self.address = int(call("cudaMalloc", self.size))

    def free(self) -> None:
        """Give the memory back."""
        call("cudaFree", self.address)


class MappedMemory:
    """A host array as the GPU sees it: no memory of its own, and nothing to give back."""

    def __init__(self, host: HostArray) -> None:
        self.size = host.size
        self.address = int(call("cudaHostGetDevicePointer", host.address, 0))


class Memory(Protocol):
    """What the GPU computes in: size in bytes, and address."""

    size: int
    address: int


class Event:
    """A mark in a stream that others wait for; the CPU sleeps meanwhile, instead of spinning."""

    def __init__(self) -> None:
        flags = int(bindings().cudaEventDisableTiming) | int(bindings().cudaEventBlockingSync)
        self._handle = call("cudaEventCreateWithFlags", flags)

    def record(self, stream: Stream) -> None:
        """Set the mark behind all that the stream has been given so far."""
        call("cudaEventRecord", self._handle, stream.handle)

    def synchronize(self) -> None:
        """Wait on the CPU until the mark is reached."""
        call("cudaEventSynchronize", self._handle)

    def block(self, stream: Stream) -> None:
        """Let the stream wait for the mark, not the CPU."""
        call("cudaStreamWaitEvent", stream.handle, self._handle, 0)

    def free(self) -> None:
        """Give it back."""
        call("cudaEventDestroy", self._handle)


class Graph:
    """What a stream was given, recorded once and launched at a fraction of the cost."""

    def __init__(self, stream: Stream, work: Callable[[], None]) -> None:
        runtime = bindings()
        mode = runtime.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        call("cudaStreamBeginCapture", stream.handle, mode)
        try:
            work()
        except BaseException:
            _abandon(stream)
            raise
        graph = call("cudaStreamEndCapture", stream.handle)
        try:
            self._executable = call("cudaGraphInstantiate", graph, 0)
        finally:
            call("cudaGraphDestroy", graph)

    def launch(self, stream: Stream) -> None:
        """Run it once, in the order of the stream."""
        call("cudaGraphLaunch", self._executable, stream.handle)

    def free(self) -> None:
        """Give it back."""
        call("cudaGraphExecDestroy", self._executable)


class Stream:
    """A queue of work on the GPU, independent of the default one."""

    def __init__(self) -> None:
        self.handle = call("cudaStreamCreateWithFlags", bindings().cudaStreamNonBlocking)

    @property
    def address(self) -> int:
        """The stream as TensorRT takes it."""
        return int(self.handle)

    def upload(self, target: Memory, source: HostArray) -> None:
        """Copy host to device, in the order of the stream."""
        self._copy(target.address, source.address, source.size, "cudaMemcpyHostToDevice")

    def download(self, target: HostArray, source: Memory) -> None:
        """Copy device to host, in the order of the stream."""
        self._copy(target.address, source.address, target.size, "cudaMemcpyDeviceToHost")

    def copy(self, target: Memory, source: Memory) -> None:
        """Copy on the device, in the order of the stream."""
        # Mapped memory is the host's; CUDA tells by the addresses.
        self._copy(target.address, source.address, target.size, "cudaMemcpyDefault")

    def synchronize(self) -> None:
        """Wait on the CPU until all work is done."""
        call("cudaStreamSynchronize", self.handle)

    def free(self) -> None:
        """Give it back."""
        call("cudaStreamDestroy", self.handle)

    def _copy(self, target: int, source: int, size: int, kind: str) -> None:
        call("cudaMemcpyAsync", target, source, size, getattr(bindings().cudaMemcpyKind, kind), self.handle)


def _abandon(stream: Stream) -> None:
    """End a recording that failed, so that the stream can be used again; what failed is known already."""
    try:
        graph = call("cudaStreamEndCapture", stream.handle)
        if graph is not None and int(graph):
            call("cudaGraphDestroy", graph)
    except DeviceLostError:
        raise
    except BackendError as error:
        log.debug("the recording was invalid: %s", error)


@cache
def bindings() -> Any:
    """CUDA's runtime in Python. Raises BackendError where it is missing."""
    try:
        from cuda.bindings import runtime
    except (ImportError, OSError, RuntimeError) as error:
        raise BackendError(f"CUDA cannot be called from Python ({error}); run: {INSTALL}") from error
    return runtime


def call(name: str, *arguments: Any) -> Any:
    """Call the CUDA runtime; what it returns after its status. Raises BackendError, DeviceLostError."""
    runtime = bindings()
    status, *results = getattr(runtime, name)(*arguments)
    if int(status) == 0:
        return results[0] if results else None
    what = f"CUDA: {name} failed with {getattr(status, 'name', status)}"
    if int(status) in STICKY:
        raise DeviceLostError(f"{what}; {LOST}")
    # Else a later call of another library would find this one's error, and fail for it.
    runtime.cudaGetLastError()
    raise BackendError(what)
