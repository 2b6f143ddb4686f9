"""Torch network -> ONNX fusion graph, with pre- and post-processing inside.

The graph takes `thermal` uint8 (1, H, W) and `rgb` uint8 (1, H, W, 3) and gives `fused` uint8 (1, H, W, 3)
for any H and W. Colour is BT.601 full range: the network fuses thermal with Y, Cb and Cr are kept.
Metadata names the network, so that the torch backend can rebuild it from the same file.
"""

from __future__ import annotations

import logging
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import onnx
import torch
from onnxscript import optimizer

from ivfusion_ros.errors import ModelError
from ivfusion_ros.files import whole_files
from ivfusion_ros.networks.graph import COLOUR_KEY, KEEPS_LUMINANCE, NETWORK_KEY, FusionGraph

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OPSET = 18
_MAX_WEIGHTS = 2**22
"""Most values of a tensor that is folded."""


def export_fusion(graph: FusionGraph, network_name: str, path: Path) -> None:
    """Write the graph as ONNX and check it. The file appears only when it is whole.

    Raises ModelError for weights that are not finite, and when ONNX Runtime does not reproduce torch within
    one grey level.
    """
    _check_finite(graph)
    model = capture(graph)
    _keep_all_weights(graph, model)
    model.metadata_props.add(key=NETWORK_KEY, value=network_name)
    if graph.keeps_luminance:
        model.metadata_props.add(key=COLOUR_KEY, value=KEEPS_LUMINANCE)
    with whole_files(path) as staged:
        onnx.save(model, staged)
        onnx.checker.check_model(staged, full_check=True)
        _check_against_torch(graph, staged)


def capture(graph: FusionGraph) -> onnx.ModelProto:
    """The graph for any height and width as torch's exporter writes it, without its stack traces."""
    thermal = torch.randint(0, 256, (1, 80, 112), dtype=torch.uint8)
    rgb = torch.randint(0, 256, (1, 80, 112, 3), dtype=torch.uint8)
    height, width = torch.export.Dim("height", min=8), torch.export.Dim("width", min=8)
    # Without what gradients would need, it takes a seventh less time.
    with quiet(), torch.no_grad():
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
        model: onnx.ModelProto = program.model_proto
        # Sums of large weights too, which the exporter leaves to be made at run time.
        optimizer.fold_constants(model, input_size_limit=_MAX_WEIGHTS, output_size_limit=_MAX_WEIGHTS)
        optimizer.remove_unused_nodes(model)
    strip_traces(model)
    return model


@contextmanager
def quiet() -> Iterator[None]:
    """The exporter warns of its own code, and names every node that it removes."""
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


def _check_finite(graph: FusionGraph) -> None:
    """NaN becomes black on the way to bytes, in torch and in ONNX Runtime alike."""
    for name, weight in graph.state_dict().items():
        if not torch.isfinite(weight).all():
            raise ModelError(
                f"weight {name} has values that are not finite: its training failed; take an earlier "
                "checkpoint"
            )


def _check_against_torch(graph: FusionGraph, path: Path) -> None:
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
