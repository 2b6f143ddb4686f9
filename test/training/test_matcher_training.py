"""The matcher: its samples are where they say, its loss by hand, a run that goes on, and what it learns."""

from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training dependencies are not installed")
pytest.importorskip("onnx", reason="training dependencies are not installed")

from ivfusion_ros.calibrate.matcher import Matcher as FileMatcher
from ivfusion_ros.errors import ConfigError, ModelError
from ivfusion_ros.export.matcher import export_matcher
from ivfusion_ros.networks.checkpoint import load_checkpoint
from ivfusion_ros.networks.matcher import Matcher, MatcherGraph, grid, look
from ivfusion_ros.sources.layouts import find_pairs
from ivfusion_ros.training.matcher.appearance import exposed, repainted
from ivfusion_ros.training.matcher.config import MatcherConfig
from ivfusion_ros.training.matcher.loss import matching_loss
from ivfusion_ros.training.matcher.samples import Sample, Samples
from ivfusion_ros.training.matcher.trainer import LAST, MatcherTrainer
from ivfusion_ros.training.matcher.views import random_motion, random_view, to_unit

SMALL = {"width": 64, "height": 64, "batch": 2, "threads": 1, "workers": 0, "precision": "f32"}
ORIGIN = {"settings": {}, "data": {}}


@pytest.fixture
def pairs(tmp_path) -> list:
    """Two pairs of blobs, the same in both cameras."""
    random = np.random.default_rng(2)
    for stem in ("00000", "00001"):
        image = cv2.GaussianBlur(random.integers(0, 256, (96, 128)).astype(np.uint8), (0, 0), 4)
        image = cv2.normalize(image, None, 0, 255, cv2.NORM_MINMAX)
        for camera in ("thermal", "rgb"):
            (tmp_path / "data" / camera).mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(tmp_path / "data" / camera / f"{stem}.png"), image)
    return find_pairs(tmp_path / "data")


def test_a_sample_shows_the_same_at_the_places_that_it_names(pairs) -> None:
    config = MatcherConfig(repainted=0.0, repainted_last=0.0, batch=6, width=128, height=96)
    for sample in Samples(pairs, config).step(3, 0.5):
        height, width = sample.thermal.shape
        assert (width, height) == (128, 96) and sample.thermal.dtype == np.float32
        # As the thermal camera would see the visible image.
        there = cv2.warpPerspective(sample.visible, np.linalg.inv(sample.truth), (width, height))
        inside = cv2.warpPerspective(
            np.ones((height, width), np.uint8), np.linalg.inv(sample.truth), (width, height)
        )
        both = (inside > 0) & cv2.erode(sample.seen.astype(np.uint8), np.ones((5, 5))).astype(bool)
        like = np.corrcoef(sample.thermal[both], there[both])[0, 1]
        assert both.mean() > 0.3 and abs(like) > 0.8


def test_each_step_is_drawn_from_its_number_alone(pairs) -> None:
    config = MatcherConfig(**SMALL)
    one, other = Samples(pairs, config), Samples(pairs, config)
    other.step(0, 0.0)
    for first, second in zip(one.step(5, 0.2), other.step(5, 0.2), strict=True):
        assert np.array_equal(first.thermal, second.thermal) and np.array_equal(first.truth, second.truth)


def test_views_stay_within_the_image_and_motions_within_their_limits() -> None:
    config, random = MatcherConfig(bend=0.0), np.random.default_rng(1)
    corners = np.array([[[0.0, 0], [1, 0], [1, 1], [0, 1]]])
    for _ in range(100):
        cut = cv2.perspectiveTransform(corners, np.linalg.inv(random_view(config, random)))
        assert cut.min() >= -1e-9 and cut.max() <= 1 + 1e-9 and np.ptp(cut[0, :, 0]) >= 0.5
        # In pixels of a square image a motion is a similarity.
        motion = random_motion(config, 1.0, random)
        motion = motion / motion[2, 2]
        scale = np.sqrt(np.linalg.det(motion[:2, :2]))
        assert 1 / 1.3 - 1e-6 <= scale <= 1.3 + 1e-6
        assert abs(np.degrees(np.arctan2(motion[1, 0], motion[0, 0]))) <= 10 + 1e-6
        shift = cv2.perspectiveTransform(np.array([[[0.5, 0.5]]]), motion) - 0.5
        assert np.abs(shift).max() <= 0.15 + 1e-6
    assert np.allclose(to_unit((4, 2)) @ [-0.5, 1.5, 1], [0, 1, 1])


def test_greys_change_and_places_do_not() -> None:
    image = np.tile(np.arange(0, 256, 4, dtype=np.uint8), (48, 1))
    random = np.random.default_rng(4)
    for _ in range(20):
        other = repainted(image, random)
        assert other.dtype == np.uint8 and (other == other[0]).all()
        shown = exposed(image, random, 0.5)
        assert shown.dtype == np.float32 and shown.min() >= 0 and shown.max() <= 1


def shifted(columns: int) -> Sample:
    """A view that lies so many places further right in the visible image."""
    matrix = np.array([[1.0, 0, 8 * columns], [0, 1, 0], [0, 0, 1]])
    blank = np.zeros((64, 64), np.float32)
    return Sample(blank, blank, matrix, np.ones((64, 64), bool))


