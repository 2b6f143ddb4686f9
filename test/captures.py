"""Exports of one network in many tests run torch's exporter once, which takes up to ten seconds."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import onnx
import pytest
import torch

from ivfusion_ros.export import fusion
from ivfusion_ros.networks.graph import FusionGraph

_CAPTURED: dict[tuple, tuple[onnx.ModelProto, dict[str, str]]] = {}
_capture = fusion.capture


@contextmanager
def shared_captures() -> Iterator[None]:
    """Exports put their weights into what was captured of the same network before.

    All else of an export is done, its comparison with torch among it, which finds a weight put amiss.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fusion, "capture", _capture_once)
        yield


def export_once(graph: FusionGraph, name: str, path: Path) -> Path:
    with shared_captures():
        fusion.export_fusion(graph, name, path)
    return path


def _capture_once(graph: FusionGraph) -> onnx.ModelProto:
    weights = {name: weight.numpy() for name, weight in graph.state_dict().items()}
    kind = (
        type(graph.network),
        graph.keeps_luminance,
        *((name, weight.shape) for name, weight in weights.items()),
    )
    if kind not in _CAPTURED:
        _CAPTURED[kind] = _captured_with_places(graph)
    captured, places = _CAPTURED[kind]
    if weights.keys() - set(places.values()):
        return _capture(graph)
    model = copy.deepcopy(captured)
    for item in model.graph.initializer:
        if item.name in places:
            shape = tuple(item.dims)
            item.CopyFrom(
                onnx.numpy_helper.from_array(weights[places[item.name]].reshape(shape), item.name)
            )
    return model


def _captured_with_places(graph: FusionGraph) -> tuple[onnx.ModelProto, dict[str, str]]:
    """The model of a network with other weights, no two of which are equal, and which is where in it.

    The exporter renames some as it reshapes them; they are found by their values.
    """
    twin = copy.deepcopy(graph)
    for parameter in twin.parameters():
        torch.nn.init.normal_(parameter.data, std=0.1)
    # Constants of a network's own, which no checkpoint holds, stay as they are.
    held = twin.state_dict()
    for number, (name, buffer) in enumerate(twin.named_buffers()):
        if name in held:
            buffer += 1e-3 * number
    model = _capture(twin)
    by_value = {weight.numpy().tobytes(): name for name, weight in twin.state_dict().items()}
    values = ((item.name, onnx.numpy_helper.to_array(item).tobytes()) for item in model.graph.initializer)
    return model, {name: by_value[value] for name, value in values if value in by_value}
