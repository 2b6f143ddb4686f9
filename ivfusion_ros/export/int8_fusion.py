"""Fusion network in f32 (ONNX) -> the same network in int8, for OpenVINO on CPUs, calibrated on pairs.

Rounding nodes in front of the wide convolutions, which OpenVINO turns into int8 kernels. What is rounded
shows in the image, most of all where it is flat, so it is done otherwise than for detectors (int8.py).
Measured with RefineFuse against bf16; docs/models.md has all figures.

- Done as for detectors, noise in flat places rises by 18 %, Qabf, SSIM and VIF fall by 2 %, and a scene
  with larger values than the mean of the others is off by 17 grey levels.
- Channels of one tensor differ: half of them stay below a quarter of the largest value. Each gets a scale
  of its own: in the weights of the convolution before it, where ReLU stands between, else by a product,
  which OpenVINO computes together with the rounding. That halves the error.
- A channel's range ends where rounding inside it and cutting what lies beyond it err least together: the
  first counted _FLAT times, since flat places see only that, the second in the pair with the most of it.
- A convolution that reads a sum stays in float: a sum's few large values leave its many small ones no
  steps. So do those of few channels, those whose values are reshaped next, and the last ones.
- Channels that answered no pair are left out between two convolutions: a quarter of RefineFuse's unpruned.
- Weights have 8 bits, which takes a CPU with VNNI (see int8.py); with 7 the error is twice as large.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from tqdm import tqdm

from ivfusion_ros.backends.compare import ImageLimits, Outcome, compare
from ivfusion_ros.backends.self_test import reference
from ivfusion_ros.errors import DataError, ModelError
from ivfusion_ros.export.int8 import quantised_nodes
from ivfusion_ros.files import write_whole
from ivfusion_ros.graphs.onnx_file import PRECISION_KEY, read_model
from ivfusion_ros.images.files import read_image

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from ivfusion_ros.backends.tensors import Array
    from ivfusion_ros.images.pairs import PairPaths
    from ivfusion_ros.types import Floats32

MAX_PAIRS = 32
"""That ranges are taken from."""

LIMITS = ImageLimits(mean=0.6, tail=8.0, large_share=1e-3)
"""Of the self-test; RefineFuse has .30, 4 and .00004; .55, 6 and .0003 pruned, as it ships."""

_TEST_PAIRS = 8
_PIXELS = 4000
"""Of each tensor that are looked at in each pair."""

_LEVELS = 255
_MAX_WEIGHT = 127
_FLAT = 16.0
_FRACTIONS = np.geomspace(0.3, 1, 13)
"""Of a channel's largest value, where its range may end."""

_SMALLEST = 1e-3
"""Share of the largest channel's range that the others' have at least."""

_MIN_CHANNELS = 16


class Seen(NamedTuple):
    """Values of a tensor: (C, pairs, N) drawn at random, and the least and largest of all."""

    values: Floats32
    lowest: float
    highest: float


