"""Half precision: where it is and where it is not, and what the self-test sees."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from places import SHARED
from small_models import write_detector, write_fusion

from ivfusion_ros.backends import load_backend
from ivfusion_ros.backends.compare import Outcome, compare
from ivfusion_ros.backends.self_test import check_half, reference, sample_pairs
from ivfusion_ros.cli import main
from ivfusion_ros.errors import ModelError
from ivfusion_ros.graphs.byte_input import engine_graph
from ivfusion_ros.graphs.checkable import RAW, rounded, with_raw_output
from ivfusion_ros.graphs.half import to_half
from ivfusion_ros.graphs.onnx_file import PRECISION_KEY, read_metadata
from ivfusion_ros.graphs.task import network_input_size, task_of
from ivfusion_ros.models import read_models

CLASSIC = SHARED / "reference" / "yolov5n_coco_480x640.onnx"
MODELS = {
    name: entry.path
    for name, entry in read_models().items()
    if PRECISION_KEY not in read_metadata(entry.path) and entry.task != "matching"
}
SIZE = (96, 64)


def pairs(size: tuple[int, int]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Smooth noise, black and white: what a camera gives and what is worst for a half."""
    random = np.random.default_rng(0)
    coarse = random.integers(0, 256, (8, 12, 4), np.uint8)
    image = np.kron(coarse, np.ones((-(-size[1] // 8), -(-size[0] // 12), 1), np.uint8))[
        : size[1], : size[0]
    ]
    white = np.full_like(image, 255)
    white[: size[1] // 2] = 0
    return [(image[..., 3].copy(), image[..., :3].copy()), (white[..., 3].copy(), white[..., :3].copy())]


def check(model: onnx.ModelProto, half: onnx.ModelProto, size: tuple[int, int] = SIZE):
    plain = engine_graph(model, size)
    name = plain.graph.input[0].name
    fusion = task_of(model) == "fusion"
    inputs = [{"thermal": t[None], "rgb": v[None]} if fusion else {name: v[None]} for t, v in pairs(size)]
    found = reference(rounded(engine_graph(half, size)))
    return compare(task_of(model), network_input_size(model, size), reference(plain), found, inputs)


def kinds(model: onnx.ModelProto) -> dict[str, int]:
    """Element type of each tensor."""
    graph = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True).graph
    types = {item.name: item.type.tensor_type.elem_type for item in (*graph.value_info, *graph.output)}
    return types | {item.name: item.data_type for item in graph.initializer}


@pytest.mark.parametrize("name", MODELS)
def test_shipped_models_pass_their_self_test(name: str) -> None:
    model = onnx.load(MODELS[name])
    half = to_half(model)
    onnx.checker.check_model(half, full_check=True)
    outcome = check(model, half)
    assert outcome.passed, outcome.text
    weights = len(model.SerializeToString()), len(half.SerializeToString())
    assert weights[1] < 0.6 * weights[0]


@pytest.mark.skipif(not CLASSIC.exists(), reason="no ../shared/reference")
def test_classic_detector_passes_its_self_test() -> None:
    model = onnx.load(CLASSIC)
    outcome = check(model, to_half(model), (320, 240))
    assert outcome.passed, outcome.text


def test_half_model_is_used_like_the_other(tmp_path: Path) -> None:
    model = onnx.load(write_fusion(tmp_path / "a.onnx"))
    onnx.save(to_half(model), tmp_path / "half.onnx")
    backends = [load_backend(tmp_path / name, "onnxruntime") for name in ("a.onnx", "half.onnx")]
    assert backends[0].inputs == backends[1].inputs and backends[0].outputs == backends[1].outputs
    assert backends[1].metadata[PRECISION_KEY] == "f16"
    thermal, rgb = pairs(SIZE)[0]
    old, new = (x.run({"thermal": thermal[None], "rgb": rgb[None]})["fused"] for x in backends)
    assert np.abs(old.astype(int) - new.astype(int)).max() <= 1
    again = to_half(onnx.load(tmp_path / "half.onnx"))
    assert [item.key for item in again.metadata_props].count(PRECISION_KEY) == 1


def test_only_what_is_between_the_convolutions_is_half(tmp_path: Path) -> None:
    half = to_half(onnx.load(write_fusion(tmp_path / "a.onnx")))
    types = kinds(half)
    for name in ("first", "second", "c", "d", "e"):
        assert types[name] == TensorProto.FLOAT16, name
    for name in ("x", "planes", "k255", "g", "h", "j"):
        assert types[name] == TensorProto.FLOAT, name
    boxes = kinds(to_half(onnx.load(write_detector(tmp_path / "b.onnx"))))
    # Coordinates of hundreds of pixels would be rounded to half a pixel.
    assert {boxes[name] for name in ("all", "shares", "span", "output0")} == {TensorProto.FLOAT}
    assert boxes["w8"] == boxes["c32"] == TensorProto.FLOAT16


def graph(nodes: list, weights: dict[str, np.ndarray], out: list | None = None) -> onnx.ModelProto:
    """A model of x (1, 4, 8, 8) f32, first and last a 1x1 convolution, so that all between can be half."""
    eye = np.eye(4, dtype=np.float32)[:, :, None, None]
    nodes = [
        helper.make_node("Conv", ["x", "eye"], ["a"]),
        *nodes,
        helper.make_node("Conv", ["z", "eye"], ["y"]),
    ]
    shape = [1, 4, 8, 8]
    weights = {"eye": eye} | weights
    model = helper.make_model(
        helper.make_graph(
            nodes,
            "g",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, out or shape)],
            [numpy_helper.from_array(value, name) for name, value in weights.items()],
        ),
        opset_imports=[helper.make_opsetid("", 18)],
        ir_version=9,
    )
    onnx.checker.check_model(model, full_check=True)
    return model


ISLANDS = {
    "softmax": ([helper.make_node("Softmax", ["a"], ["z"], axis=1)], {}),
    "global mean": (
        [
            helper.make_node("ReduceMean", ["a", "axes"], ["z0"], keepdims=1),
            helper.make_node("Sub", ["a", "z0"], ["z"]),
        ],
        {"axes": np.array([2, 3])},
    ),
    "pooled mean": (
        [helper.make_node("GlobalAveragePool", ["a"], ["z0"]), helper.make_node("Add", ["a", "z0"], ["z"])],
        {},
    ),
    "instance statistics": (
        [helper.make_node("InstanceNormalization", ["a", "s", "b"], ["z"])],
        {"s": np.ones(4, np.float32), "b": np.zeros(4, np.float32)},
    ),
    "sampling grid": (
        [
            helper.make_node("Mul", ["base", "k"], ["grid"]),
            helper.make_node("GridSample", ["a", "grid"], ["z"], align_corners=0),
        ],
        {
            "base": np.random.default_rng(0).uniform(-1, 1, (1, 8, 8, 2)).astype(np.float32),
            "k": np.array(0.5, np.float32),
        },
    ),
    "energies": (
        [
            helper.make_node("Mul", ["a", "a"], ["z0"]),
            helper.make_node("Add", ["z0", "k"], ["z1"]),
            helper.make_node("Div", ["z0", "z1"], ["z"]),
        ],
        {"k": np.array(1.0, np.float32)},
    ),
}


@pytest.mark.parametrize("name", ISLANDS)
def test_islands_stay_in_f32(name: str) -> None:
    nodes, weights = ISLANDS[name]
    half = to_half(graph(nodes, weights))
    types = kinds(half)
    products = [node for node in half.graph.node if node.op_type == "Conv"]
    assert [types[node.output[0]] for node in products[:-1]] == [TensorProto.FLOAT16]
    for node in half.graph.node:
        if node.op_type in {item.op_type for item in nodes} - {"Sub"}:
            used = {types[item] for item in (*node.input, *node.output) if item in types}
            expected = {TensorProto.FLOAT, TensorProto.INT64}
            assert used <= expected or (name == "pooled mean" and node.op_type == "Add"), node


def test_a_mean_over_channels_is_half() -> None:
    mean = helper.make_node("ReduceMean", ["a", "axes"], ["z0"], keepdims=1)
    nodes = [mean, helper.make_node("Add", ["a", "z0"], ["z"])]
    half = to_half(graph(nodes, {"axes": np.array([1])}))
    assert kinds(half)["z0"] == TensorProto.FLOAT16


def test_resize_keeps_its_scales() -> None:
    nodes = [
        helper.make_node("Resize", ["a", "", "twice"], ["b"], mode="linear"),
        helper.make_node("Resize", ["b", "", "once"], ["z"], mode="linear"),
    ]
    weights = {"twice": np.array([1, 1, 2, 2], np.float32), "once": np.array([1, 1, 0.5, 0.5], np.float32)}
    half = to_half(graph(nodes, weights))
    types = kinds(half)
    assert types["b"] == TensorProto.FLOAT16 and types["twice"] == types["once"] == TensorProto.FLOAT


def test_box_edges_from_a_distribution_stay_in_f32() -> None:
    """The u head: softmax over bins, then a convolution that takes their mean."""
    bins = np.arange(4, dtype=np.float32).reshape(1, 4, 1, 1)
    eye = np.eye(4, dtype=np.float32)[:, :, None, None]
    nodes = [
        helper.make_node("Softmax", ["a"], ["p"], axis=1),
        helper.make_node("Transpose", ["p"], ["q"], perm=[0, 1, 3, 2]),
        helper.make_node("Conv", ["q", "bins"], ["edge"]),
        helper.make_node("Concat", ["edge"] * 4, ["z"], axis=1),
    ]
    model = graph(nodes, {"bins": bins})
    del model.graph.node[-1]
    model.graph.node.append(helper.make_node("Identity", ["z"], ["y"]))
    half = to_half(model)
    types = kinds(half)
    assert types["edge"] == types["bins"] == TensorProto.FLOAT
    assert numpy_helper.to_array(half.graph.initializer[0]).dtype == np.float16 and eye.size


def test_overflow_is_seen_though_onnxruntime_hides_it(tmp_path: Path) -> None:
    quiet, loud = (onnx.load(write_fusion(tmp_path / f"{x}.onnx", gain=x)) for x in (1.0, 2e5))
    assert check(quiet, to_half(quiet)).passed
    outcome = check(loud, to_half(loud))
    assert not outcome.passed and "grey levels" in outcome.text
    # Where the image comes from the CPU, the floats are looked at as well.
    assert "infinite" in check_half(loud, to_half(loud), SIZE).text
    boxes = onnx.load(write_detector(tmp_path / "boxes.onnx"))
    assert check(boxes, to_half(boxes)).passed
    two = onnx.load(write_detector(tmp_path / "two.onnx", thermal=True))
    assert check_half(two, to_half(two), SIZE).passed
    loud_two = onnx.load(write_detector(tmp_path / "loud_two.onnx", gain=1e7, thermal=True))
    assert not check_half(loud_two, to_half(loud_two), SIZE).passed
    hot = onnx.load(write_detector(tmp_path / "hot.onnx", gain=1e7))
    assert not check(hot, to_half(hot)).passed


def test_nan_is_no_pass() -> None:
    empty = {"y": np.zeros((1, 6, 126), np.float32)}
    outcome = compare("detection", SIZE, lambda _: empty, lambda _: {"y": empty["y"] * np.nan}, [{}])
    assert not outcome.passed and "NaN" in outcome.text


def fused_outcome(damage: Callable[[np.ndarray], None]) -> Outcome:
    good = np.random.default_rng(0).integers(0, 256, (1, 240, 320, 3), np.uint8)
    bad = good.copy()
    damage(bad)
    return compare("fusion", (320, 240), lambda _: {"f": good}, lambda _: {"f": bad}, [{}])


def black(image: np.ndarray) -> None:
    """On .7% of the pixels."""
    image.reshape(-1, 3)[:: 1000 // 7] = 0


def inverted(image: np.ndarray) -> None:
    """Over an object of 45x30 pixels: a mean error of 2 levels at most."""
    image[0, 100:130, 100:145] = 255 - image[0, 100:130, 100:145]


def spot(image: np.ndarray) -> None:
    image[0, 5:9, 5:9] ^= 255


def noise(image: np.ndarray) -> None:
    """Of rounding: some pixels are one level brighter."""
    image[:, ::3] = np.minimum(image[:, ::3], 254) + 1


@pytest.mark.parametrize(
    ("damage", "passes"), [(black, False), (inverted, False), (spot, False), (noise, True)]
)
def test_local_damage_is_seen(damage: Callable[[np.ndarray], None], passes: bool) -> None:
    assert fused_outcome(damage).passed == passes


def test_a_few_wrong_boxes_are_seen() -> None:
    rows = np.zeros((1, 6, 1580), np.float32)
    rows[0, :4], rows[0, 4] = 50, np.linspace(0, 0.9, 1580)
    moved, doubted = rows.copy(), rows.copy()
    moved[0, :2, -3:] += 30
    doubted[0, 4, -3:] -= 0.4

    def outcome(other: np.ndarray) -> Outcome:
        return compare("detection", (320, 240), lambda _: {"o": rows}, lambda _: {"o": other}, [{}])

    assert outcome(rows).passed
    assert not outcome(moved).passed
    assert not outcome(doubted).passed


def test_nan_is_seen_before_it_becomes_a_grey_level(tmp_path: Path) -> None:
    graph = with_raw_output(engine_graph(onnx.load(write_fusion(tmp_path / "a.onnx")), SIZE))
    (thermal, rgb), _ = pairs(SIZE)
    outputs = reference(graph)({"thermal": thermal[None], "rgb": rgb[None]})
    assert list(outputs) == ["fused", RAW]
    assert outputs[RAW].dtype == np.float32 and np.abs(outputs[RAW].squeeze().max()) > 0
    # Where a clip limits what is not finite, the image alone looks like any other.
    image = outputs["fused"]
    raw = outputs[RAW].copy()
    raw.flat[0] = np.inf
    outcome = compare(
        "fusion", SIZE, lambda _: {"fused": image}, lambda _: {"fused": image, RAW: raw}, [{}]
    )
    assert not outcome.passed and "infinite" in outcome.text


@pytest.mark.parametrize("name", [name for name in MODELS if "yolo" not in name])
def test_shipped_networks_have_a_raw_output(name: str) -> None:
    graph = with_raw_output(engine_graph(onnx.load(MODELS[name]), SIZE))
    (thermal, rgb), _ = pairs(SIZE)
    outputs = reference(graph)({"thermal": thermal[None], "rgb": rgb[None]})
    # The grey levels are the rounded floats, with the axes in the same order or another.
    levels = np.sort(np.clip(np.round(outputs[RAW]), 0, 255).ravel())
    assert np.abs(levels - np.sort(outputs["fused"].ravel())).max() <= 1


def test_models_that_half_is_not_for(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no convolution"):
        to_half(helper.make_model(helper.make_graph([], "g", [], [])))
    branch = helper.make_graph([], "then", [], [])
    node = helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch)
    with pytest.raises(ModelError, match="branches or loops"):
        to_half(helper.make_model(helper.make_graph([node], "g", [], [])))


@pytest.mark.parametrize("gain", [1.0, 2e5])
def test_the_export_is_half_only_if_it_passes(
    gain: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    pytest.importorskip("torch")
    from ivfusion_ros.backends import self_test
    from ivfusion_ros.export import fusion

    monkeypatch.setattr(self_test, "sample_pairs", pairs)
    monkeypatch.setattr(fusion, "export_fusion", lambda graph, name, path: write_fusion(path, gain))
    assert main(["export", "mst", str(tmp_path / "a.onnx"), "--half"]) == 0
    is_half = PRECISION_KEY in read_metadata(tmp_path / "a.onnx")
    assert is_half == (gain == 1.0)
    log = capsys.readouterr().err
    assert ("half precision: mean error" in log) == is_half
    assert ("stays in f32, half precision failed its self-test: the output has NaN" in log) != is_half


def test_sample_images_are_streets() -> None:
    scenes = sample_pairs((80, 64))
    assert len(scenes) == 2
    for thermal, rgb in scenes:
        assert thermal.shape == (64, 80) and rgb.shape == (64, 80, 3)
        assert thermal.dtype == rgb.dtype == np.uint8 and thermal.std() > 10


def test_boxes_of_an_end_to_end_head_may_come_in_another_order() -> None:
    rows = np.zeros((1, 300, 6), np.float32)
    rows[0, :3] = [[10, 10, 50, 40, 0.9, 2], [60, 10, 90, 40, 0.9, 2], [60, 10, 90, 40, 0.8, 1]]
    swapped, moved = rows[:, [2, 1, 0, *range(3, 300)]], rows.copy()
    moved[0, 0, 0] = 40

    def outcome(other: np.ndarray):
        return compare("detection", SIZE, lambda _: {"o": rows}, lambda _: {"o": other}, [{}])

    assert outcome(swapped).passed and outcome(swapped).text.startswith("mean error 0.000 px")
    assert not outcome(moved).passed
