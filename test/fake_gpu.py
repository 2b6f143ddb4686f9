"""A GPU and a TensorRT of host memory: what the session does is done for real, but late.

Streams are queues that run only when somebody waits for them, so a missing wait gives wrong bytes. Memory
has addresses, and garbage in it when it is new; given back while work on it waits, it fails the test. Takes
fail when told to, and so does all after a sticky error. A stream that records takes no wait. A plan is an
ONNX file, run by ONNX Runtime.
"""

import ctypes
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import onnx
import onnxruntime
import pytest

from ivfusion_ros.backends import cuda, self_test
from ivfusion_ros.backends.tensorrt import make
from ivfusion_ros.backends.tensorrt.library import Library
from ivfusion_ros.errors import BackendError, DeviceLostError

GPU = cuda.Gpu("NVIDIA Test", (8, 9), 2**33, (13, 0))
JETSON = cuda.Gpu("Orin", (8, 7), 2**35, (12, 6), unified=True)
BROKEN = b"broken"


class Tally:
    """Counts of what happened, and what is not yet given back.

    fails_at: number of the take that fails, counted from 1. lost: whether the GPU is, by a sticky error.
    """

    def __init__(self) -> None:
        self.uploads = self.downloads = self.copies = self.enqueued = self.graphs = self.launches = 0
        self.alive: set[int] = set()
        self.captures = True
        self.taken = self.fails_at = 0
        self.lost = False

    def check(self) -> None:
        if self.lost:
            raise DeviceLostError("CUDA: cudaErrorIllegalAddress")

    def take(self) -> None:
        self.check()
        self.taken += 1
        if self.taken == self.fails_at:
            raise BackendError("CUDA: cudaErrorMemoryAllocation")


TALLY = Tally()


class Resource:
    def __init__(self) -> None:
        TALLY.take()
        TALLY.alive.add(id(self))

    def free(self) -> None:
        TALLY.check()
        assert not any(self in used for stream in Stream.every.values() for used in stream.waiting)
        TALLY.alive.remove(id(self))


class Memory(Resource):
    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = max(1, size)
        self.bytes = np.random.default_rng(0).integers(0, 256, self.size, np.uint8)
        self.address = self.bytes.ctypes.data


class Host(Memory):
    def __init__(self, shape: tuple[int, ...], dtype: np.dtype) -> None:
        super().__init__(int(np.prod(shape)) * dtype.itemsize)
        self.array = self.bytes.view(dtype).reshape(shape)


class Mapped:
    """A host array as the GPU sees it."""

    def __init__(self, host: Host) -> None:
        self.host, self.size, self.address = host, host.size, host.address


class Stream(Resource):
    every: ClassVar[dict[int, "Stream"]] = {}

    def __init__(self) -> None:
        super().__init__()
        self.queue: list = []
        self.uses: list[tuple[Resource, ...]] = []
        self.done = 0
        self.recording: list | None = None
        self.address = id(self)
        Stream.every[self.address] = self

    @property
    def waiting(self) -> list[tuple[Resource, ...]]:
        """What the work that has not run yet reads and writes."""
        return self.uses[self.done :]

    def push(self, work, *uses: Resource) -> None:
        TALLY.check()
        if self.recording is not None:
            self.recording.append(work)
            return
        self.queue.append(work)
        self.uses.append(uses)

    def run(self, until: int) -> None:
        TALLY.check()
        while self.done < until:
            self.done += 1
            self.queue[self.done - 1]()

    def synchronize(self) -> None:
        if self.recording is not None:
            raise BackendError("CUDA: cudaErrorStreamCaptureUnsupported")
        self.run(len(self.queue))

    def _copy(self, target: Memory, source: Memory, size: int) -> None:
        target, source = (getattr(memory, "host", memory) for memory in (target, source))
        assert {id(target), id(source), id(self)} <= TALLY.alive
        self.push(lambda: ctypes.memmove(target.address, source.address, size), target, source)

    def upload(self, target: Memory, source: Host) -> None:
        TALLY.uploads += 1
        self._copy(target, source, source.size)

    def download(self, target: Host, source: Memory) -> None:
        TALLY.downloads += 1
        self._copy(target, source, target.size)

    def copy(self, target: Memory, source: Memory) -> None:
        TALLY.copies += 1
        self._copy(target, source, target.size)


class Event(Resource):
    def __init__(self) -> None:
        super().__init__()
        self.mark: tuple[Stream, int] | None = None

    def record(self, stream: Stream) -> None:
        self.mark = stream, len(stream.queue)

    def synchronize(self) -> None:
        if self.mark is not None:
            self.mark[0].run(self.mark[1])

    def block(self, stream: Stream) -> None:
        if self.mark is not None:
            source, position = self.mark
            stream.push(lambda: source.run(position))


class Graph(Resource):
    def __init__(self, stream: Stream, work) -> None:
        if not TALLY.captures:
            raise BackendError("CUDA: cudaStreamEndCapture failed")
        super().__init__()
        TALLY.graphs += 1
        stream.recording = self.work = []
        try:
            work()
        except BaseException:
            super().free()
            raise
        finally:
            stream.recording = None

    def launch(self, stream: Stream) -> None:
        TALLY.launches += 1
        for work in self.work:
            stream.push(work)


class Logger:
    Severity = SimpleNamespace(ERROR=1, WARNING=2)


