"""Torch network -> ONNX fusion graph, with pre- and post-processing inside.

The graph takes `thermal` uint8 (1, H, W) and `rgb` uint8 (1, H, W, 3) and gives `fused` uint8 (1, H, W, 3)
for any H and W. Colour is BT.601 full range: the network fuses thermal with Y, Cb and Cr are kept.
Metadata names the network, so that the torch backend can rebuild it from the same file.
"""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import Tensor, nn
from torch.nn import functional

from ivfusion_ros.errors import ModelError
from ivfusion_ros.networks import make_network
from ivfusion_ros.training.train import load_weights

OPSET = 18
NETWORK_KEY = "ivfusion.network"
"""ONNX metadata key that holds the network's name."""


class FusionGraph(nn.Module):
    """A network with everything around it, as every backend runs it.

    thermal: (1, H, W) uint8; rgb: (1, H, W, 3) uint8 -> (1, H, W, 3) uint8.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.stride = int(getattr(network, "stride"))  # noqa: B009 (nn.Module hides the type)

    def forward(self, thermal: Tensor, rgb: Tensor) -> Tensor:
        """Fuse one pair."""
        height, width = thermal.shape[1], thermal.shape[2]
        heat = thermal.unsqueeze(1).float() / 255
        # Bytes are transposed once for all: on a CPU, taking each channel for itself takes several times as
        # long, and so does keeping the colours in f32 until the end.
        planes = rgb.permute(0, 3, 1, 2)
        red, green, blue = (plane.float() for plane in planes.chunk(3, 1))
        luma = 0.299 / 255 * red + 0.587 / 255 * green + 0.114 / 255 * blue
        fused: Tensor = self.network(self._pad(heat), self._pad(luma))[:, :, :height, :width]
        # With Cb and Cr kept, each colour channel moves by what the luminance moved.
        change = 255 * (fused - luma)
        # OpenVINO drops the expansion. Without it ONNX Runtime adds at (H, W, 3), three values at a time.
        colour = planes.float() + change.expand(-1, 3, -1, -1)
        return colour.round().clamp(0, 255).permute(0, 2, 3, 1).to(torch.uint8)

    def _pad(self, image: Tensor) -> Tensor:
        height, width = image.shape[2], image.shape[3]
        bottom = (self.stride - height % self.stride) % self.stride
        right = (self.stride - width % self.stride) % self.stride
        return functional.pad(image, (0, right, 0, bottom), mode="replicate")


def build_graph(network_name: str, checkpoint: Path | None = None) -> FusionGraph:
    """The fusion graph of a network, with trained weights where a checkpoint is given."""
    network = make_network(network_name)
    if checkpoint is not None:
        load_weights(network, checkpoint)
    return FusionGraph(network).eval()


def export_fusion(graph: FusionGraph, network_name: str, path: Path) -> None:
    """Write the graph as ONNX and check it. The file appears only when it is whole.

    Raises ModelError when ONNX Runtime does not reproduce torch within one grey level.
    """
    thermal = torch.randint(0, 256, (1, 80, 112), dtype=torch.uint8)
    rgb = torch.randint(0, 256, (1, 80, 112, 3), dtype=torch.uint8)
    height, width = torch.export.Dim("height", min=8), torch.export.Dim("width", min=8)
    with _quiet():
        program = torch.onnx.export(
            graph,
            (thermal, rgb),
            dynamo=True,
            opset_version=OPSET,
            input_names=["thermal", "rgb"],
            output_names=["fused"],
            dynamic_shapes=({1: height, 2: width}, {1: height, 2: width}),
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    strip_traces(model)
    _keep_all_weights(graph, model)
    for entry, value in ((NETWORK_KEY, network_name),):
        model.metadata_props.add(key=entry, value=value)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        temporary = Path(folder) / path.name
        onnx.save(model, temporary)
        onnx.checker.check_model(temporary, full_check=True)
        _check_parity(graph, temporary)
        temporary.replace(path)


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporter warns of its own code, and tells every node that it removes."""
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)


def strip_traces(model: onnx.ModelProto) -> None:
    """Remove the exporter's stack traces: they name folders of this machine."""
    for item in (*model.graph.node, *model.graph.value_info, *model.graph.input, *model.graph.output):
        del item.metadata_props[:]
    del model.graph.metadata_props[:]


def _keep_all_weights(graph: FusionGraph, model: onnx.ModelProto) -> None:
    """Add the weights that the exporter reshaped or merged: the torch backend finds each by its name."""
    present = {item.name for item in model.graph.initializer}
    for name, weight in graph.state_dict().items():
        if name not in present:
            model.graph.initializer.append(onnx.numpy_helper.from_array(weight.numpy(), name))


def _check_parity(graph: FusionGraph, path: Path) -> None:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    # Only errors: it warns of each weight that is kept for the torch backend alone.
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    random = np.random.default_rng(0)
    for height, width in ((64, 96), (75, 131)):
        thermal = random.integers(0, 256, (1, height, width), np.uint8)
        rgb = random.integers(0, 256, (1, height, width, 3), np.uint8)
        with torch.no_grad():
            expected = graph(torch.from_numpy(thermal), torch.from_numpy(rgb)).numpy()
        (found,) = session.run(None, {"thermal": thermal, "rgb": rgb})
        worst = int(np.abs(found.astype(int) - expected.astype(int)).max())
        if worst > 1:
            raise ModelError(
                f"the exported graph differs from torch by {worst} grey levels at {width}x{height}, "
                "expected at most 1; the network uses an operation that does not export"
            )
