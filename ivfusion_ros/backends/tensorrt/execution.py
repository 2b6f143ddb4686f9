"""A plan as TensorRT runs it: enqueued call by call at first, then as one CUDA graph."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np

from ivfusion_ros.backends import cuda
from ivfusion_ros.backends.tensorrt.cache import read_beside
from ivfusion_ros.backends.tensorrt.library import Library, make_logger, make_profiler, reason
from ivfusion_ros.backends.tensors import TensorInfo
from ivfusion_ros.errors import BackendError, DeviceLostError, ModelError
from ivfusion_ros.files import write_whole

if TYPE_CHECKING:
    from pathlib import Path

log = logging.getLogger(__name__)

_WARM_UPS = 3
"""Runs before the graph is recorded: TensorRT allocates, and RTX compiles, in the first ones."""


class Execution:
    """A loaded plan. Give each of its tensors memory by bind() before the first run."""

    def __init__(self, plan: bytes, library: Library, kernels: Path | None = None) -> None:
        """Load the plan. kernels: file for what TensorRT for RTX compiles.

        Raises ModelError where TensorRT refuses the plan, BackendError where CUDA fails.
        """
        self._trt, self._kernels = library.module, kernels
        self._logger = make_logger(library.module)
        self._runtime = self._trt.Runtime(self._logger)
        self._engine = self._runtime.deserialize_cuda_engine(plan)
        if self._engine is None:
            raise ModelError(f"{library.title} refuses the engine: {reason(self._logger)}")
        self.inputs: dict[str, TensorInfo] = {}
        self.outputs: dict[str, TensorInfo] = {}
        self._sort_tensors()
        self._kernel_cache: Any = None
        self._graph: cuda.Graph | None = None
        with cuda.Owned() as taken:
            self._context = self._make_context(library, taken)
            taken.callback(self._let_go)
            self._owned = taken.pop_all()
        self._captures = True
        self._runs = 0

    def bind(self, name: str, memory: cuda.Memory) -> None:
        """Where a tensor lies from now on."""
        self._context.set_tensor_address(name, memory.address)

    def run(self, stream: cuda.Stream) -> None:
        """Give one run to the stream, always the same one. Raises ModelError, BackendError."""
        if self._graph is None and self._captures and self._runs >= _WARM_UPS:
            self._capture(stream)
        if self._graph is not None:
            self._graph.launch(stream)
        else:
            self._enqueue(stream)
        self._runs += 1

    def profile(self, stream: cuda.Stream, runs: int) -> list[tuple[str, float]]:
        """Layers by the names that TensorRT gives them, and their mean time in ms, call by call."""
        elapsed_ms: dict[str, float] = {}
        self._context.profiler = make_profiler(self._trt, elapsed_ms)
        try:
            for _ in range(runs):
                self._enqueue(stream)
                stream.synchronize()
        finally:
            self._context.profiler = None
        return [(name, total / runs) for name, total in elapsed_ms.items()]

    def free(self) -> None:
        """Free everything on the GPU; no run may be under way."""
        self._graph = None
        self._owned.free()

    def _let_go(self) -> None:
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

    def _make_context(self, library: Library, taken: cuda.Owned) -> Any:
        if library.is_rtx:
            context = self._engine.create_execution_context(self._rtx_config())
        else:
            context = self._engine.create_execution_context()
        if context is None:
            raise ModelError(f"{library.title} cannot run the engine: {reason(self._logger)}")
        if library.is_rtx:
            size = int(self._engine.device_memory_size_v2)
            context.set_device_memory(taken.own(cuda.DeviceMemory(size)).address, size)
        return context

    def _rtx_config(self) -> Any:
        """Kernels from their file, and memory that is given to the context instead of taken by it."""
        config = self._engine.create_runtime_config()
        managed = self._trt.ExecutionContextAllocationStrategy.USER_MANAGED
        config.set_execution_context_allocation_strategy(managed)
        self._kernel_cache = config.create_runtime_cache()
        if self._kernels is not None and (kernels := read_beside(self._kernels)):
            # Kernels of another driver or GPU are refused, and compiled again.
            self._kernel_cache.deserialize(kernels)
        config.set_runtime_cache(self._kernel_cache)
        return config

    def _enqueue(self, stream: cuda.Stream) -> None:
        if not self._context.execute_async_v3(stream.address):
            raise ModelError(f"TensorRT cannot run the engine: {reason(self._logger)}")

    def _capture(self, stream: cuda.Stream) -> None:
        try:
            self._graph = self._owned.own(cuda.Graph(stream, lambda: self._enqueue(stream)))
        except DeviceLostError:
            raise
        except (BackendError, ModelError) as error:
            self._captures = False
            log.warning("the engine runs without a CUDA graph, which costs some time: %s", error)
        if self._kernel_cache is not None and self._kernels is not None:
            try:
                write_whole(self._kernels, bytes(self._kernel_cache.serialize()))
            except OSError as error:
                log.warning("kernels are not kept in %s: %s", self._kernels, error.strerror)
