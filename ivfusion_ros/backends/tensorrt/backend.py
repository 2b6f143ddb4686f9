"""TensorRT on an NVIDIA GPU, also TensorRT for RTX: an engine per model and image size, built where it is
missing.

Building takes seconds on a desktop and minutes on a Jetson; `ivfusion engine` does it beforehand. Precision
auto is half where that passes its self-test, f32 is f32 without TF32.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx

from ivfusion_ros.backends import cuda
from ivfusion_ros.backends.tensorrt.library import Library, load_library
from ivfusion_ros.backends.tensorrt.make import Engine, EngineBuilder
from ivfusion_ros.backends.tensorrt.session import DeviceArray, Lane, Session
from ivfusion_ros.backends.tensors import Array, TensorInfo, checked_inputs
from ivfusion_ros.errors import BackendError, ModelError
from ivfusion_ros.graphs.onnx_file import read_metadata, read_model
from ivfusion_ros.graphs.task import fixed_network_size, task_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ivfusion_ros.types import Size

log = logging.getLogger(__name__)

_MAX_SIZES = 4
"""Image sizes whose engines are kept on the GPU: a robot has one, a folder of mixed sizes must not fill
it."""


def usable_version() -> str:
    """TensorRT's version where it can run here. Raises BackendError with what is missing."""
    library = load_library()
    EngineBuilder.here(library, cuda.find_gpu())
    return f"{library.title.removesuffix(library.version).strip()} {library.version}"


class TensorRtBackend:
    """A model in TensorRT (see Backend and DeviceBackend).

    threads is of no meaning here. For a detector, run() takes what run_image() does, under the name of the
    model's input.
    """

    name = "tensorrt"

    def __init__(self, model_path: Path, *, precision: str, threads: int) -> None:  # noqa: ARG002 (every backend has it)
        self.metadata: Mapping[str, str] = read_metadata(model_path)
        self._path, self._half = model_path, precision == "auto"
        self._library: Library = load_library()
        gpu = cuda.find_gpu()
        self._builder = EngineBuilder.here(self._library, gpu)
        model = read_model(model_path)
        self._task = task_of(model)
        self.inputs: Mapping[str, TensorInfo] = _infos(model, model.graph.input)
        self.outputs: Mapping[str, TensorInfo] = _infos(model, model.graph.output)
        self.image_size: Size | None = None
        if self._task == "detection":
            self.image_size = fixed_network_size(model)
            self.inputs = {name: TensorInfo((1, None, None, 3), np.dtype(np.uint8)) for name in self.inputs}
        self.resident: Mapping[str, DeviceArray] = {}
        self._lane: Lane | None = Lane()
        self._owns_lane = True
        self._sessions: OrderedDict[Size, Session] = OrderedDict()
        self._followers: list[TensorRtBackend] = []
        self._ahead: tuple[int, int] | None = None
        kind = "f16" if self._half else "f32"
        self.description = f"{self._library.title} {kind} on {gpu.name}"

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """See Backend.run; the first run of a size takes the engine from the cache, or builds it."""
        arrays = checked_inputs(inputs, self.inputs, self._path.name)
        height, width = next(iter(arrays.values())).shape[1:3]
        session = self._session((width, height))
        self._fit(arrays, session)
        self._ahead = None
        self.resident = session.launch(arrays)
        for follower in self._followers:
            follower._start_on(self.resident)
        return session.fetch()

    def run_image(self, image: Array, resident: Any = None) -> dict[str, Array]:
        """See DeviceBackend.run_image."""
        name = next(iter(self.inputs))
        if not isinstance(resident, DeviceArray) or resident.lane is not self._lane:
            return self.run({name: image})
        session = self._session((image.shape[2], image.shape[1]))
        if self._ahead != resident.run:
            self.resident = session.launch({next(iter(session.inputs)): resident})
        self._ahead = None
        return session.fetch()

    def follow(self, leader: Any) -> None:
        """See DeviceBackend.follow; a leader that is no TensorRT backend has nothing to follow."""
        if isinstance(leader, TensorRtBackend) and leader._lane is not None:
            self.close()
            self._lane, self._owns_lane = leader._lane, False
            leader._followers.append(self)

    def close(self) -> None:
        """See Backend.close."""
        # Those that share the lane must not use it after it is given back.
        for follower in self._followers:
            follower.close()
        self._followers.clear()
        for session in self._sessions.values():
            session.close()
        self._sessions.clear()
        self.resident = {}
        if self._lane is not None and self._owns_lane:
            self._lane.free()
        self._lane = None

    def _start_on(self, images: Mapping[str, DeviceArray]) -> None:
        """Launch on the leader's image. What fails here fails again in run_image, which can say so."""
        image = next(iter(images.values()))
        shape = image.info.shape or ()
        session = self._sessions.get((shape[2] or 0, shape[1] or 0)) if len(shape) == 4 else None
        # The first image of a size goes the slow way, as its engine may have to be built.
        if session is None:
            return
        try:
            self.resident = session.launch({next(iter(session.inputs)): image})
            self._ahead = image.run
        except (ModelError, BackendError) as error:
            log.debug("%s did not start ahead: %s", self._path.name, error)

    def _session(self, size: Size) -> Session:
        if self._lane is None:
            raise BackendError(f"{self._path.name} was closed and cannot run")
        if size in self._sessions:
            self._sessions.move_to_end(size)
            return self._sessions[size]
        if len(self._sessions) == _MAX_SIZES:
            self._sessions.popitem(last=False)[1].close()
        self._sessions[size] = self._load(size, self._lane)
        return self._sessions[size]

    def _load(self, size: Size, lane: Lane) -> Session:
        """A session of the cached engine; one that TensorRT refuses all the same is built again, once."""
        engine = self._engine(size)
        try:
            return self._start(engine, lane)
        except ModelError as error:
            log.warning("rebuilding %s: %s", engine.path.name, error)
        return self._start(self._engine(size, rebuild=True), lane)

    def _engine(self, size: Size, rebuild: bool = False) -> Engine:
        engine = self._builder.engine(self._path, size, half=self._half, rebuild=rebuild)
        if engine.record.fallback:
            log.warning("%s runs in %s: %s", self._path.name, engine.record.runs_in, engine.record.fallback)
        return engine

    def _start(self, engine: Engine, lane: Lane) -> Session:
        return Session(engine.plan, self._library, lane, engine.kernels)

    def _fit(self, arrays: dict[str, Array], session: Session) -> None:
        """Names as in the engine, whose image input of a detector has another name; shapes that agree."""
        if self._task == "detection":
            arrays[next(iter(session.inputs))] = arrays.pop(next(iter(self.inputs)))
        for name, info in session.inputs.items():
            if not info.accepts(arrays[name]):
                found = f"{arrays[name].dtype} {arrays[name].shape}"
                raise ModelError(
                    f"TensorRT cannot run {self._path.name}: {name} is {found}, expected {info}"
                )


def _infos(model: onnx.ModelProto, values: Any) -> dict[str, TensorInfo]:
    weights = {item.name for item in model.graph.initializer}
    return {value.name: _info(value) for value in values if value.name not in weights}


def _info(value: onnx.ValueInfoProto) -> TensorInfo:
    kind = value.type.tensor_type
    shape = tuple(side.dim_value or None for side in kind.shape.dim)
    return TensorInfo(shape, np.dtype(onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type)))
