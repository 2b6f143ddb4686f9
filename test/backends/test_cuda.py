"""The calls of CUDA: what is said where there is no GPU, and that the bindings take our arguments."""

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest

from ivfusion_ros.backends import cuda
from ivfusion_ros.errors import BackendError, DeviceLostError, ModelError


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
        return 0, SimpleNamespace(name=b"Orin\0\0", major=8, minor=7, totalGlobalMem=2**35, integrated=1)


def test_a_gpu_is_described(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda, "bindings", Runtime)
    assert cuda.find_gpu() == cuda.Gpu("Orin", (8, 7), 2**35, (13, 0), unified=True)


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


class Status(int):
    """A cudaError_t."""

    @property
    def name(self) -> str:
        return {2: "cudaErrorMemoryAllocation", 700: "cudaErrorIllegalAddress"}.get(self, f"error {self}")


class Recorder:
    """A CUDA runtime that fails where it is told to, and counts what is alive.

    fails: name of a call to its status. last: what cudaGetLastError would give. captures: whether a stream
    records.
    """

    def __init__(self, **fails: int) -> None:
        self.fails, self.last, self.flags = fails, 0, 0
        self.graphs, self.captures = 0, False
        modes = SimpleNamespace(cudaStreamCaptureModeThreadLocal=1)
        flags = {"cudaEventDisableTiming": 2, "cudaEventBlockingSync": 1}
        vars(self).update(flags, cudaStreamCaptureMode=modes)

    def answer(self, call: str, result: object = None) -> tuple:
        status = Status(self.fails.get(call, 0))
        self.last = int(status) or self.last
        return status, None if status else result

    def cudaGetLastError(self) -> tuple:
        last, self.last = self.last, 0
        return (Status(last),)

    def cudaMalloc(self, size: int) -> tuple:
        return self.answer("cudaMalloc", 4096)

    def cudaEventCreateWithFlags(self, flags: int) -> tuple:
        self.flags = flags
        return self.answer("cudaEventCreateWithFlags", 1)

    def cudaStreamBeginCapture(self, stream: object, mode: int) -> tuple:
        found = self.answer("cudaStreamBeginCapture")
        self.captures = int(found[0]) == 0
        return found

    def cudaStreamEndCapture(self, stream: object) -> tuple:
        found, self.captures = self.answer("cudaStreamEndCapture", 7), False
        self.graphs += found[1] is not None
        return found

    def cudaGraphInstantiate(self, graph: object, flags: int) -> tuple:
        return self.answer("cudaGraphInstantiate", 8)

    def cudaGraphDestroy(self, graph: object) -> tuple:
        self.graphs -= 1
        return self.answer("cudaGraphDestroy")


def install(monkeypatch: pytest.MonkeyPatch, **fails: int) -> Recorder:
    runtime = Recorder(**fails)
    monkeypatch.setattr(cuda, "bindings", lambda: runtime)
    return runtime


def test_a_failed_call_is_named_and_its_error_cleared(monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = install(monkeypatch, cudaMalloc=2)
    with pytest.raises(
        BackendError, match="CUDA: cudaMalloc failed with cudaErrorMemoryAllocation"
    ) as found:
        cuda.DeviceMemory(16)
    assert not isinstance(found.value, DeviceLostError)
    assert runtime.last == 0


def test_a_sticky_error_says_to_start_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, cudaMalloc=700)
    with pytest.raises(DeviceLostError, match=r"cudaErrorIllegalAddress; .* has to be started anew"):
        cuda.DeviceMemory(16)


def test_waiting_for_an_event_does_not_spin(monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = install(monkeypatch)
    cuda.Event()
    assert runtime.flags == 3


@pytest.mark.parametrize(
    ("fails", "message"),
    [
        ({"cudaStreamEndCapture": 901}, "cudaStreamEndCapture failed with error 901"),
        ({"cudaGraphInstantiate": 2}, "cudaGraphInstantiate failed with cudaErrorMemoryAllocation"),
        ({"cudaStreamBeginCapture": 900}, "cudaStreamBeginCapture failed"),
    ],
)
def test_a_failed_recording_leaves_nothing_behind(
    fails: dict[str, int], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = install(monkeypatch, **fails)
    with pytest.raises(BackendError, match=message):
        cuda.Graph(made(cuda.Stream, handle=1), lambda: None)
    assert (runtime.graphs, runtime.last, runtime.captures) == (0, 0, False)


@pytest.mark.parametrize("ends_with", [0, 901])
def test_work_that_fails_while_recorded_says_its_own_reason(
    ends_with: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def work() -> None:
        raise ModelError("TensorRT cannot run the engine")

    runtime = install(monkeypatch, cudaStreamEndCapture=ends_with)
    with pytest.raises(ModelError, match="cannot run the engine"):
        cuda.Graph(made(cuda.Stream, handle=1), work)
    assert (runtime.graphs, runtime.last, runtime.captures) == (0, 0, False)


def test_parts_are_given_back_though_one_fails(caplog: pytest.LogCaptureFixture) -> None:
    given: list[str] = []

    def part(name: str) -> object:
        def free() -> None:
            given.append(name)
            if name == "b":
                raise BackendError("CUDA: cudaFree failed")

        return SimpleNamespace(free=free)

    owned = cuda.Owned()
    for name in "abc":
        owned.own(part(name))
    owned.free()
    assert given == ["c", "b", "a"]
    assert "not all of the GPU's memory was given back: CUDA: cudaFree failed" in caplog.text


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
        "mapped memory": lambda: cuda.MappedMemory(host),
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