class Context:
    def __init__(self, session: onnxruntime.InferenceSession, managed: bool) -> None:
        self.session, self.managed = session, managed
        self.addresses: dict[str, int] = {}
        self.profiler = None

    def set_tensor_address(self, name: str, address: int) -> None:
        self.addresses[name] = address

    def set_device_memory(self, address: int, size: int) -> None:
        assert size == 64
        self.addresses[""] = address

    def execute_async_v3(self, stream: int) -> bool:
        assert "" in self.addresses or not self.managed
        TALLY.enqueued += 1
        Stream.every[stream].push(self.run)
        return True

    def run(self) -> None:
        if self.profiler is not None:
            self.profiler.report_layer_time("first + second", 0.5)
            self.profiler.report_layer_time("third", 0.25)
        inputs = {value.name: self.view(value).copy() for value in self.session.get_inputs()}
        for value, result in zip(self.session.get_outputs(), self.session.run(None, inputs), strict=True):
            np.copyto(self.view(value, result.shape), result)

    def view(self, value: onnxruntime.NodeArg, shape: tuple[int, ...] | None = None) -> np.ndarray:
        dtype = np.dtype("uint8" if "uint8" in value.type else "float32")
        shape = shape or tuple(value.shape)
        size = int(np.prod(shape)) * dtype.itemsize
        memory = (ctypes.c_ubyte * size).from_address(self.addresses[value.name])
        return np.frombuffer(memory, dtype).reshape(shape)


class Engine:
    device_memory_size_v2 = 64

    def __init__(self, plan: bytes) -> None:
        self.session = onnxruntime.InferenceSession(plan)
        values = [*self.session.get_inputs(), *self.session.get_outputs()]
        self.values = {value.name: value for value in values}
        # TensorRT knows the shapes of outputs, ONNX does not always.
        zeros = {
            value.name: np.zeros(value.shape, "uint8" if "uint8" in value.type else "float32")
            for value in self.session.get_inputs()
        }
        self.shapes = {name: zero.shape for name, zero in zeros.items()}
        for value, result in zip(self.session.get_outputs(), self.session.run(None, zeros), strict=True):
            self.shapes[value.name] = result.shape
        self.num_io_tensors = len(values)

    def get_tensor_name(self, index: int) -> str:
        return list(self.values)[index]

    def get_tensor_dtype(self, name: str) -> str:
        return self.values[name].type

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return self.shapes[name]

    def get_tensor_mode(self, name: str) -> str:
        return "in" if name in {value.name for value in self.session.get_inputs()} else "out"

    def create_execution_context(self, config: "RuntimeConfig | None" = None) -> Context:
        return Context(self.session, managed=config is not None)

    def create_runtime_config(self) -> "RuntimeConfig":
        return RuntimeConfig()


class RuntimeConfig:
    """Of TensorRT for RTX, with its cache of kernels."""

    taken: ClassVar[list[bytes]] = []

    def set_execution_context_allocation_strategy(self, strategy: str) -> None:
        assert strategy == "user"

    def create_runtime_cache(self) -> "RuntimeConfig":
        return self

    def set_runtime_cache(self, cache: "RuntimeConfig") -> None:
        assert cache is self

    def deserialize(self, content: bytes) -> bool:
        RuntimeConfig.taken.append(content)
        return True

    def serialize(self) -> bytes:
        return b"kernels"


class Runtime:
    def __init__(self, logger) -> None:
        self.logger = logger

    def deserialize_cuda_engine(self, plan: bytes) -> Engine | None:
        if plan.startswith(BROKEN):
            self.logger.log(1, "Version tag does not match. (In deserialize at x.cpp:1)")
            return None
        return Engine(plan)


TENSORRT = SimpleNamespace(
    ILogger=type("ILogger", (), {"__init__": lambda self: None, "Severity": Logger.Severity}),
    IProfiler=type("IProfiler", (), {"__init__": lambda self: None}),
    Runtime=Runtime,
    ExecutionContextAllocationStrategy=SimpleNamespace(USER_MANAGED="user"),
    TensorIOMode=SimpleNamespace(INPUT="in"),
    nptype=lambda kind: np.uint8 if "uint8" in kind else np.float32,
)
LIBRARY = Library(TENSORRT, "tensorrt", "10.13.0")


def install(monkeypatch: pytest.MonkeyPatch, gpu: cuda.Gpu = GPU) -> Tally:
    """Put the fake in the place of CUDA and TensorRT."""
    from ivfusion_ros.backends.tensorrt import backend

    TALLY.__init__()
    Stream.every.clear()
    fakes = {"Stream": Stream, "Event": Event, "Graph": Graph, "HostArray": Host, "DeviceMemory": Memory}
    for name, fake in (fakes | {"MappedMemory": Mapped, "find_gpu": lambda: gpu}).items():
        monkeypatch.setattr(cuda, name, fake)
    monkeypatch.setattr(backend, "load_library", lambda: LIBRARY)
    monkeypatch.setattr(make, "build_plan", build)
    monkeypatch.setattr(self_test, "sample_pairs", sample_pairs)
    return TALLY


def build(graph: onnx.ModelProto, library: Library, **_: object) -> bytes:
    return graph.SerializeToString()


def sample_pairs(size: tuple[int, int]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Noise for self-tests, in no time."""
    random = np.random.default_rng(0)
    shape = (size[1], size[0])
    return [(random.integers(0, 256, shape, np.uint8), random.integers(0, 256, (*shape, 3), np.uint8))]
