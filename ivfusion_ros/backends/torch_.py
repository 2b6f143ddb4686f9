"""torch: this project's fusion networks, rebuilt from their ONNX file; on CUDA where there is a GPU.

The network's name is in the file's metadata and its weights are the initializers, so one file serves all
backends. Other ONNX files, such as detectors, are not for it. On a CPU it is the eager reference that the
other backends are timed against.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import torch

from ivfusion_ros.backends.onnx_file import read_metadata
from ivfusion_ros.backends.tensors import Array, TensorInfo, checked_inputs
from ivfusion_ros.errors import BackendError, ConfigError, ModelError
from ivfusion_ros.export import NETWORK_KEY, FusionGraph
from ivfusion_ros.networks import make_network

_UINT8 = np.dtype(np.uint8)


class TorchBackend:
    """A fusion network in eager torch (see Backend).

    precision auto computes in bf16 on a GPU and in f32 on a CPU.
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
        self._bf16 = precision == "auto" and self._device == "cuda"
        if threads:
            torch.set_num_threads(threads)
        self._graph: FusionGraph | None = self._load(model_path).to(self._device)
        kind = "bf16" if self._bf16 else "f32"
        self.description = f"torch {torch.__version__} {kind} on {self._device}"

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """See Backend.run."""
        if self._graph is None:
            raise BackendError(f"{self._name} was closed and cannot run")
        arrays = checked_inputs(inputs, self.inputs, self._name)
        # torch cannot wrap a read-only array, as a bag's frames are.
        thermal, rgb = (torch.tensor(arrays[name], device=self._device) for name in ("thermal", "rgb"))
        with torch.inference_mode(), torch.autocast(self._device, torch.bfloat16, enabled=self._bf16):
            try:
                fused = self._graph(thermal, rgb)
            except RuntimeError as error:
                raise ModelError(f"torch cannot run {self._name}: {error}") from error
        return {"fused": fused.cpu().numpy()}

    def close(self) -> None:
        """See Backend.close."""
        self._graph = None

    def _load(self, path: Path) -> FusionGraph:
        network_name = self.metadata.get(NETWORK_KEY)
        if network_name is None:
            raise ModelError(
                f"{path} is no fusion network of this project (its metadata has no {NETWORK_KEY}); "
                "use the onnxruntime or openvino backend for it"
            )
        try:
            graph = FusionGraph(make_network(network_name)).eval()
            initializers = onnx.load(path).graph.initializer
            weights = {item.name: torch.tensor(onnx.numpy_helper.to_array(item)) for item in initializers}
            known = graph.state_dict().keys()
            graph.load_state_dict({name: value for name, value in weights.items() if name in known})
        except (RuntimeError, ValueError, ConfigError) as error:
            raise ModelError(f"torch cannot load {path} as {network_name}: {error}") from error
        return graph