def test_loss_of_a_shift_by_hand() -> None:
    places = grid((64, 64))
    assert places[0].tolist() == [3.5, 3.5] and places[9].tolist() == [11.5, 11.5]
    right = torch.full((1, 64, 64), -20.0)
    for row in range(8):
        for column in range(6):
            right[0, 8 * row + column, 8 * row + column + 2] = 20.0
    loss, found = matching_loss(right, [shifted(2)])
    assert float(loss) == pytest.approx(0, abs=1e-6) and found == 1
    loss, found = matching_loss(torch.zeros(1, 64, 64), [shifted(2)])
    assert float(loss) == pytest.approx(np.log(64), abs=1e-5)
    _, found = matching_loss(right.roll(4, 2), [shifted(2)])
    assert found == 0


def test_local_contrast_of_a_turned_grey_is_its_negative() -> None:
    image = torch.rand(1, 1, 64, 96)
    one, other = look(image), look(1 - image)
    assert torch.allclose(one[:, 0], -other[:, 0], atol=1e-4)
    assert torch.allclose(one[:, 1:], other[:, 1:], atol=1e-4)
    assert float(look(torch.full((1, 1, 64, 64), 0.4)).abs().max()) < 0.1


def test_the_graph_gives_the_place_that_both_ways_agree_on() -> None:
    class Shift(torch.nn.Module):
        def forward(self, thermal, visible):
            logits = torch.zeros(1, 64, 64)
            for row in range(8):
                for column in range(6):
                    logits[0, 8 * row + column, 8 * row + column + 2] = 40.0
            return logits

    images = torch.zeros(1, 1, 64, 64)
    matches, confidence = MatcherGraph(Shift(), (64, 64))(images, images)
    known = matches[:, 0] < 48
    assert torch.allclose(matches[known, 2:] - matches[known, :2], torch.tensor([16.0, 0.0]), atol=1e-3)
    assert float(confidence[known].min()) > 0.99 and float(confidence[~known].max()) < 0.2


def test_a_run_that_is_stopped_ends_like_one_that_is_not(pairs, tmp_path) -> None:
    config = MatcherConfig(**SMALL, iterations=4)
    whole = MatcherTrainer(config, pairs, tmp_path, ORIGIN, resume=False)
    whole.run = tmp_path / "whole"
    whole.run.mkdir()
    whole.fit()
    part = tmp_path / "part"
    part.mkdir()
    with pytest.raises(KeyboardInterrupt, match="step 1 of 4"):
        MatcherTrainer(config, pairs, part, ORIGIN, resume=False).fit(lambda: True)
    MatcherTrainer(config, pairs, part, ORIGIN, resume=True).fit()
    one, other = (load_checkpoint(run / LAST) for run in (whole.run, part))
    assert one["step"] == other["step"] == 4
    for name, weight in one["ema"].items():
        assert torch.equal(weight, other["ema"][name]), name
    with pytest.raises(ConfigError, match="was trained with something else"):
        MatcherTrainer(config, pairs, part, {**ORIGIN, "data": {"pairs": 9}}, resume=True)
    with pytest.raises(ModelError, match="there is no checkpoint"):
        MatcherTrainer(config, pairs, tmp_path / "none", ORIGIN, resume=True)


def test_it_learns_where_shifted_blobs_are(pairs, tmp_path) -> None:
    config = MatcherConfig(
        **SMALL, iterations=60, warm_up=5, turn_deg=0.0, scale=1.0, bend=0.0, shift=0.3, repainted=0.0,
        repainted_last=0.0,
    )  # fmt: skip
    trainer = MatcherTrainer(config, pairs, tmp_path, ORIGIN, resume=False)
    trainer.fit()
    losses, found = np.array(trainer._recent).T
    assert losses[-20:].mean() < 0.7 * losses[:3].mean() and found[-20:].mean() > 2 * found[:3].mean()


def test_what_is_exported_fits_the_contract(pairs, tmp_path) -> None:
    path = tmp_path / "matcher.onnx"
    torch.manual_seed(1)
    export_matcher(Matcher().eval(), (128, 96), path)
    matcher = FileMatcher(path)
    image = cv2.imread(str(pairs[0].rgb), cv2.IMREAD_GRAYSCALE)
    matches = matcher(image, image)
    matcher.close()
    assert matches.thermal.shape == matches.visible.shape == (16 * 12, 2) and matches.pixel == 1
    # What is the same has the same features, whatever the weights are.
    assert np.median(np.abs(matches.visible - matches.thermal)) < 4


def test_sides_and_weights_that_cannot_be(tmp_path) -> None:
    with pytest.raises(ConfigError, match="samples of 100x64, expected multiples of 32"):
        MatcherConfig(width=100, height=64)
    network = Matcher()
    assert sum(weight.numel() for weight in network.parameters()) < 2_000_000
    network.sharpness.data.fill_(float("nan"))
    path = Path(tmp_path) / "matcher.onnx"
    with pytest.raises(ModelError, match="not finite"):
        export_matcher(network, (64, 64), path)
    assert not path.exists()
