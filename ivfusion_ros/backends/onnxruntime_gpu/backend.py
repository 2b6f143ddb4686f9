"""A model in one of ONNX Runtime's TensorRT providers: compiled for each image size, tested, and kept.

It takes the graph that TensorRT's own backend takes (bytes in, bytes out, the size fixed), keeps what is
compiled by the same rules, and passes the same self-test. Images go up and down with each run: ONNX Runtime
holds streams and memory itself.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections import OrderedDict
from dataclasses import replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import onnx

from ivfusion_ros.backends import cuda
from ivfusion_ros.backends.kept_folder import differences
from ivfusion_ros.backends.onnxruntime_gpu.kept import clear, folder_of, kept_records, read_kept, seal
from ivfusion_ros.backends.onnxruntime_gpu.providers import (
    Provider,
    RtxProvider,
    TensorRtProvider,
    start,
)
from ivfusion_ros.backends.progress import Progress
from ivfusion_ros.backends.self_test import check_half, self_test
from ivfusion_ros.backends.tensorrt.cache import (
    EngineKey,
    EngineRecord,
    engine_folder,
    only_builder,
)
from ivfusion_ros.backends.tensors import Array, TensorInfo, checked_inputs
from ivfusion_ros.errors import BackendError, ModelError
from ivfusion_ros.graphs.byte_input import engine_graph, image_input
from ivfusion_ros.graphs.half import to_half
from ivfusion_ros.graphs.onnx_file import PRECISION_KEY, THERMAL, read_metadata, read_model
from ivfusion_ros.graphs.task import fixed_network_size, task_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import onnxruntime

    from ivfusion_ros.types import Size

log = logging.getLogger(__name__)

_MAX_SIZES = 4
"""Image sizes whose sessions are kept on the GPU."""

_BYTES = np.dtype(np.uint8)
_COLOUR = TensorInfo((1, None, None, 3), _BYTES)
_GREY = TensorInfo((1, None, None), _BYTES)


class ProviderBackend:
    """A model in a provider (see Backend and DeviceBackend); threads is of no meaning here.

    Nothing stays on the GPU for others.
    """

    provider: ClassVar[Provider]
    resident: Mapping[str, Any] = {}

    def __init__(self, model_path: Path, *, precision: str, threads: int) -> None:  # noqa: ARG002 (every backend has it)
        self.name = self.provider.backend
        self.metadata: Mapping[str, str] = read_metadata(model_path)
        if self.metadata.get(PRECISION_KEY) == "int8":
            raise ModelError(
                f"{model_path} is in int8, which is for CPUs; take the model in f32, in half precision for "
                "speed"
            )
        self._path, self._half = model_path, precision == "auto"
        self._gpu, self._version = cuda.find_gpu(), self.provider.version()
        self._model = read_model(model_path)
        self._detects = task_of(self._model) == "detection"
        self.image_size = fixed_network_size(self._model) if self._detects else None
        weights = {item.name for item in self._model.graph.initializer}
        names = [value.name for value in self._model.graph.input if value.name not in weights]
        self.inputs: Mapping[str, TensorInfo] = {
            name: _GREY if name == THERMAL else _COLOUR for name in names
        }
        self.outputs: Mapping[str, TensorInfo] = {
            value.name: _info(value) for value in self._model.graph.output
        }
        self._sessions: OrderedDict[Size, _Session] | None = OrderedDict()
        kind = "f16" if self._half else "f32"
        self.description = f"{self.provider.title} ({self._version}) {kind} on {self._gpu.name}"

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """See Backend.run; the first run of a size takes what is kept, or compiles it."""
        if self._sessions is None:
            raise BackendError(f"{self._path.name} was closed and cannot run")
        arrays = checked_inputs(inputs, self.inputs, self._path.name)
        height, width = next(iter(arrays.values())).shape[1:3]
        if any(array.shape[1:3] != (height, width) for array in arrays.values()):
            sizes = ", ".join(f"{name} {array.shape}" for name, array in arrays.items())
            raise ModelError(f"{self._path.name} was given {sizes}, expected images of one size")
        if self._detects:
            arrays = {image_input(name): array for name, array in arrays.items()}
        return self._session((width, height)).run(arrays)

    def run_image(self, image: Array, resident: Any = None) -> dict[str, Array]:  # noqa: ARG002 (nothing is)
        """See DeviceBackend.run_image."""
        return self.run({next(iter(self.inputs)): image})

    def follow(self, leader: Any) -> None:
        """See DeviceBackend.follow: nothing is ahead of what comes by the host."""

    def kept_sizes(self) -> list[Size]:
        """See DeviceBackend.kept_sizes."""
        wanted, found = self._key((0, 0)), []
        for record in kept_records(engine_folder()):
            if not differences(replace(record.key, size=wanted.size), wanted):
                width, _, height = record.key.size.partition("x")
                found.append((record.built, (int(width), int(height))))
        return [size for _, size in sorted(found, reverse=True)]

    def close(self) -> None:
        """See Backend.close."""
        for session in (self._sessions or {}).values():
            session.close()
        self._sessions = None

    def _session(self, size: Size) -> _Session:
        assert self._sessions is not None
        if size not in self._sessions:
            if len(self._sessions) == _MAX_SIZES:
                self._sessions.popitem(last=False)[1].close()
            self._sessions[size] = self._make(size)
        self._sessions.move_to_end(size)
        return self._sessions[size]

    def _key(self, size: Size) -> EngineKey:
        return EngineKey(
            model_sha256=hashlib.sha256(self._path.read_bytes()).hexdigest(),
            flavour=self.name,
            version=self._version,
            gpu=self._gpu.name,
            capability="{}.{}".format(*self._gpu.capability),
            size=f"{size[0]}x{size[1]}",
            precision="f16" if self._half else "f32",
        )

    def _make(self, size: Size) -> _Session:
        key = self._key(size)
        folder = folder_of(engine_folder(), self._path, key)
        with only_builder(folder):
            kept = read_kept(folder, key)
            if isinstance(kept, EngineRecord):
                graph = to_half(self._model) if self._rounds(kept.runs_in) else self._model
                return _Session(self.provider, graph, size, folder, kept)
            if kept:
                log.info("compiling %s again: %s", folder.name, kept)
            title = f"compiling {self._path.name} at {key.size} by {self.provider.title}"
            log.info("%s; kept in %s", title, folder.parent)
            with Progress(title):
                session = self._compile(size, folder, key)
            log.info("%s: %s", self._path.name, session.record.check)
            return session

    def _rounds(self, runs_in: str) -> bool:
        """Whether the model has to be turned into halves for this precision."""
        return runs_in == "f16" and self.metadata.get(PRECISION_KEY) != "f16"

    def _compile(self, size: Size, folder: Path, key: EngineKey) -> _Session:
        """In half precision where that is asked for and passes its self-test, else in f32."""
        fallback = ""
        if self._rounds(key.precision):
            try:
                half = to_half(self._model)
                outcome = check_half(self._model, half, size)
                if outcome.passed:
                    return self._tested(half, size, folder, _record(key, self._path.name, "f16", ""))
                fallback = f"half precision failed its self-test: {outcome.text}"
            except ModelError as error:
                fallback = str(error)
            log.warning("%s runs in f32: %s", self._path.name, fallback)
        runs_in = self.metadata.get(PRECISION_KEY, "f32")
        return self._tested(self._model, size, folder, _record(key, self._path.name, runs_in, fallback))

    def _tested(self, graph: onnx.ModelProto, size: Size, folder: Path, record: EngineRecord) -> _Session:
        """A session that gives what the model gives in ONNX Runtime on the CPU. Raises ModelError."""
        clear(folder)
        begin_s = time.perf_counter()
        session = _Session(self.provider, graph, size, folder, record)
        seconds = round(time.perf_counter() - begin_s, 2)
        outcome = self_test(self._model, size, session.run)
        if not outcome.passed:
            session.drop()
            clear(folder)
            raise ModelError(f"{self._path.name} in {record.runs_in} failed its self-test: {outcome.text}")
        session.record = seal(folder, replace(record, check=outcome.text, build_seconds=seconds))
        return session


class TensorRtProviderBackend(ProviderBackend):
    """By the provider of onnxruntime-gpu."""

    provider = TensorRtProvider()


class RtxProviderBackend(ProviderBackend):
    """By the plugin for RTX GPUs."""

    provider = RtxProvider()


def usable_tensorrt() -> str:
    """Version of the provider in onnxruntime-gpu. Raises BackendError with what is missing."""
    version = TensorRtProvider().version()
    cuda.find_gpu()
    return version


def usable_rtx() -> str:
    """Version of the plugin for RTX GPUs. Raises BackendError with what is missing."""
    version = RtxProvider().version()
    cuda.find_gpu()
    return version


class _Session:
    """A model in a provider at one image size. record: what its folder is for."""

    def __init__(
        self, provider: Provider, graph: onnx.ModelProto, size: Size, folder: Path, record: EngineRecord
    ) -> None:
        self.record, self._folder, self._title = record, folder, provider.title
        half = record.runs_in == "f16"
        text = engine_graph(graph, size).SerializeToString()
        self._session: onnxruntime.InferenceSession | None = start(provider, text, folder, half=half)
        self._names = [value.name for value in self._session.get_outputs()]

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Inputs and outputs of engine_graph. Raises ModelError."""
        assert self._session is not None
        try:
            outputs = self._session.run(self._names, dict(inputs))
        # ONNX Runtime's errors share no base class but Exception.
        except Exception as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise ModelError(f"{self._title} cannot run {self.record.model}: {reason}") from error
        return dict(zip(self._names, outputs, strict=True))

    def drop(self) -> None:
        """Free it, and leave the folder as it is."""
        self._session = None

    def close(self) -> None:
        """Free it; what the provider writes at its end counts as its own."""
        self.drop()
        try:
            seal(self._folder, self.record)
        except OSError as error:
            log.warning("%s is not kept: %s", self._folder.name, error.strerror)


def _record(key: EngineKey, model: str, runs_in: str, fallback: str) -> EngineRecord:
    built = datetime.now(timezone.utc).isoformat(timespec="seconds")
    return EngineRecord(key, model, runs_in, fallback, "", "", 0, 0.0, built)


def _info(value: onnx.ValueInfoProto) -> TensorInfo:
    kind = value.type.tensor_type
    shape = tuple(side.dim_value or None for side in kind.shape.dim)
    return TensorInfo(shape, np.dtype(onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type)))
