"""Exports of one network in many tests run torch's exporter once, which takes up to ten seconds."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
import pytest
import torch

from ivfusion_ros.export import fusion
from ivfusion_ros.networks.graph import FusionGraph


class Place(NamedTuple):
    """weight: its name in the checkpoint. more: whole numbers that the exporter adds to it."""

    weight: str
    more: np.ndarray | np.float32


Captured = dict[tuple, tuple[onnx.ModelProto, dict[str, Place]]]
_CAPTURED: Captured = {}
_capture = fusion.capture


def captured() -> Captured:
    """What was captured in this process, for shared_captures in another."""
    return _CAPTURED


@contextmanager
def shared_captures(before: Captured | None = None) -> Iterator[None]:
    """Exports put their weights into what was captured of the same network, here or in another process.

    All else of an export is done, its comparison with torch among it, which finds a weight put amiss.
    """
    _CAPTURED.update(before or {})
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
    if weights.keys() - {place.weight for place in places.values()}:
        return _capture(graph)
    model = copy.deepcopy(captured)
    for item in model.graph.initializer:
        if item.name in places:
            place = places[item.name]
            value = (weights[place.weight] + place.more).reshape(tuple(item.dims))
            item.CopyFrom(onnx.numpy_helper.from_array(value, item.name))
    return model


def _captured_with_places(graph: FusionGraph) -> tuple[onnx.ModelProto, dict[str, Place]]:
    """The model of a network with other weights, no two of which are equal, and which is where in it."""
    twin = copy.deepcopy(graph)
    for parameter in twin.parameters():
        torch.nn.init.normal_(parameter.data, std=0.1)
    # Constants of a network's own, which no checkpoint holds, stay as they are.
    held = twin.state_dict()
    for number, (name, buffer) in enumerate(twin.named_buffers()):
        if name in held:
            buffer += 1e-3 * number
    model = _capture(twin)
    return model, _places(model, {name: weight.numpy() for name, weight in held.items()})


def _places(model: onnx.ModelProto, weights: dict[str, np.ndarray]) -> dict[str, Place]:
    """Which weight each initializer is, found by its values: the exporter renames some as it reshapes them.

    A block that adds its input to its convolution may have the identity added to its weight.
    """
    by_value = {weight.tobytes(): name for name, weight in weights.items()}
    values = {item.name: onnx.numpy_helper.to_array(item) for item in model.graph.initializer}
    places = {
        name: Place(by_value[value.tobytes()], np.float32(0))
        for name, value in values.items()
        if value.tobytes() in by_value
    }
    lacking = weights.keys() - {place.weight for place in places.values()}
    for name, value in values.items():
        for weight in lacking if name not in places and value.ndim == 4 else ():
            if weights[weight].shape == value.shape:
                more = np.round(value - weights[weight])
                if np.abs(value - weights[weight] - more).max() < 1e-6:
                    places[name] = Place(weight, more)
    return places
