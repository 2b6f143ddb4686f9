"""Fusion networks in int8: what is rounded, how channels are scaled, and that the image stays the same."""

import platform
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from small_models import save

from ivfusion_ros.backends import load_backend
from ivfusion_ros.cli import main
from ivfusion_ros.errors import DataError, ModelError
from ivfusion_ros.export import int8_fusion
from ivfusion_ros.export.int8_fusion import channel_ends, rounded_nodes, to_int8
from ivfusion_ros.graphs.half import to_half
from ivfusion_ros.graphs.onnx_file import PRECISION_KEY, read_metadata
from ivfusion_ros.images.files import write_image
from ivfusion_ros.models import read_models, resolve_model
from ivfusion_ros.sources.layouts import find_pairs

DEAD = 5
"""The channel of write_wide's first convolution that never answers."""


def write_wide(path: Path, loud: float = 1.0) -> Path:
    """`inner` reads a ReLU alone, `shared` one that a sum reads too, and `summed` that sum.

    loud: the first channels of `outer` answer by so much more, and `inner` weighs them by so much less.
    """
    random = np.random.default_rng(0)
    scale = np.ones(16, np.float32)
    scale[:2] = loud
    outer = np.abs(random.normal(0, 0.1, (16, 4, 3, 3))).astype(np.float32) * scale[:, None, None, None]
    bias = np.zeros(16, np.float32)
    bias[DEAD] = -1e3
    wide = {
        name: random.normal(0, 0.1, (16, 16, 3, 3)).astype(np.float32)
        for name in ("inner", "shared", "summed")
    }
    wide["inner"] /= scale[:, None, None]
    weights = wide | {
        "outer": outer,
        "bias": bias,
        "last": random.normal(0, 0.02, (3, 16, 3, 3)).astype(np.float32),
        "axis": np.array([3]),
        "k255": np.array(255, np.float32),
        "zero": np.array(0, np.float32),
    }
    nodes = [
        helper.make_node("Unsqueeze", ["thermal", "axis"], ["grey"]),
        helper.make_node("Cast", ["grey"], ["a"], to=TensorProto.FLOAT),
        helper.make_node("Cast", ["rgb"], ["b"], to=TensorProto.FLOAT),
        helper.make_node("Concat", ["a", "b"], ["bytes"], axis=3),
        helper.make_node("Div", ["bytes", "k255"], ["x"]),
        helper.make_node("Transpose", ["x"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["planes", "outer", "bias"], ["c"], pads=[1] * 4, name="outer"),
        helper.make_node("Relu", ["c"], ["d"]),
        helper.make_node("Conv", ["d", "inner"], ["e"], pads=[1] * 4, name="inner"),
        helper.make_node("Relu", ["e"], ["f"]),
        helper.make_node("Conv", ["f", "shared"], ["g"], pads=[1] * 4, name="shared"),
        helper.make_node("Add", ["f", "g"], ["h"]),
        helper.make_node("Conv", ["h", "summed"], ["i"], pads=[1] * 4, name="summed"),
        helper.make_node("Relu", ["i"], ["j"]),
        helper.make_node("Conv", ["j", "last"], ["k"], pads=[1] * 4, name="last"),
        helper.make_node("Transpose", ["k"], ["l"], perm=[0, 2, 3, 1]),
        helper.make_node("Sigmoid", ["l"], ["m"]),
        helper.make_node("Mul", ["m", "k255"], ["n"]),
        helper.make_node("Round", ["n"], ["o"]),
        helper.make_node("Clip", ["o", "zero", "k255"], ["p"]),
        helper.make_node("Cast", ["p"], ["fused"], to=TensorProto.UINT8),
    ]
    sides = {"thermal": [1, "h", "w"], "rgb": [1, "h", "w", 3], "fused": [1, "h", "w", 3]}
    values = [helper.make_tensor_value_info(name, TensorProto.UINT8, side) for name, side in sides.items()]
    return save(nodes, values[:2], values[2:], weights, path)


def pair(seed: int) -> dict[str, np.ndarray]:
    """Blocks of random grey and colour, 64x48."""
    random = np.random.default_rng(seed)
    blocks = np.kron(random.integers(0, 256, (6, 8, 4), np.uint8), np.ones((8, 8, 1), np.uint8))
    return {"thermal": blocks[None, ..., 0].copy(), "rgb": blocks[None, ..., 1:].copy()}


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    folder = tmp_path / "pairs of a robot"
    for camera in ("thermal", "rgb"):
        (folder / camera).mkdir(parents=True)
        for seed in range(12):
            write_image(folder / camera / f"{seed:02}.png", pair(seed)[camera][0])
    return folder


def fused(path: Path, backend: str) -> np.ndarray:
    loaded = load_backend(path, backend, threads=1)
    (image,) = loaded.run(pair(99)).values()
    loaded.close()
    return image.astype(int)


def constants(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    return {item.name: numpy_helper.to_array(item) for item in model.graph.initializer}


def kinds_before(model: onnx.ModelProto, name: str) -> list[str]:
    """What makes the image that a convolution reads, from the end."""
    makers = {output: node for node in model.graph.node for output in node.output}
    node = next(node for node in model.graph.node if node.name == name)
    kinds: list[str] = []
    while len(kinds) < 4 and node.input[0] in makers:
        node = makers[node.input[0]]
        kinds.append(node.op_type)
    return kinds


def test_only_what_reads_a_relu_is_rounded(tmp_path: Path) -> None:
    model = onnx.load(write_wide(tmp_path / "a.onnx"))
    result = to_int8(model, [pair(seed) for seed in range(4)])
    onnx.checker.check_model(result, full_check=True)
    rounding = ["DequantizeLinear", "QuantizeLinear"]
    assert kinds_before(result, "inner") == [*rounding, "Relu", "Conv"]
    # Others read that ReLU too, so its channels are scaled behind it.
    assert kinds_before(result, "shared") == [*rounding, "Mul", "Relu"]
    for name in ("outer", "summed", "last"):
        assert not set(kinds_before(result, name)[:1]) & set(rounding)
    stored = [item for item in constants(result).values() if item.dtype == np.int8]
    # One of the sixteen channels that `inner` read has never answered.
    assert [item.shape for item in stored] == [(16, 15, 3, 3), (16, 16, 3, 3)]
    assert all((np.abs(item.astype(int)).max(axis=(1, 2, 3)) == 127).all() for item in stored)


def test_command_writes_a_network_whose_images_are_the_same(pairs: Path, tmp_path: Path, capsys) -> None:
    source, path = write_wide(tmp_path / "a.onnx"), tmp_path / "b.onnx"
    assert main(["export", str(source), str(path), "--int8", "--images", str(pairs)]) == 0
    assert "in int8, compared with f32: mean error 0." in capsys.readouterr().err
    assert read_metadata(path) == read_metadata(source) | {PRECISION_KEY: "int8"}
    expected = fused(source, "onnxruntime")
    assert np.ptp(expected) > 50
    for backend in ("onnxruntime", "openvino"):
        if backend == "openvino":
            pytest.importorskip("openvino")
        error = np.abs(fused(path, backend) - expected)
        assert error.mean() < 0.7 and 0 < error.max() <= 4, backend


def test_loud_channels_leave_the_others_their_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With channels forty times as loud as the rest, one range for all would leave these six steps."""
    source = write_wide(tmp_path / "a.onnx", loud=40.0)
    model, expected = onnx.load(source), fused(source, "onnxruntime")
    errors = []
    for _ in range(2):
        onnx.save(to_int8(model, [pair(seed) for seed in range(8)]), tmp_path / "b.onnx")
        errors.append(np.abs(fused(tmp_path / "b.onnx", "onnxruntime") - expected).mean())
        monkeypatch.setattr(int8_fusion, "channel_ends", lambda values: np.full(len(values), values.max()))
    assert errors[0] < 0.7 and errors[1] > 2 * errors[0]


def test_a_range_ends_where_it_errs_least() -> None:
    random = np.random.default_rng(0)
    even = random.uniform(0, 2, (1, 2, 10_000)).astype(np.float32)
    # Of 20,000 values one lies far out: to keep it would cost all others three quarters of their steps.
    odd = even / 4
    odd[0, 0, 0] = 2
    none = np.zeros((1, 2, 10_000), np.float32)
    ends = channel_ends(np.concatenate([even, odd, none]))
    assert ends[0] > 1.9 and 0.55 < ends[1] < 1.9 and ends[2] == 0


@pytest.mark.skipif("refinefuse" not in read_models(), reason="no RefineFuse ships")
def test_rule_finds_the_wide_convolutions_of_the_shipped_network() -> None:
    model = onnx.load(read_models()["refinefuse"].path)
    sizes = {item.name: item.dims for item in model.graph.initializer}
    names = [
        node.input[1].removeprefix("network.").removesuffix(".weight")
        for node in rounded_nodes(model.graph)
    ]
    levels = [
        f"{camera}_encoder.levels.{level}" for camera in ("thermal", "visible") for level in (1, 2, 3)
    ]
    others = ["psim3.out", "psim4.out", "decoder4.project", "decoder4.refine", "decoder3.refine"]
    assert sorted(names) == sorted([*levels, *others, "decoder2.refine", "decoder1.2", "decoder1.4"])
    assert all(sizes[node.input[1]][1] >= 16 for node in rounded_nodes(model.graph))


@pytest.mark.skipif(
    platform.machine() != "x86_64", reason="what OpenVINO has int8 kernels for differs on ARM"
)
def test_openvino_computes_in_int8(tmp_path: Path) -> None:
    core = pytest.importorskip("ivfusion_ros.backends.openvino_").core()
    model = onnx.load(write_wide(tmp_path / "a.onnx"))
    onnx.save(to_int8(model, [pair(0)]), tmp_path / "b.onnx")
    network = core.read_model(tmp_path / "b.onnx")
    network.reshape({"thermal": [1, 48, 64], "rgb": [1, 48, 64, 3]})
    compiled = core.compile_model(network, "CPU")
    information = [node.get_rt_info() for node in compiled.get_runtime_model().get_ordered_ops()]
    kernels = [
        item["primitiveType"].astype(str) for item in information if item["layerType"] == "Convolution"
    ]
    assert [kernel.endswith("I8") for kernel in kernels].count(True) == 2


def test_a_cpu_that_cannot_sum_bytes_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("openvino", reason="OpenVINO is not installed")
    from ivfusion_ros.backends import openvino_

    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    models = {name: resolve_model(name) for name in ("refinefuse_int8", "refinefuse_lite", "yolov5n_int8")}
    warned = {}
    for flags in ("flags : avx2 bmi2", "flags : avx2 avx512_vnni"):
        monkeypatch.setattr(Path, "read_text", lambda *_, found=flags, **__: found)
        for name, model in models.items():
            caplog.clear()
            openvino_.OpenVinoBackend(model, precision="auto", threads=1).close()
            warned[flags[-4:], name] = "without VNNI" in caplog.text
    assert [key for key, is_warned in warned.items() if is_warned] == [("bmi2", "refinefuse_int8")]


def test_what_int8_is_not_for(pairs: Path, tmp_path: Path) -> None:
    source, path = write_wide(tmp_path / "a.onnx"), tmp_path / "b.onnx"
    model = onnx.load(source)
    int8 = to_int8(model, [pair(0)])
    for other, words in ((to_half(model), "half precision; give"), (int8, "in int8 already")):
        onnx.save(other, tmp_path / "other.onnx")
        with pytest.raises(ModelError, match=words):
            int8_fusion.quantise_fusion(tmp_path / "other.onnx", path, find_pairs(pairs))
    write_image(pairs / "thermal" / "00.png", np.zeros((48, 64), np.uint16))
    with pytest.raises(DataError, match=r"pair 00: thermal is uint16 \(48, 64\), rgb uint8"):
        int8_fusion.quantise_fusion(source, path, find_pairs(pairs))
    assert not path.exists()


def test_a_network_that_fails_its_self_test_is_not_written(
    pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of one whose ranges fit no pair that it is judged on."""
    monkeypatch.setattr(int8_fusion, "channel_ends", lambda values: values.max(axis=(1, 2)) / 50)
    source = write_wide(tmp_path / "a.onnx")
    with pytest.raises(ModelError, match=r"failed its self-test: mean error .*calibrate with more pairs"):
        int8_fusion.quantise_fusion(source, tmp_path / "b.onnx", find_pairs(pairs))
    assert not (tmp_path / "b.onnx").exists()


@pytest.mark.skipif("refinefuse_int8" not in read_models(), reason="no RefineFuse in int8 ships")
def test_torch_refuses_what_is_in_int8() -> None:
    pytest.importorskip("torch", reason="torch is not installed")
    with pytest.raises(ModelError, match="in int8, which is for OpenVINO on CPUs; take the model in f32"):
        load_backend(read_models()["refinefuse_int8"].path, "torch")
