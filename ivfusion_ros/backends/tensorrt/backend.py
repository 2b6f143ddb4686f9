"""TensorRT on an NVIDIA GPU, also TensorRT for RTX: an engine per model and image size, built where it is
missing.

Building takes seconds on a desktop and minutes on a Jetson; `ivfusion engine` does it beforehand. Precision
auto is half where that passes its self-test, f32 is f32 without TF32.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx

from ivfusion_ros.backends import cuda
from ivfusion_ros.backends.layers import Layer
from ivfusion_ros.backends.tensorrt.library import load_library
from ivfusion_ros.backends.tensorrt.make import EngineBuilder
from ivfusion_ros.backends.tensorrt.session import DeviceArray
from ivfusion_ros.backends.tensorrt.sessions import Sessions
from ivfusion_ros.backends.tensors import Array, TensorInfo, checked_inputs
from ivfusion_ros.errors import BackendError, ModelError
from ivfusion_ros.graphs.byte_input import image_input
from ivfusion_ros.graphs.onnx_file import THERMAL, read_metadata, read_model
from ivfusion_ros.graphs.task import fixed_network_size, task_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ivfusion_ros.backends.tensorrt.session import Session
    from ivfusion_ros.types import Size

log = logging.getLogger(__name__)

_BYTES = np.dtype(np.uint8)


def usable_version() -> str:
    """TensorRT's version where it can run here. Raises BackendError with what is missing."""
    library = load_library()
    EngineBuilder.here(library, cuda.find_gpu())
    return f"{library.title.removesuffix(library.version).strip()} {library.version}"


class TensorRtBackend:
    """A model in TensorRT (see Backend and DeviceBackend).

    threads is of no meaning here. For a detector, run() takes what run_image() does, under the name of the
    model's input, and the thermal image as a fusion network does where the detector takes that too.
    """

    name = "tensorrt"

    def __init__(self, model_path: Path, *, precision: str, threads: int) -> None:  # noqa: ARG002 (every backend has it)
        self.metadata: Mapping[str, str] = read_metadata(model_path)
        self._path, self._half = model_path, precision == "auto"
        library, gpu = load_library(), cuda.find_gpu()
        self._builder = EngineBuilder.here(library, gpu)
        model = read_model(model_path)
        self._task = task_of(model)
        self.inputs: Mapping[str, TensorInfo] = _infos(model, model.graph.input)
        self.outputs: Mapping[str, TensorInfo] = _infos(model, model.graph.output)
        self.image_size: Size | None = None
        if self._task == "detection":
            self.image_size = fixed_network_size(model)
            self.inputs = {
                name: TensorInfo((1, None, None) if name == THERMAL else (1, None, None, 3), _BYTES)
                for name in self.inputs
            }
        self.resident: Mapping[str, DeviceArray] = {}
        self._sessions: Sessions | None = Sessions(model_path, self._builder, half=self._half)
        self._followers: list[TensorRtBackend] = []
        self._ahead: tuple[int, int] | None = None
        kind = "f16" if self._half else "f32"
        self.description = f"{library.title} {kind} on {gpu.name}"

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """See Backend.run; the first run of a size takes the engine from the cache, or builds it."""
        arrays, session = self._ready(inputs)
        self._ahead = None
        self.resident = session.launch(arrays)
        for follower in self._followers:
            follower._start_on(self.resident)
        return session.fetch()

    def profile(self, inputs: Mapping[str, Array], runs: int) -> list[Layer]:
        """See ProfilingBackend; the kind of a layer is its name, by which TensorRT says what it joined."""
        arrays, session = self._ready(inputs)
        return [Layer(name, name, elapsed) for name, elapsed in session.profile(arrays, runs)]

    def run_image(self, image: Array, resident: Any = None) -> dict[str, Array]:
        """See DeviceBackend.run_image."""
        name = next(iter(self.inputs))
        lane = self._sessions.lane if self._sessions is not None else None
        if not isinstance(resident, DeviceArray) or resident.lane is not lane:
            return self.run({name: image})
        session = self._session((image.shape[2], image.shape[1]))
        if self._ahead != resident.run:
            self.resident = session.launch({next(iter(session.inputs)): resident})
        self._ahead = None
        return session.fetch()

    def kept_sizes(self) -> list[Size]:
        """See DeviceBackend.kept_sizes."""
        return self._builder.kept_sizes(self._path, half=self._half)

    def follow(self, leader: Any) -> None:
        """See DeviceBackend.follow; a leader that is no TensorRT backend has nothing to follow."""
        if isinstance(leader, TensorRtBackend) and leader._sessions is not None:
            self.close()
            lane = leader._sessions.lane
            self._sessions = Sessions(self._path, self._builder, half=self._half, lane=lane)
            leader._followers.append(self)

    def close(self) -> None:
        """See Backend.close."""
        # Those that share the lane must not use it after it is given back.
        for follower in self._followers:
            follower.close()
        self._followers.clear()
        if self._sessions is not None:
            self._sessions.close()
        self._sessions = None
        self.resident = {}

    def _ready(self, inputs: Mapping[str, Array]) -> tuple[dict[str, Array], Session]:
        arrays = checked_inputs(inputs, self.inputs, self._path.name)
        height, width = next(iter(arrays.values())).shape[1:3]
        session = self._session((width, height))
        self._fit(arrays, session)
        return arrays, session

    def _start_on(self, images: Mapping[str, DeviceArray]) -> None:
        """Launch on the leader's image. What fails here fails again in run_image, which can say so."""
        image = next(iter(images.values()))
        shape = image.info.shape or ()
        if self._sessions is None or len(shape) != 4:
            return
        session = self._sessions.loaded((shape[2] or 0, shape[1] or 0))
        # The first image of a size goes the slow way, as its engine may have to be built. So do images of
        # which there are two: the thermal one comes with run().
        if session is None or len(session.inputs) > 1:
            return
        try:
            self.resident = session.launch({next(iter(session.inputs)): image})
            self._ahead = image.run
        except (ModelError, BackendError) as error:
            log.debug("%s did not start ahead: %s", self._path.name, error)

    def _session(self, size: Size) -> Session:
        if self._sessions is None:
            raise BackendError(f"{self._path.name} was closed and cannot run")
        return self._sessions.load(size)

    def _fit(self, arrays: dict[str, Array], session: Session) -> None:
        """Names as in the engine, whose image inputs of a detector have other names; shapes that agree."""
        if self._task == "detection":
            for name in self.inputs:
                arrays[image_input(name)] = arrays.pop(name)
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
