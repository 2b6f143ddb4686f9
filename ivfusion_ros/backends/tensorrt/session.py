"""A plan on the GPU: its buffers, its streams, and one CUDA graph that is all of a run but the copies.

A run is: images into pinned memory, up on a stream of their own, the graph, down on a third stream, out of
pinned memory. Several sessions may share a lane, the three streams: then a session can follow another one
and read its output where it lies, while that output is still being copied to the host.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ivfusion_ros.backends import cuda
from ivfusion_ros.backends.tensorrt.library import Library, make_logger, reason
from ivfusion_ros.backends.tensors import Array, TensorInfo
from ivfusion_ros.errors import BackendError, ModelError
from ivfusion_ros.files import write_whole

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

log = logging.getLogger(__name__)

_WARM_UPS = 3
"""Runs before the graph is recorded: TensorRT allocates, and RTX compiles, in the first ones."""


class Lane:
    """Streams for up, compute and down. Sessions on one lane compute one after the other."""

    def __init__(self) -> None:
        self.up, self.compute, self.down = cuda.Stream(), cuda.Stream(), cuda.Stream()

    def free(self) -> None:
        """Give the streams back; no session may use them any more."""
        for stream in (self.up, self.compute, self.down):
            stream.free()


@dataclass(frozen=True)
class DeviceArray:
    """An output that stays on the GPU until its session runs again.

    Only sessions of the same lane may read it: they compute after what has written it.
    """

    info: TensorInfo
    memory: cuda.DeviceMemory
    lane: Lane
    run: tuple[int, int]
    """session and number of the run that wrote it"""


class Session:
    """One plan, ready to run. It serves one thread at a time; close it when done."""

    def __init__(self, plan: bytes, library: Library, lane: Lane, kernels: Path | None = None) -> None:
        """Put the plan on the GPU. kernels: file for what TensorRT for RTX compiles.

        Raises ModelError where TensorRT refuses the plan, BackendError where CUDA fails.
        """
        self._trt, self._lane, self._kernels = library.module, lane, kernels
        self._logger = make_logger(library.module)
        self._runtime = self._trt.Runtime(self._logger)
        self._engine = self._runtime.deserialize_cuda_engine(plan)
        if self._engine is None:
            raise ModelError(f"{library.title} refuses the engine: {reason(self._logger)}")
        self.inputs: dict[str, TensorInfo] = {}
        self.outputs: dict[str, TensorInfo] = {}
        self._sort_tensors()
        self._kernel_cache: Any = None
        self._context = self._make_context(library)
        self._host: dict[str, cuda.HostArray] = {}
        self._device: dict[str, cuda.DeviceMemory] = {}
        self._graph: cuda.Graph | None = None
        self._captures = True
        self._runs = 0
        self._uploaded, self._computed, self._downloaded = cuda.Event(), cuda.Event(), cuda.Event()
        self._allocate()

    def launch(self, inputs: Mapping[str, Array | DeviceArray]) -> dict[str, DeviceArray]:
        """Start a run; returns at once. Inputs fit self.inputs. Raises ModelError, BackendError.

        The outputs are on the device, in the order of the lane; fetch() gives them on the host.
        """
        lane = self._lane
        # A run whose outputs nobody fetched may still be under way.
        self._uploaded.synchronize()
        self._computed.block(lane.up)
        self._downloaded.block(lane.compute)
        for name, value in inputs.items():
            if isinstance(value, DeviceArray):
                # A copy within the GPU takes microseconds, and the graph keeps its addresses.
                lane.compute.copy(self._device[name], value.memory)
            else:
                np.copyto(self._host[name].array, value)
                lane.up.upload(self._device[name], self._host[name])
        self._uploaded.record(lane.up)
        self._uploaded.block(lane.compute)
        self._compute()
        self._computed.record(lane.compute)
        self._computed.block(lane.down)
        for name in self.outputs:
            lane.down.download(self._host[name], self._device[name])
        self._downloaded.record(lane.down)
        self._runs += 1
        return {
            name: DeviceArray(info, self._device[name], lane, (id(self), self._runs))
            for name, info in self.outputs.items()
        }

    def fetch(self) -> dict[str, Array]:
        """Wait for the run that was launched last; copies of its outputs."""
        self._downloaded.synchronize()
        return {name: self._host[name].array.copy() for name in self.outputs}

    def close(self) -> None:
        """Free everything on the GPU."""
        self._lane.compute.synchronize()
        self._lane.down.synchronize()
        parts = [self._graph, self._uploaded, self._computed, self._downloaded]
        for part in (*parts, *self._host.values(), *self._device.values()):
            if part is not None:
                part.free()
        self._graph = None
        self._host.clear()
        self._device.clear()
        # In this order: a context needs its engine, an engine its runtime.
        self._context = self._engine = self._runtime = None

    def _sort_tensors(self) -> None:
        engine, trt = self._engine, self._trt
        for index in range(engine.num_io_tensors):
            name = engine.get_tensor_name(index)
            dtype = np.dtype(trt.nptype(engine.get_tensor_dtype(name)))
            info = TensorInfo(tuple(engine.get_tensor_shape(name)), dtype)
            is_input = engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT
            (self.inputs if is_input else self.outputs)[name] = info

    def _make_context(self, library: Library) -> Any:
        if not library.is_rtx:
            context = self._engine.create_execution_context()
        else:
            config = self._engine.create_runtime_config()
            managed = self._trt.ExecutionContextAllocationStrategy.USER_MANAGED
            config.set_execution_context_allocation_strategy(managed)
            self._kernel_cache = config.create_runtime_cache()
            if self._kernels is not None and self._kernels.is_file():
                # Kernels of another driver or GPU are refused, and compiled again.
                self._kernel_cache.deserialize(self._kernels.read_bytes())
            config.set_runtime_cache(self._kernel_cache)
            context = self._engine.create_execution_context(config)
        if context is None:
            raise ModelError(f"{library.title} cannot run the engine: {reason(self._logger)}")
        return context

    def _allocate(self) -> None:
        for name, info in (self.inputs | self.outputs).items():
            shape = tuple(side or 0 for side in info.shape or ())
            self._host[name] = cuda.HostArray(shape, info.dtype)
            self._device[name] = cuda.DeviceMemory(self._host[name].size)
            self._context.set_tensor_address(name, self._device[name].address)
        if self._kernel_cache is not None:
            size = int(self._engine.device_memory_size_v2)
            # Its name cannot be that of a tensor, which ONNX does not leave empty.
            self._device[""] = cuda.DeviceMemory(size)
            self._context.set_device_memory(self._device[""].address, size)

    def _compute(self) -> None:
        if self._graph is None and self._captures and self._runs >= _WARM_UPS:
            self._capture()
        if self._graph is not None:
            self._graph.launch(self._lane.compute)
        else:
            self._enqueue()

    def _enqueue(self) -> None:
        if not self._context.execute_async_v3(self._lane.compute.address):
            raise ModelError(f"TensorRT cannot run the engine: {reason(self._logger)}")

    def _capture(self) -> None:
        try:
            self._graph = cuda.Graph(self._lane.compute, self._enqueue)
        except (BackendError, ModelError) as error:
            self._captures = False
            log.warning("the engine runs without a CUDA graph, which costs some time: %s", error)
        if self._kernel_cache is not None and self._kernels is not None:
            try:
                write_whole(self._kernels, bytes(self._kernel_cache.serialize()))
            except OSError as error:
                log.warning("kernels are not kept in %s: %s", self._kernels, error.strerror)
