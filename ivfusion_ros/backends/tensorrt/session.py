"""A plan with its buffers and streams: images go up, are computed on, and come down.

A run is: images into pinned memory, up on a stream of their own, the plan, down on a third stream, out of
pinned memory; where host and GPU have one memory, nothing goes up or down. Several sessions may share a
lane, the three streams: then a session can follow another one and read its output where it lies, while that
output is still being copied to the host.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ivfusion_ros.backends import cuda
from ivfusion_ros.backends.ranges import ranged
from ivfusion_ros.backends.tensorrt.buffers import Copied, Shared
from ivfusion_ros.backends.tensorrt.execution import Execution
from ivfusion_ros.backends.tensors import Array, TensorInfo

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ivfusion_ros.backends.tensorrt.library import Library


class Lane:
    """Streams for up, compute and down. Sessions on one lane compute one after the other."""

    def __init__(self) -> None:
        with cuda.Owned() as taken:
            self.up, self.compute, self.down = (taken.own(cuda.Stream()) for _ in range(3))
            self._owned = taken.pop_all()

    def free(self) -> None:
        """Give the streams back; no session may use them any more."""
        self._owned.free()


@dataclass(frozen=True)
class DeviceArray:
    """An output that stays on the GPU until its session runs again.

    Only sessions of the same lane may read it: they compute after what has written it.
    """

    info: TensorInfo
    memory: cuda.Memory
    lane: Lane
    run: tuple[int, int]
    """session and number of the run that wrote it"""


class Session:
    """One plan, ready to run. It serves one thread at a time; close it when done."""

    def __init__(
        self,
        plan: bytes,
        library: Library,
        lane: Lane,
        kernels: Path | None = None,
        *,
        unified: bool = False,
    ) -> None:
        """Put the plan on the GPU; kernels and errors as in Execution. unified: as in cuda.Gpu."""
        self._lane = lane
        self._buffers: dict[str, Copied | Shared] = {}
        self._runs = 0
        with cuda.Owned() as taken:
            self._execution: Execution = taken.own(Execution(plan, library, kernels))
            self.inputs, self.outputs = self._execution.inputs, self._execution.outputs
            for name, info in (self.inputs | self.outputs).items():
                shape = tuple(side or 0 for side in info.shape or ())
                self._buffers[name] = (Shared if unified else Copied)(taken, shape, info.dtype)
                self._execution.bind(name, self._buffers[name].memory)
            self._uploaded, self._computed, self._downloaded = (taken.own(cuda.Event()) for _ in range(3))
            # From here on the arrays of the inputs may be written again.
            self._taken_in = self._computed if unified else self._uploaded
            for stream in (lane.down, lane.compute, lane.up):
                taken.callback(stream.synchronize)
            self._owned = taken.pop_all()

    @ranged("launch")
    def launch(self, inputs: Mapping[str, Array | DeviceArray]) -> dict[str, DeviceArray]:
        """Start a run; returns at once. Inputs fit self.inputs. Raises ModelError, BackendError.

        The outputs are on the device, in the order of the lane; fetch() gives them on the host.
        """
        lane = self._lane
        # A run whose outputs nobody fetched may still be under way.
        self._taken_in.synchronize()
        self._computed.block(lane.up)
        self._downloaded.block(lane.compute)
        for name, value in inputs.items():
            if isinstance(value, DeviceArray):
                # A copy within the GPU takes microseconds, and the graph keeps its addresses.
                lane.compute.copy(self._buffers[name].memory, value.memory)
            else:
                np.copyto(self._buffers[name].array, value)
                self._buffers[name].up(lane.up)
        self._uploaded.record(lane.up)
        self._uploaded.block(lane.compute)
        self._execution.run(lane.compute)
        self._computed.record(lane.compute)
        self._computed.block(lane.down)
        for name in self.outputs:
            self._buffers[name].down(lane.down)
        self._downloaded.record(lane.down)
        self._runs += 1
        return {
            name: DeviceArray(info, self._buffers[name].memory, lane, (id(self), self._runs))
            for name, info in self.outputs.items()
        }

    def profile(self, inputs: Mapping[str, Array], runs: int) -> list[tuple[str, float]]:
        """As Execution.profile, on these inputs."""
        self.launch(inputs)
        self.fetch()
        return self._execution.profile(self._lane.compute, runs)

    @ranged("wait for the GPU")
    def fetch(self) -> dict[str, Array]:
        """Wait for the run that was launched last; copies of its outputs."""
        self._downloaded.synchronize()
        return {name: self._buffers[name].array.copy() for name in self.outputs}

    def close(self) -> None:
        """Free everything on the GPU, after the work that is under way."""
        self._owned.free()
        self._buffers.clear()
