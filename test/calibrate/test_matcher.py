"""Matchers of the user's: a small graph that really matches, and files that do not fit the contract."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from cross_modal_samples import scene
from matcher_samples import block_matcher, edge_matcher, street, write
from onnx import helper, numpy_helper

from ivfusion_ros import backends, cli
from ivfusion_ros.calibrate.matcher import Matcher, PairMatching, align_by, load_matcher, matched_start
from ivfusion_ros.errors import ModelError
from ivfusion_ros.geometry.calibration import read_calibration
from ivfusion_ros.images.files import write_image

SHIFT = 200
"""Pixels, of images 640 wide: twice as far as the search reaches by itself."""


@pytest.fixture(scope="module")
def matcher(tmp_path_factory) -> Matcher:
    return Matcher(block_matcher(tmp_path_factory.mktemp("matcher") / "blocks.onnx"))


def test_its_matches_are_pixels_of_the_images_as_given(matcher) -> None:
    found = matcher(*street(1, SHIFT))
    assert len(found.thermal) == len(found.visible) == len(found.confidence) == 56
    sure = found.confidence > 0.95
    assert sure.sum() > 20
    apart = found.visible[sure] - found.thermal[sure] - (SHIFT, 0)
    assert np.median(np.abs(apart), axis=0).max() < 1.5


def test_it_reaches_where_the_search_does_not(matcher, caplog) -> None:
    pairs = [street(seed, SHIFT // 2, 320) for seed in (1, 2)]
    alone, answer = align_by(pairs, None, "affine", None)
    assert answer == "not asked" and abs(alone.rgb_from_thermal[0, 2] - SHIFT / 2) > 20
    found, answer = align_by(pairs, None, "affine", matcher)
    assert answer == "taken" and found.trusted and found.confidence > alone.confidence
    np.testing.assert_allclose(found.rgb_from_thermal, [[1, 0, SHIFT / 2], [0, 1, 0], [0, 0, 1]], atol=0.25)


def test_a_place_that_the_search_finds_too_is_not_the_matchers(matcher) -> None:
    """What the images say against it still counts, as a doubt of the views' sizes."""
    found, answer = align_by([street(seed, 10, 320) for seed in (1, 2)], None, "affine", matcher)
    assert found.trusted and answer == "same place"
    np.testing.assert_allclose(found.rgb_from_thermal, [[1, 0, 10], [0, 1, 0], [0, 0, 1]], atol=0.25)


def test_matches_that_do_not_agree_are_not_used(matcher, caplog) -> None:
    noise = np.random.default_rng(5).integers(0, 256, (2, 240, 320)).astype(np.uint8)
    assert align_by([(noise[0], noise[1])], None, "affine", matcher)[1] == "no place"
    assert "matches in 1 pairs agree" in caplog.text and "not used" in caplog.text


def test_edges_match_where_greys_have_nothing_in_common(tmp_path) -> None:
    thermal, visible = scene(3, 640, 480)
    moved = cv2.warpAffine(thermal, np.array([[1.0, 0, -44], [0, 1, 28]]), (640, 480))
    motion = PairMatching(Matcher(edge_matcher(tmp_path / "edges.onnx")), "rgb")(moved, visible)
    assert motion is not None
    np.testing.assert_allclose(motion @ [300, 260, 1], [344, 232, 1], atol=2.0)


@pytest.mark.parametrize("reference", ["rgb", "thermal"])
def test_the_motion_of_one_pair_is_from_the_warped_image_to_the_reference(matcher, reference) -> None:
    thermal, visible = street(1, 60)
    pair = (thermal, visible) if reference == "rgb" else (visible, thermal)
    motion = PairMatching(matcher, reference)(*pair)
    wanted = (
        [[1, 0, 60], [0, 1, 0], [0, 0, 1]] if reference == "rgb" else [[1, 0, -60], [0, 1, 0], [0, 0, 1]]
    )
    assert motion is not None
    moved = motion @ [320, 240, 1]
    np.testing.assert_allclose(moved, np.array(wanted) @ [320, 240, 1], atol=2.0)


