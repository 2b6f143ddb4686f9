"""Detectors in int8: what is rounded and what is not, that backends agree with f32, and what is refused."""

import platform
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from places import SHARED
from small_models import SIDES, write_deep_detector, write_detector, write_fusion

from ivfusion_ros.backends import load_backend
from ivfusion_ros.cli import main
from ivfusion_ros.config.pipeline import DetectionConfig
from ivfusion_ros.detection import Detector
from ivfusion_ros.errors import DataError, ModelError
from ivfusion_ros.export import int8
from ivfusion_ros.export.int8 import find_images, network_input, quantised_nodes, to_int8
from ivfusion_ros.graphs.half import to_half
from ivfusion_ros.graphs.onnx_file import PRECISION_KEY, read_metadata
from ivfusion_ros.images.files import read_image, write_image
from ivfusion_ros.models import read_models

CLASSIC = SHARED / "reference" / "yolov5n_coco_480x640.onnx"
SHIPPED = next((entry.path for entry in read_models().values() if entry.task == "detection"), None)


def scene(seed: int, size: tuple[int, int] = SIDES) -> np.ndarray:
    """Blocks of random colour, (height, width, 3) uint8."""
    coarse = np.random.default_rng(seed).integers(0, 256, (-(-size[1] // 8), -(-size[0] // 8), 3), np.uint8)
    return np.kron(coarse, np.ones((8, 8, 1), np.uint8))[: size[1], : size[0]].copy()


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images of a robot"
    folder.mkdir()
    for seed in range(16):
        write_image(folder / f"{seed:02}.png", scene(seed))
    return folder


def rounded(model: onnx.ModelProto) -> dict[str, bool]:
    """Whether the weights of each convolution come out of a rounding, by name; then its input does too."""
    makers = {name: node.op_type for node in model.graph.node for name in node.output}
    found = {}
    for node in model.graph.node:
        if node.op_type == "Conv":
            image, weights = (makers.get(name) == "DequantizeLinear" for name in node.input[:2])
            assert image or not weights
            found[node.name] = weights
    return found


def test_only_what_other_convolutions_read_is_rounded(images: Path, tmp_path: Path) -> None:
    model = onnx.load(write_deep_detector(tmp_path / "a.onnx"))
    result = to_int8(model, [network_input(model, path) for path in find_images(images, 4)])
    onnx.checker.check_model(result, full_check=True)
    names = {name.split("/")[1]: is_int8 for name, is_int8 in rounded(result).items()}
    expected = dict.fromkeys(("again", "coarse", "joined"), True)
    assert names == expected | dict.fromkeys(("fine", "middle", "head0", "head1", "head2"), False)
    readers = {name: node.op_type for node in result.graph.node for name in node.input}
    # SiLU follows at once, so that a backend can make one kernel of both.
    assert {readers[node.output[0]] for node in result.graph.node if node.op_type == "Conv"} == {
        "Mul",
        "Reshape",
    }
    weights = {item.name: numpy_helper.to_array(item) for item in result.graph.initializer}
    matrices = [value for value in weights.values() if value.dtype == np.int8 and value.ndim == 4]
    # Seven bits, of which each channel has its own share.
    assert len(matrices) == 3
    assert all((np.abs(value.astype(int)).max(axis=(1, 2, 3)) == 64).all() for value in matrices)


@pytest.mark.skipif(SHIPPED is None, reason="no detector ships")
def test_rule_finds_the_end_of_the_shipped_head() -> None:
    """One on each of three levels: three anchors of five values and six classes."""
    graph = onnx.load(SHIPPED).graph
    chosen = set(quantised_nodes(graph))
    left = [node for node in graph.node if node.op_type == "Conv" and node.name not in chosen]
    assert len(left) == 3 and len(chosen) == 57
    biases = {item.name: item.dims[0] for item in graph.initializer if len(item.dims) == 1}
    assert [biases[node.input[2]] for node in left] == [3 * (5 + 6)] * 3


@pytest.mark.skipif(not CLASSIC.exists(), reason="no ../shared/reference")
def test_rule_finds_the_end_of_the_classic_head() -> None:
    graph = onnx.load(CLASSIC).graph
    chosen = set(quantised_nodes(graph))
    left = [node for node in graph.node if node.op_type == "Conv" and node.name not in chosen]
    shapes = {item.name: list(item.dims) for item in graph.initializer}
    assert [shapes[node.input[1]][0] for node in left] == [255] * 3 and len(chosen) == 57


@pytest.mark.parametrize("free", [False, True])
def test_command_writes_a_detector_like_the_one_in_f32(
    free: bool, images: Path, tmp_path: Path, capsys
) -> None:
    source, path = write_deep_detector(tmp_path / "a.onnx", free), tmp_path / "b.onnx"
    assert main(["export", str(source), str(path), "--int8", "--images", str(images)]) == 0
    assert "in int8, compared with f32: overlap 0.9" in capsys.readouterr().err
    assert sorted(item.name for item in tmp_path.iterdir()) == ["a.onnx", "b.onnx", images.name]
    assert read_metadata(path) == read_metadata(source) | {PRECISION_KEY: "int8"}
    assert str(tmp_path).encode() not in path.read_bytes()
    size = (160, 96) if free else SIDES
    model = onnx.load(source)
    write_image(tmp_path / "new.png", scene(99, size))
    tensor = network_input(model, tmp_path / "new.png")
    plain = load_backend(source, "onnxruntime")
    (expected,) = plain.run({"images": tensor}).values()
    for name in ("onnxruntime", "openvino"):
        if name == "openvino":
            pytest.importorskip("openvino")
        backend = load_backend(path, name, threads=1)
        assert backend.inputs == plain.inputs and backend.outputs == plain.outputs
        (found,) = backend.run({"images": tensor}).values()
        error = np.abs(found - expected)[0]
        assert error[:4].mean() < 0.5 and error[4:].mean() < 0.01, name
        assert error.max() > 1e-4
        assert Detector(backend, DetectionConfig()).class_names == ("person", "car")
        backend.close()


@pytest.mark.skipif(
    platform.machine() != "x86_64", reason="what OpenVINO has int8 kernels for differs on ARM"
)
def test_openvino_computes_in_int8(images: Path, tmp_path: Path) -> None:
    core = pytest.importorskip("ivfusion_ros.backends.openvino_").core()
    model = onnx.load(write_deep_detector(tmp_path / "a.onnx"))
    result = to_int8(model, [network_input(model, path) for path in find_images(images, 4)])
    onnx.save(result, tmp_path / "b.onnx")
    compiled = core.compile_model(tmp_path / "b.onnx", "CPU")
    kinds: dict[str, list[str]] = {}
    for node in compiled.get_runtime_model().get_ordered_ops():
        information = node.get_rt_info()
        kind = information["layerType"].astype(str)
        kinds.setdefault(kind, []).append(information["primitiveType"].astype(str))
    assert [kind.endswith("I8") for kind in kinds["Convolution"]].count(True) == 3
    # The first joins feature maps, the second the head's rows.
    assert [kind.endswith("I8") for kind in kinds["Concatenation"]] == [True, False]


def test_ranges_are_means_over_the_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(int8, "_FIRST", 0)
    model = onnx.load(write_deep_detector(tmp_path / "a.onnx"))
    shape = (1, 3, SIDES[1], SIDES[0])
    result = to_int8(model, [np.full(shape, value, np.float32) for value in (1.0, 0.5)])
    node = next(node for node in result.graph.node if node.input[0] == "images")
    weights = {item.name: numpy_helper.to_array(item) for item in result.graph.initializer}
    assert node.op_type == "QuantizeLinear"
    assert weights[node.input[1]] == pytest.approx(0.75 / 255) and weights[node.input[2]] == 0


@pytest.mark.parametrize("size", [SIDES, (150, 70)])
def test_calibration_reads_what_the_detector_reads(
    size: tuple[int, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_deep_detector(tmp_path / "a.onnx")
    write_image(tmp_path / "a.png", scene(0, size))
    backend = load_backend(path, "onnxruntime")
    detector = Detector(backend, DetectionConfig())
    seen, run = [], backend.run
    monkeypatch.setattr(backend, "run", lambda inputs: (seen.append(inputs["images"]), run(inputs))[1])
    image = read_image(tmp_path / "a.png")
    detector(image)
    assert np.array_equal(network_input(onnx.load(path), tmp_path / "a.png"), seen[0])
    write_image(tmp_path / "grey.png", image[..., 0])
    detector(np.repeat(image[..., :1], 3, axis=2))
    assert np.array_equal(network_input(onnx.load(path), tmp_path / "grey.png"), seen[1])


def test_images_of_a_data_set_are_its_training_images(images: Path, tmp_path: Path) -> None:
    data = tmp_path / "set"
    for part in ("train", "val"):
        (data / "images" / part / "mst").mkdir(parents=True)
        write_image(data / "images" / part / "mst" / "1.png", scene(1))
    write_image(data / "preview.png", scene(2))
    assert find_images(data, 9) == [data / "images" / "train" / "mst" / "1.png"]
    some = find_images(images, 6)
    assert len(set(some)) == 6 and some == find_images(images, 6) and some != sorted(some)
    (images / "labels").mkdir()
    write_image(images / "labels" / "00.png", scene(0)[..., 0])
    assert len(find_images(images, 99)) == 16
    (tmp_path / "none").mkdir()
    with pytest.raises(DataError, match="holds no images; expected a data set of"):
        find_images(tmp_path / "none", 6)


def test_a_detector_that_fails_its_self_test_is_not_written(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_deep_detector(tmp_path / "a.onnx")
    # As of a network whose ranges fit no image that it is judged on.
    monkeypatch.setattr(int8, "network_input", lambda *_: next(tensors))
    dark, bright = (np.full((1, 3, SIDES[1], SIDES[0]), value, np.float32) for value in (0.01, 1.0))
    tensors = iter([dark] * 12 + [bright] * 4)
    with pytest.raises(
        ModelError, match=r"failed its self-test: overlap 0.* of scores.*calibrate with more"
    ):
        int8.quantise_detector(source, tmp_path / "b.onnx", images)
    assert not (tmp_path / "b.onnx").exists()


@pytest.mark.parametrize("kind", ["lost objects", "boxes elsewhere"])
def test_what_goes_wrong_in_one_place_is_seen(
    kind: str, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three anchors of the hundred best: both means stay within their limits."""
    corners = np.linspace(0, 60, 400, dtype=np.float32)[:, None]
    boxes = np.concatenate([corners, corners, corners + 20, corners + 20], axis=1)
    scores = np.linspace(0, 0.9, 400, dtype=np.float32)
    moved, doubted = boxes.copy(), scores.copy()
    moved[-3:] += 30
    doubted[-3:] -= 0.5
    sound = int8.Candidates(boxes, scores, np.zeros(400, np.int64))
    damaged = replace(sound, scores=doubted) if kind == "lost objects" else replace(sound, boxes_xyxy=moved)
    found = iter([sound, damaged, sound, sound])
    monkeypatch.setattr(int8, "reference", lambda _: lambda _: {})
    monkeypatch.setattr(int8, "network_input", lambda *_: np.zeros((1, 3, 64, 96), np.float32))
    monkeypatch.setattr(int8, "_anchors", lambda *_: next(found))
    model = onnx.ModelProto(graph=onnx.GraphProto(input=[onnx.ValueInfoProto(name="images")]))
    outcomes = [int8._self_test(model, model, [images / "00.png"]) for _ in range(2)]
    assert [outcome.passed for outcome in outcomes] == [False, True]
    text = outcomes[0].text
    overlap, error = (float(re.search(rf"{word} ([\d.]+) of", text)[1]) for word in ("overlap", "error"))
    assert overlap >= int8.MIN_OVERLAP and error <= int8.MAX_SCORE


def test_what_int8_is_not_for(images: Path, tmp_path: Path) -> None:
    source = write_deep_detector(tmp_path / "a.onnx")
    model = onnx.load(source)
    tensor = network_input(model, images / "00.png")
    old = onnx.ModelProto()
    old.CopyFrom(model)
    old.opset_import[0].version = 12
    for other, words in (
        (to_half(model), "half precision; give the one in f32"),
        (to_int8(model, [tensor]), "int8 already"),
        (old, "opset 12, expected at least 13"),
        (onnx.load(write_detector(tmp_path / "flat.onnx")), "no two convolutions in a row"),
    ):
        with pytest.raises(ModelError, match=words):
            to_int8(other, [tensor])
    half = tmp_path / "half.onnx"
    onnx.save(to_half(model), half)
    with pytest.raises(
        ModelError, match=f"`ivfusion export --detector {half} f32.onnx` writes of one with"
    ):
        # The folder is not looked at before.
        int8.quantise_detector(half, tmp_path / "int8.onnx", tmp_path / "nowhere")
    two = write_detector(tmp_path / "two.onnx", thermal=True)
    with pytest.raises(
        ModelError, match=r"two\.onnx takes the thermal image too, and int8 is for detectors of one"
    ):
        int8.quantise_detector(two, tmp_path / "int8.onnx", images)
    write_image(tmp_path / "deep.png", np.zeros((64, 96), np.uint16))
    with pytest.raises(DataError, match="16 bits, and a detector sees 8"):
        to_int8(model, (network_input(model, path) for path in [tmp_path / "deep.png"]))


def test_command_refuses_with_advice(images: Path, tmp_path: Path, capsys) -> None:
    fusion = write_fusion(tmp_path / "fusion.onnx")
    (tmp_path / "last.pt").write_bytes(b"weights")
    (tmp_path / "broken.onnx").write_bytes(b"no model")
    folder = ["--images", images]
    for words, status, advice in (
        ([fusion, "--int8", *folder], 7, "expected pairs such as thermal"),
        ([tmp_path / "last.pt", "--int8", *folder], 5, "is not an ONNX file; export it first"),
        ([tmp_path / "broken.onnx", "--int8", *folder], 5, "cannot be read as ONNX"),
        (["nothing", "--int8", *folder], 5, "unknown model"),
        ([fusion, "--int8"], 2, "--int8 --images DIR"),
        ([fusion, *folder], 2, "--int8 --images DIR"),
        ([fusion, "--int8", "--detector", *folder], 2, "export with --detector first"),
    ):
        network, *options = (str(word) for word in words)
        assert main(["export", network, str(tmp_path / "out.onnx"), *options]) == status
        assert advice in capsys.readouterr().err
    assert not (tmp_path / "out.onnx").exists()