def quantise_fusion(source: Path, path: Path, found: Sequence[PairPaths]) -> Outcome:
    """Write the fusion network in `source` to `path` in int8; returns its self-test.

    found: registered pairs such as the network will see, of which some are drawn. The file appears only
    when it is whole and has passed. Raises ModelError, DataError, ImageError, BackendError (no ONNX
    Runtime).
    """
    model = _read(source)
    pairs = random.Random(0).sample(found, min(len(found), MAX_PAIRS + _TEST_PAIRS))
    kept = min(_TEST_PAIRS, len(pairs) // 4)
    tests, calibration = pairs[:kept] or pairs, pairs[kept:]
    with tqdm(calibration, unit="pair", desc="calibrated") as bar:
        quantised = to_int8(model, (_inputs(pair) for pair in bar))
    inputs = [_inputs(pair) for pair in tests]
    outcome = compare("fusion", (0, 0), reference(model), reference(quantised), inputs, LIMITS)
    if not outcome.passed:
        raise ModelError(
            f"{source} in int8 failed its self-test: {outcome.text}; calibrate with more pairs like those "
            "that the network will see, or use it as it is"
        )
    write_whole(path, quantised.SerializeToString())
    return outcome


def to_int8(model: onnx.ModelProto, inputs: Iterable[Mapping[str, Array]]) -> onnx.ModelProto:
    """A copy of a fusion network in int8, with ranges from these inputs. Raises ModelError, BackendError.

    Inputs, outputs and metadata are the network's, and PRECISION_KEY says int8.
    """
    result = onnx.ModelProto()
    result.CopyFrom(model)
    for index, node in enumerate(result.graph.node):
        node.name = node.name or f"{node.op_type}/{index}"
    chosen = rounded_nodes(result.graph)
    seen = _look(model, sorted({node.input[0] for node in chosen}), inputs)
    graph = _Graph(result.graph)
    # All scales before any rounding: what one convolution reads another one makes.
    ranges = [graph.even_out(node, seen[node.input[0]]) for node in chosen]
    for node, (low, high) in zip(chosen, ranges, strict=True):
        graph.round(node, low, high)
    graph.finish()
    del result.graph.value_info[:]
    result.metadata_props.add(key=PRECISION_KEY, value="int8")
    return result


def rounded_nodes(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """The convolutions that become int8: wide ones that read no sum. Raises ModelError without any."""
    makers = {name: node.op_type for node in graph.node for name in node.output}
    sides = {item.name: item.dims for item in graph.initializer}
    inside = set(quantised_nodes(graph))
    chosen = [
        node
        for node in graph.node
        if node.op_type == "Conv"
        and node.name in inside
        and makers.get(node.input[0]) in ("Relu", "Concat")
        and min(sides[node.input[1]][:2]) >= _MIN_CHANNELS
    ]
    if not chosen:
        raise ModelError(
            f"the network has no convolutions of {_MIN_CHANNELS} channels and more that read a ReLU: int8 "
            "would change nothing; use it as it is"
        )
    return chosen


class _Graph:
    """Edits of a graph; names of the weights that it makes are those that they come from, and a word."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self._graph = graph
        self._weights = {item.name: numpy_helper.to_array(item) for item in graph.initializer}
        self._makers = {name: node for node in graph.node for name in node.output}
        self._readers: dict[str, list[onnx.NodeProto]] = {}
        for node in graph.node:
            for name in node.input:
                self._readers.setdefault(name, []).append(node)
        self._before: dict[str, list[onnx.NodeProto]] = {}

    def even_out(self, node: onnx.NodeProto, seen: Seen) -> tuple[float, float]:
        """Scale all channels that a convolution reads to one range, where a ReLU makes them; the range."""
        relu = self._makers[node.input[0]]
        if relu.op_type != "Relu":
            return min(seen.lowest, 0.0), max(seen.highest, 0.0)
        ends = channel_ends(seen.values)
        highest = float(ends.max())
        scales = np.maximum(ends / highest, _SMALLEST) if highest else np.ones_like(ends)
        before = self._makers.get(relu.input[0])
        alone = all(len(self._readers[name]) == 1 for name in (node.input[0], relu.input[0]))
        if before is not None and before.op_type == "Conv" and alone and _group(before) == 1:
            self._scale_maker(
                before, node, scales, np.flatnonzero(ends > 0) if highest else np.arange(len(ends))
            )
        else:
            name = f"{node.output[0]}_scales"
            self._weights[name] = (1 / scales).reshape(1, -1, 1, 1)
            self._insert(node, "Mul", name)
            self._change(node, 1, lambda weights: weights * scales[:, None, None])
        return 0.0, highest

    def round(self, node: onnx.NodeProto, low: float, high: float) -> None:
        """Make a convolution int8, of what it reads in this range."""
        step = (high - low) / _LEVELS or 1.0
        names = [f"{node.output[0]}_{part}" for part in ("step", "zero")]
        self._weights[names[0]] = np.array(step, np.float32)
        self._weights[names[1]] = np.array(np.clip(round(-low / step), 0, _LEVELS), np.uint8)
        self._insert(node, "QuantizeLinear", *names)
        self._insert(node, "DequantizeLinear", *names)
        self._round_weights(node)

    def finish(self) -> None:
        """Write nodes and weights; those that nothing reads any more are left out."""
        nodes = [
            item for node in self._graph.node for item in (*self._before.get(node.output[0], ()), node)
        ]
        copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
        del self._graph.node[:]
        self._graph.node.extend(copies)
        read = {name for node in copies for name in node.input}
        del self._graph.initializer[:]
        self._graph.initializer.extend(
            numpy_helper.from_array(np.ascontiguousarray(value), name)
            for name, value in self._weights.items()
            if name in read
        )

    def _scale_maker(
        self, before: onnx.NodeProto, node: onnx.NodeProto, scales: Floats32, kept: Array
    ) -> None:
        """Scale, in the weights on both sides of a ReLU, and leave out what never answered."""
        self._change(before, 1, lambda weights: (weights / scales[:, None, None, None])[kept])
        if len(before.input) > 2:
            self._change(before, 2, lambda bias: (bias / scales)[kept])
        self._change(node, 1, lambda weights: (weights * scales[:, None, None])[:, kept])

    def _round_weights(self, node: onnx.NodeProto) -> None:
        weights = self._weights[node.input[1]]
        largest = np.abs(weights).max(axis=(1, 2, 3))
        steps = np.where(largest > 0, largest / _MAX_WEIGHT, 1.0).astype(np.float32)
        names = [f"{node.output[0]}_{part}" for part in ("int8", "steps")]
        self._weights[names[0]] = np.round(weights / steps[:, None, None, None]).astype(np.int8)
        self._weights[names[1]] = steps
        output = f"{node.output[0]}_rounded"
        self._before[node.output[0]].append(helper.make_node("DequantizeLinear", names, [output], axis=0))
        node.input[1] = output

    def _insert(self, node: onnx.NodeProto, kind: str, *constants: str) -> None:
        """Put a node in front of the image that a convolution reads."""
        before = self._before.setdefault(node.output[0], [])
        output = f"{node.output[0]}_in{len(before)}"
        before.append(helper.make_node(kind, [node.input[0], *constants], [output], name=output))
        node.input[0] = output

    def _change(self, node: onnx.NodeProto, place: int, change: Callable[[Array], Array]) -> None:
        """Give a node weights of its own, for others may share those that it has."""
        name = f"{node.output[0]}_{('image', 'weights', 'bias')[place]}"
        self._weights[name] = change(self._weights[node.input[place]]).astype(np.float32)
        node.input[place] = name


def channel_ends(values: Floats32) -> Floats32:
    """Where each channel's range, from 0, ends best. values: (C, pairs, N), at least 0 -> (C,)."""
    largest = values.max(axis=(1, 2))
    errors = []
    for fraction in _FRACTIONS:
        ends = fraction * largest
        # Of the pair that it is worst for: what is rare among all may be half of one image.
        cut = (np.maximum(values - ends[:, None, None], 0) ** 2).mean(axis=2).max(axis=1)
        errors.append(_FLAT * (ends / _LEVELS) ** 2 / 12 + cut)
    best = _FRACTIONS[np.argmin(errors, axis=0)]
    return np.asarray(best * largest, np.float32)


def _look(
    model: onnx.ModelProto, names: list[str], inputs: Iterable[Mapping[str, Array]]
) -> dict[str, Seen]:
    """What the tensors of these names, (1, C, H, W), hold in f32."""
    shown = onnx.ModelProto()
    shown.CopyFrom(model)
    shown.graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names
    )
    run, draw = reference(shown), np.random.default_rng(0)
    drawn: dict[str, list[Floats32]] = {name: [] for name in names}
    extremes: dict[str, list[float]] = {name: [] for name in names}
    for one in inputs:
        outputs = run(one)
        for name in names:
            values = outputs[name][0].reshape(outputs[name].shape[1], -1)
            drawn[name].append(values[:, draw.integers(0, values.shape[1], _PIXELS)])
            extremes[name] += [float(values.min()), float(values.max())]
    return {
        name: Seen(np.stack(drawn[name], axis=1), min(extremes[name]), max(extremes[name]))
        for name in names
    }


def _read(source: Path) -> onnx.ModelProto:
    model = read_model(source)
    if any(node.op_type in ("QuantizeLinear", "DynamicQuantizeLinear") for node in model.graph.node):
        raise ModelError(f"{source} is in int8 already; use it as it is, or give the one in f32")
    if any(item.data_type == TensorProto.FLOAT16 for item in model.graph.initializer):
        raise ModelError(f"{source} is in half precision; give the one in f32")
    return model


def _inputs(pair: PairPaths) -> dict[str, Array]:
    """What the network reads of a pair. Raises ImageError, DataError."""
    thermal, rgb = read_image(pair.thermal), read_image(pair.rgb)
    if thermal.dtype != np.uint8 or rgb.dtype != np.uint8 or thermal.shape[:2] != rgb.shape[:2]:
        raise DataError(
            f"pair {pair.stem}: thermal is {thermal.dtype} {thermal.shape}, rgb {rgb.dtype} {rgb.shape}; "
            "expected uint8 of one size, as a fusion network reads them"
        )
    grey = thermal if thermal.ndim == 2 else cv2.cvtColor(thermal, cv2.COLOR_RGB2GRAY)
    colour = rgb if rgb.ndim == 3 else np.repeat(rgb[..., None], 3, axis=2)
    return {"thermal": np.ascontiguousarray(grey[None]), "rgb": np.ascontiguousarray(colour[None])}


def _group(node: onnx.NodeProto) -> int:
    return next((item.i for item in node.attribute if item.name == "group"), 1)
