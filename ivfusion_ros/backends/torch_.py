"""torch: this project's fusion networks, rebuilt from their ONNX file; on CUDA where there is a GPU.

The network's name is in the file's metadata and its weights are the initializers, so one file serves all
backends. Other ONNX files, such as detectors, are not for it. On a CPU it is the eager reference that the
other backends are timed against; on a GPU it is the portable way, and what TensorRT is judged by: channels
last, half precision, and a CUDA graph per image size.
"""

from __future__ import annotations

from collections import OrderedDict
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import onnx
import torch

from ivfusion_ros.backends.cuda import LOST, STICKY
from ivfusion_ros.backends.tensors import Array, TensorInfo, checked_inputs
from ivfusion_ros.errors import BackendError, ConfigError, DeviceLostError, ModelError
from ivfusion_ros.graphs.onnx_file import PRECISION_KEY, read_metadata
from ivfusion_ros.networks import make_network
from ivfusion_ros.networks.channels import take_widths
from ivfusion_ros.networks.checkpoint import PREFIX
from ivfusion_ros.networks.graph import COLOUR_KEY, KEEPS_LUMINANCE, NETWORK_KEY, FusionGraph
from ivfusion_ros.types import CAMERAS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

_UINT8 = np.dtype(np.uint8)

_WARM_UPS = 3
"""Runs before a CUDA graph is recorded, in which cuDNN chooses its kernels."""

_MAX_SIZES = 4
"""Image sizes whose graphs are kept: a robot has one, a folder of mixed sizes must not fill the GPU."""


class TorchBackend:
    """A fusion network in torch (see Backend).

    precision auto computes in f16 on a GPU, softmax and sums in f32 by autocast, and in f32 on a CPU; f32
    is without TF32.
    """

    name = "torch"

    def __init__(self, model_path: Path, *, precision: str, threads: int) -> None:
        self.metadata: Mapping[str, str] = read_metadata(model_path)
        self.inputs: Mapping[str, TensorInfo] = {
            "thermal": TensorInfo((1, None, None), _UINT8),
            "rgb": TensorInfo((1, None, None, 3), _UINT8),
        }
        self.outputs: Mapping[str, TensorInfo] = {"fused": TensorInfo((1, None, None, 3), _UINT8)}
        self._name = model_path.name
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        self._half = precision == "auto" and self._device == "cuda"
        if threads:
            torch.set_num_threads(threads)
        self._graph: FusionGraph | None = self._load(model_path).to(self._device)
        if self._device == "cuda":
            self._graph = self._graph.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._recordings: OrderedDict[tuple[int, ...], _Recording] = OrderedDict()
        kind = "f16" if self._half else "f32"
        self.description = f"torch {torch.__version__} {kind} on {self._device}"

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """See Backend.run."""
        if self._graph is None:
            raise BackendError(f"{self._name} was closed and cannot run")
        arrays = checked_inputs(inputs, self.inputs, self._name)
        try:
            fused = self._on_gpu(arrays) if self._device == "cuda" else self._eager(arrays)
        except RuntimeError as error:
            if getattr(error, "error_code", None) in STICKY:
                raise DeviceLostError(f"torch: {error}; {LOST}") from error
            raise ModelError(f"torch cannot run {self._name}: {error}") from error
        return {"fused": fused}

    def close(self) -> None:
        """See Backend.close."""
        self._graph = None
        self._recordings.clear()

    def _eager(self, arrays: dict[str, Array]) -> Array:
        assert self._graph is not None
        # torch cannot wrap a read-only array, as a bag's frames are.
        thermal, rgb = (torch.tensor(arrays[name]) for name in CAMERAS)
        with torch.inference_mode():
            fused: Array = self._graph(thermal, rgb).numpy()
        return fused

    def _on_gpu(self, arrays: dict[str, Array]) -> Array:
        assert self._graph is not None
        shape = arrays["thermal"].shape
        if arrays["rgb"].shape != (*shape, 3):
            raise RuntimeError(f"thermal is {shape}, rgb {arrays['rgb'].shape}; expected one size")
        if shape not in self._recordings:
            if len(self._recordings) == _MAX_SIZES:
                self._recordings.popitem(last=False)
            self._recordings[shape] = _Recording(self._graph, shape, self._half)
        self._recordings.move_to_end(shape)
        return self._recordings[shape](arrays)

    def _load(self, path: Path) -> FusionGraph:
        network_name = self.metadata.get(NETWORK_KEY)
        if network_name is None:
            raise ModelError(
                f"{path} is not a fusion network of this project (its metadata has no {NETWORK_KEY}); "
                "use the onnxruntime or openvino backend for it"
            )
        if self.metadata.get(PRECISION_KEY) == "int8":
            raise ModelError(f"{path} is in int8, which is for OpenVINO on CPUs; take the model in f32")
        try:
            keeps_luminance = self.metadata.get(COLOUR_KEY) == KEEPS_LUMINANCE
            graph = FusionGraph(make_network(network_name), keeps_luminance).eval()
            initializers = onnx.load(path).graph.initializer
            weights = {item.name: torch.tensor(onnx.numpy_helper.to_array(item)) for item in initializers}
            take_widths(
                graph.network, {name.removeprefix(PREFIX): value for name, value in weights.items()}
            )
            known = graph.state_dict().keys()
            graph.load_state_dict({name: value for name, value in weights.items() if name in known})
        except (RuntimeError, ValueError, ConfigError) as error:
            raise ModelError(f"torch cannot load {path} as {network_name}: {error}") from error
        return graph


@contextmanager
def _own_kernels() -> Iterator[None]:
    """cuDNN times its kernels for our sizes and takes the fastest, without TF32; then all is as before."""
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    before = matmul.allow_tf32, cudnn.allow_tf32, cudnn.benchmark
    matmul.allow_tf32, cudnn.allow_tf32, cudnn.benchmark = False, False, True
    try:
        yield
    finally:
        matmul.allow_tf32, cudnn.allow_tf32, cudnn.benchmark = before


class _Recording:
    """A CUDA graph of one image size, with pinned memory on the host's side."""

    def __init__(self, graph: FusionGraph, shape: tuple[int, ...], half: bool) -> None:
        shapes = {"thermal": shape, "rgb": (*shape, 3), "fused": (*shape, 3)}
        self._host = {
            name: torch.empty(side, dtype=torch.uint8, pin_memory=True) for name, side in shapes.items()
        }
        self._inputs = [self._host[name].to("cuda") for name in CAMERAS]
        self._stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        self._recording = torch.cuda.CUDAGraph()
        # The casts of weights that autocast keeps would not outlive a recording.
        casts = torch.autocast("cuda", torch.float16, enabled=half, cache_enabled=False)
        with torch.inference_mode(), casts, _own_kernels(), torch.cuda.stream(self._stream):
            for _ in range(_WARM_UPS):
                graph(*self._inputs)
            self._stream.synchronize()
            # Other threads of the process go on with CUDA meanwhile.
            with torch.cuda.graph(self._recording, stream=self._stream, capture_error_mode="thread_local"):
                self._output = graph(*self._inputs)

    def __call__(self, arrays: Mapping[str, Array]) -> Array:
        with torch.cuda.stream(self._stream):
            for name, target in zip(CAMERAS, self._inputs, strict=True):
                np.copyto(self._host[name].numpy(), arrays[name])
                target.copy_(self._host[name], non_blocking=True)
            self._recording.replay()
            self._host["fused"].copy_(self._output, non_blocking=True)
        self._stream.synchronize()
        return self._host["fused"].numpy().copy()
