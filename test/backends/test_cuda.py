"""The calls of CUDA: what is said where there is no GPU, and that the bindings take our arguments."""

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest

from ivfusion_ros.backends import cuda
from ivfusion_ros.errors import BackendError


class Runtime:
    """A CUDA runtime as cuda-bindings has it, with a GPU."""

    driver, own, count = 13000, 13050, 1

    def cudaDriverGetVersion(self) -> tuple:
        return 0, self.driver

    def cudaRuntimeGetVersion(self) -> tuple:
        return 0, self.own

    def cudaGetDeviceCount(self) -> tuple:
        return 0, self.count

    def cudaGetDeviceProperties(self, device: int) -> tuple:
        assert device == 0
        return 0, SimpleNamespace(name=b"Orin\0\0", major=8, minor=7, totalGlobalMem=2**35)


def test_a_gpu_is_described(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda, "bindings", Runtime)
    assert cuda.find_gpu() == cuda.Gpu("Orin", (8, 7), 2**35, (13, 0))


@pytest.mark.parametrize(
    ("found", "message"),
    [
        ({"driver": 0}, "there is no NVIDIA driver on this machine"),
        ({"driver": 12060}, r"is for CUDA 13.5, the driver runs CUDA up to 12.6.*'cuda-bindings<13'"),
        ({"count": 0}, "there is no NVIDIA GPU on this machine"),
    ],
)
def test_what_is_missing_is_named(found: dict, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda, "bindings", type("Other", (Runtime,), found))
    with pytest.raises(BackendError, match=message):
        cuda.find_gpu()


def test_a_failed_call_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    class Status(int):
        name = "cudaErrorMemoryAllocation"

    monkeypatch.setattr(
        cuda, "bindings", lambda: SimpleNamespace(cudaMalloc=lambda size: (Status(2), None))
    )
    with pytest.raises(BackendError, match="CUDA: cudaMalloc failed with cudaErrorMemoryAllocation"):
        cuda.DeviceMemory(16)


def made(kind: type, **members: object) -> object:
    """An object as its constructor would leave it on a machine with a GPU."""
    thing = kind.__new__(kind)
    vars(thing).update(members)
    return thing


def calls(runtime: SimpleNamespace) -> dict[str, Callable[[], object]]:
    stream = made(cuda.Stream, handle=runtime.cudaStream_t(0))
    event = made(cuda.Event, _handle=runtime.cudaEvent_t(0))
    graph = made(cuda.Graph, _executable=runtime.cudaGraphExec_t(0))
    memory = made(cuda.DeviceMemory, address=4096, size=16)
    host = made(cuda.HostArray, address=8192, size=16)
    return {
        "pinned memory": lambda: cuda.HostArray((2, 3), np.dtype(np.uint8)),
        "memory": lambda: cuda.DeviceMemory(16),
        "event": cuda.Event,
        "stream": cuda.Stream,
        "upload": lambda: stream.upload(memory, host),
        "download": lambda: stream.download(host, memory),
        "copy": lambda: stream.copy(memory, memory),
        "wait for stream": stream.synchronize,
        "record": lambda: event.record(stream),
        "wait for event": event.synchronize,
        "block": lambda: event.block(stream),
        "begin recording": lambda: cuda.Graph(stream, lambda: None),
        "end recording": lambda: cuda.call("cudaStreamEndCapture", stream.handle),
        "make executable": lambda: cuda.call("cudaGraphInstantiate", runtime.cudaGraph_t(0), 0),
        "drop recording": lambda: cuda.call("cudaGraphDestroy", runtime.cudaGraph_t(0)),
        "launch": lambda: graph.launch(stream),
        **{f"free {part}": part.free for part in (graph, event, stream, memory, host)},
    }


def test_the_bindings_take_our_arguments() -> None:
    """Without a GPU each call fails by its status; a wrong argument would be a TypeError."""
    runtime = pytest.importorskip("cuda.bindings.runtime")
    try:
        cuda.find_gpu()
    except BackendError:
        for name, call in calls(runtime).items():
            with pytest.raises(BackendError, match="CUDA: cuda"):
                call()
                pytest.fail(name)
        return
    pytest.skip("there is a GPU, on which invented handles are not for use")


@pytest.mark.gpu
def test_on_a_gpu_bytes_come_back() -> None:
    try:
        cuda.find_gpu()
    except BackendError as error:
        pytest.skip(str(error))
    up, down = (cuda.HostArray((1000,), np.dtype(np.uint8)) for _ in range(2))
    first, second, stream = cuda.DeviceMemory(1000), cuda.DeviceMemory(1000), cuda.Stream()
    recording = cuda.Graph(stream, lambda: stream.copy(second, first))
    for seed in range(3):
        up.array[:] = np.random.default_rng(seed).integers(0, 256, 1000)
        stream.upload(first, up)
        recording.launch(stream)
        stream.download(down, second)
        stream.synchronize()
        assert np.array_equal(up.array, down.array)
    for part in (recording, stream, first, second, up, down):
        part.free()