def test_the_motion_of_one_pair_is_none_where_all_lies_in_one_place(tmp_path) -> None:
    """Which agrees perfectly."""
    spread = np.stack([np.tile(np.arange(5.0), 5), np.repeat(np.arange(5.0), 5)], axis=1) * 20
    matches = np.concatenate([spread, np.full((25, 2), 30.0)], axis=1).astype(np.float32)
    path = constant(tmp_path / "one.onnx", matches, np.full(25, 0.9, np.float32))
    assert PairMatching(Matcher(path), "thermal")(*street(1, 60)) is None


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


def test_the_one_that_ships_finds_an_inverted_view_again() -> None:
    picture = Path(backends.__file__).with_name("self_test_rgb.jpg")
    visible = cv2.imread(str(picture), cv2.IMREAD_GRAYSCALE)
    thermal = 255 - visible
    height, width = thermal.shape
    move = cv2.getRotationMatrix2D((width / 2, height / 2), 4, 1.08)
    move[:, 2] += 0.05 * width, 9
    warped = cv2.warpAffine(thermal, move, (width, height))
    start = matched_start([(warped, visible)], load_matcher("matcher"))
    assert start is not None
    corners = np.array([[[0.0, 0], [width, 0], [width, height], [0, height]]])
    there = cv2.transform(cv2.perspectiveTransform(corners, start), move)
    assert np.hypot(*(there - corners)[0].T).mean() < 0.03 * width


def test_no_matches_are_no_error(tmp_path) -> None:
    path = constant(tmp_path / "none.onnx", np.zeros((0, 4), np.float32), np.zeros(0, np.float32))
    assert matched_start([street(1, SHIFT)], Matcher(path)) is None


@pytest.mark.parametrize(
    ("shift", "name", "answer"), [(SHIFT // 2, "blocks.onnx", "taken"), (10, "blocks.onnx", "same place")]
)
def test_all_outputs_tell_what_became_of_it(tmp_path, shift, name, answer) -> None:
    words, out = _street_words(tmp_path, shift, str(block_matcher(tmp_path / name)))
    assert cli.main(words) == 0
    for found in (json.loads((tmp_path / "rig.json").read_text()), read_calibration(out).quality):
        assert (found["matcher"], found["matcher_answer"]) == (name, answer)
    page = (tmp_path / "rig.html").read_text()
    assert name in page and f">{answer}<" in page


def test_all_outputs_tell_that_none_was_asked(tmp_path) -> None:
    words, out = _street_words(tmp_path, 10, "none")
    assert cli.main(words) == 0
    for found in (json.loads((tmp_path / "rig.json").read_text()), read_calibration(out).quality):
        assert found["matcher"] == "none" and "matcher_answer" not in found


def _street_words(folder: Path, shift: int, matcher: str) -> tuple[list[str], Path]:
    for seed in (1, 2):
        for camera, image in zip(("thermal", "rgb"), street(seed, shift, 320), strict=True):
            (folder / camera).mkdir(exist_ok=True)
            write_image(
                folder / camera / f"{seed}.png", image if camera == "thermal" else np.stack([image] * 3, -1)
            )
    inputs = [str(folder / camera) for camera in ("thermal", "rgb")]
    out = folder / "rig.yaml"
    outputs = ["--out", str(out), "--json", str(folder / "rig.json"), "--html", str(folder / "rig.html")]
    return ["calibrate", *inputs, *outputs, "--hfov", "60", "60", "--matcher", matcher], out


def test_the_command_refuses_what_it_cannot_use(tmp_path, capsys) -> None:
    words = ["calibrate", str(tmp_path), str(tmp_path), "--matcher", str(tmp_path / "none.onnx")]
    assert cli.main(words) == 5
    assert "there is no model file at" in capsys.readouterr().err
    assert cli.main([*words, "--board", "checkerboard:8x6:0.08"]) == 2
    assert "leave it out with --board" in capsys.readouterr().err
