"""Matchers of the user's: a small graph that really matches, and files that do not fit the contract."""

from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from ivfusion_ros import cli
from ivfusion_ros.calibrate.matcher import Matcher, align_by, matched_start
from ivfusion_ros.errors import ModelError

SIDES = 160, 120
"""(width, height) of the small matcher's inputs."""
PATCH = 15
SHIFT = 200.0
"""Pixels, of images 640 wide: twice as far as the search reaches by itself."""


def write(path: Path, nodes: list, weights: dict[str, np.ndarray], sides=(120, 160), inputs=None) -> Path:
    planes = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 1, *sides])
        for name in inputs or ("thermal", "visible")
    ]
    outputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("matches", "confidence")
    ]
    kept = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    graph = helper.make_graph(nodes, "matcher", planes, outputs, kept)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(model, path)
    return path


def block_matcher(path: Path) -> Path:
    """Normalised correlation of 56 patches of the thermal image with all places of the visible one."""
    width, height = SIDES
    corners = [(x, y) for y in range(4, height - PATCH, 16) for x in range(2, width - PATCH, 18)]
    nodes, weights = [], {"axes": np.array([2, 3]), "flat": np.array([1, len(corners), -1])}
    for index, (x, y) in enumerate(corners):
        weights[f"from{index}"] = np.array([y, x])
        weights[f"to{index}"] = np.array([y + PATCH, x + PATCH])
        bounds = [f"from{index}", f"to{index}", "axes"]
        nodes.append(helper.make_node("Slice", ["thermal", *bounds], [f"patch{index}"]))
    columns = width - PATCH + 1
    centres = np.array(corners, np.float32) + (PATCH - 1) / 2
    weights |= {
        "columns": np.array(columns),
        "half": np.array((PATCH - 1) / 2, np.float32),
        "area": np.array(PATCH**2, np.float32),
        "tiny": np.array(1e-3, np.float32),
        "centres": centres,
        "last": np.array([2]),
        "first": np.array([0]),
        "column": np.array([1]),
    }
    node = helper.make_node
    window = {"kernel_shape": [PATCH, PATCH]}
    nodes += [
        node("Concat", [f"patch{index}" for index in range(len(corners))], ["patches"], axis=0),
        node("ReduceMean", ["patches", "axes"], ["mean"]),
        node("Sub", ["patches", "mean"], ["plain"]),
        node("ReduceL2", ["plain", "axes"], ["length"]),
        node("Add", ["length", "tiny"], ["safe_length"]),
        node("Div", ["plain", "safe_length"], ["kernels"]),
        node("Conv", ["visible", "kernels"], ["products"]),
        node("AveragePool", ["visible"], ["local"], **window),
        node("Mul", ["visible", "visible"], ["square"]),
        node("AveragePool", ["square"], ["local_square"], **window),
        node("Mul", ["local", "local"], ["squared_local"]),
        node("Sub", ["local_square", "squared_local"], ["variance"]),
        node("Relu", ["variance"], ["no_less"]),
        node("Mul", ["no_less", "area"], ["energy"]),
        node("Sqrt", ["energy"], ["norm"]),
        node("Add", ["norm", "tiny"], ["safe_norm"]),
        node("Div", ["products", "safe_norm"], ["scores"]),
        node("Reshape", ["scores", "flat"], ["by_patch"]),
        node("ArgMax", ["by_patch"], ["best"], axis=2, keepdims=0),
        node("ReduceMax", ["by_patch", "last"], ["peak"], keepdims=0),
        node("Squeeze", ["peak", "first"], ["peaks"]),
        node("Squeeze", ["best", "first"], ["places"]),
        node("Mod", ["places", "columns"], ["x"]),
        node("Div", ["places", "columns"], ["y"]),
        node("Cast", ["x"], ["x_real"], to=TensorProto.FLOAT),
        node("Cast", ["y"], ["y_real"], to=TensorProto.FLOAT),
        node("Add", ["x_real", "half"], ["x_centre"]),
        node("Add", ["y_real", "half"], ["y_centre"]),
        node("Unsqueeze", ["x_centre", "column"], ["x_column"]),
        node("Unsqueeze", ["y_centre", "column"], ["y_column"]),
        node("Concat", ["centres", "x_column", "y_column"], ["matches"], axis=1),
        node("HardSigmoid", ["peaks"], ["confidence"], alpha=1.0, beta=0.0),
    ]
    return write(path, nodes, weights)


@pytest.fixture(scope="module")
def matcher(tmp_path_factory) -> Matcher:
    return Matcher(block_matcher(tmp_path_factory.mktemp("matcher") / "blocks.onnx"))


def street(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Boxes and discs of 880 x 480 pixels; each camera sees 640 of them."""
    random = np.random.default_rng(seed)
    canvas = np.full((480, 880), 110, np.uint8)
    for _ in range(160):
        x, y, side, grey = (int(random.integers(0, most)) for most in (880, 480, 60, 256))
        if random.random() < 0.5:
            cv2.rectangle(canvas, (x, y), (x + side, y + side // 2), grey, -1)
        else:
            cv2.circle(canvas, (x, y), side // 2, grey, -1)
    canvas = cv2.GaussianBlur(canvas, (0, 0), 1.0)
    shift = int(SHIFT)
    return np.ascontiguousarray(canvas[:, shift : shift + 640]), np.ascontiguousarray(canvas[:, :640])


def test_its_matches_are_pixels_of_the_images_as_given(matcher) -> None:
    found = matcher(*street(1))
    assert len(found.thermal) == len(found.visible) == len(found.confidence) == 56
    sure = found.confidence > 0.95
    assert sure.sum() > 20
    apart = found.visible[sure] - found.thermal[sure] - (SHIFT, 0)
    assert np.median(np.abs(apart), axis=0).max() < 1.5


def test_it_reaches_where_the_search_does_not(matcher, caplog) -> None:
    pairs = [street(seed) for seed in (1, 2, 3)]
    alone, by_matcher = align_by(pairs, None, "affine", None)
    assert not by_matcher and abs(alone.rgb_from_thermal[0, 2] - SHIFT) > 50
    found, by_matcher = align_by(pairs, None, "affine", matcher)
    assert by_matcher and found.trusted and found.confidence > alone.confidence
    np.testing.assert_allclose(found.rgb_from_thermal, [[1, 0, SHIFT], [0, 1, 0], [0, 0, 1]], atol=0.5)


def test_matches_that_do_not_agree_are_not_used(matcher, caplog) -> None:
    noise = np.random.default_rng(5).integers(0, 256, (2, 480, 640)).astype(np.uint8)
    assert matched_start([(noise[0], noise[1])], matcher) is None
    assert "matches in 1 pairs agree" in caplog.text and "not used" in caplog.text


def constant(path: Path, matches: np.ndarray, confidence: np.ndarray, inputs=None) -> Path:
    """The same answer to everything."""
    nodes = [
        helper.make_node("Constant", [], [name], value=numpy_helper.from_array(value))
        for name, value in (("matches", matches), ("confidence", confidence))
    ]
    return write(path, nodes, {}, inputs=inputs)


GOOD = np.full((5, 4), 3.0, np.float32), np.full(5, 0.5, np.float32)


@pytest.mark.parametrize(
    ("matches", "confidence", "inputs", "words"),
    [
        (GOOD[0][:, :3], GOOD[1], None, r"gave matches \(5, 3\)"),
        (GOOD[0], GOOD[1][:4], None, r"confidence \(4,\), expected"),
        (GOOD[0] * np.nan, GOOD[1], None, "not finite"),
        (GOOD[0], GOOD[1] * 9, None, "confidences of 4.5 to 4.5"),
        (*GOOD, ("image0", "image1"), "expected thermal and visible"),
    ],
)
def test_what_does_not_fit_is_told_when_it_is_loaded(tmp_path, matches, confidence, inputs, words) -> None:
    with pytest.raises(ModelError, match=words):
        Matcher(constant(tmp_path / "wrong.onnx", matches, confidence, inputs))


def test_no_matches_are_no_error(tmp_path) -> None:
    path = constant(tmp_path / "none.onnx", np.zeros((0, 4), np.float32), np.zeros(0, np.float32))
    assert matched_start([street(1)], Matcher(path)) is None


def test_the_command_refuses_what_it_cannot_use(tmp_path, capsys) -> None:
    words = ["calibrate", str(tmp_path), "--matcher", str(tmp_path / "none.onnx")]
    assert cli.main(words) == 7
    assert "there is no matcher at" in capsys.readouterr().err
    assert cli.main([*words, "--board", "checkerboard:8x6:0.08"]) == 2
    assert "leave it out with --board" in capsys.readouterr().err
