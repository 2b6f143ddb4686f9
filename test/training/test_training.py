"""Training: data on disk, splits along runs, losses against numpy."""

from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training dependencies are not installed")

from training_samples import config, pair_folder

from ivfusion_ros.errors import DataError
from ivfusion_ros.images.pairs import PairPaths, hold_out, hold_out_end, split_runs
from ivfusion_ros.metrics import visual_information_fidelity as metric_vif
from ivfusion_ros.sources.layouts import find_pairs
from ivfusion_ros.training.fusion.config import TrainConfig
from ivfusion_ros.training.fusion.data import read_luminance
from ivfusion_ros.training.fusion.loss_config import MultiScaleConfig, TermConfig, TermsConfig
from ivfusion_ros.training.fusion.losses import make_loss
from ivfusion_ros.training.fusion.losses.base import Batch, Outputs
from ivfusion_ros.training.fusion.losses.image_terms import (
    expand,
    laplacian_pyramid,
    sobel,
    structural_similarity,
    visual_information_fidelity,
)
from ivfusion_ros.training.fusion.losses.multiscale import MultiScaleLoss
from ivfusion_ros.training.fusion.losses.terms import fidelity_lost
from ivfusion_ros.training.fusion.split import split_folders
from ivfusion_ros.types import CAMERAS


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return pair_folder(tmp_path)


def make_batch(seed: int = 0, thermal_value: float | None = None) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    thermal, visible = torch.rand(2, 2, 1, 64, 64, generator=generator)
    if thermal_value is not None:
        thermal = torch.full_like(thermal, thermal_value)
    labels = torch.full(thermal.shape, 255, dtype=torch.uint8)
    means = (image.mean((1, 2, 3), keepdim=True) for image in (thermal, visible))
    return Batch(thermal, visible, labels, *means)


def test_runs_end_at_gaps_other_names_and_40_frames() -> None:
    stems = ["00001D", "00003D", "00008D", "00014D", "00015N", "street", "road"]
    assert split_runs(stems) == [[0, 1, 2], [3], [4], [5], [6]]
    assert [len(run) for run in split_runs([f"{n:03d}" for n in range(100)])] == [40, 40, 20]


def test_hold_out_takes_whole_runs(folder) -> None:
    training, validation = hold_out(find_pairs(folder), 0.4, seed=0)
    numbers = {int(pair.stem[:5]) // 100 for pair in validation}
    assert len(validation) == len(training) == 6
    assert len(numbers) == 1
    assert {pair.stem for pair in training}.isdisjoint(pair.stem for pair in validation)
    assert hold_out(find_pairs(folder), 0.0, seed=0)[1] == []
    single_run = find_pairs(folder)[:6]
    assert hold_out(single_run, 0.1, seed=0) == (single_run, [])


def numbered(*numbers: int, ending: str = "D") -> list[PairPaths]:
    return [PairPaths(Path(f"{number:05d}{ending}.png"), Path(), None) for number in numbers]


def test_no_neighbour_of_a_held_out_pair_is_trained_on() -> None:
    # 100 frames in a row are three runs of at most 40; others are numbered alike and are other scenes.
    pairs = numbered(*range(100)) + numbered(*range(200, 300, 20)) + numbered(*range(100), ending="N")
    training, validation = hold_out(pairs, 0.25, seed=1, guard=5)
    held = {(int(pair.stem[:5]), pair.stem[5:]) for pair in validation}
    assert len(held) == len(validation) > 20
    for pair in training:
        near = {(int(pair.stem[:5]) + step, pair.stem[5:]) for step in range(-5, 6)}
        assert not near & held
    # Of a run that has neighbours on both sides, five are lost on each.
    lost = len(pairs) - len(training) - len(validation)
    assert 5 <= lost <= 20 and len(hold_out(pairs, 0.25, seed=1, guard=0)[0]) == len(training) + lost


def test_the_end_of_a_single_recording_is_held_out() -> None:
    pairs = numbered(*range(30))
    assert hold_out(pairs, 0.1, seed=0) == (pairs, [])
    training, validation = hold_out_end(pairs, 0.1, guard=5)
    assert (training, validation) == (pairs[:22], pairs[27:])
    # Of so few, none would be left to train on.
    assert hold_out_end(pairs[:6], 0.1, guard=5) == (pairs[:6], [])


def test_of_single_recordings_something_is_held_out_unless_told_otherwise(tmp_path) -> None:
    one = pair_folder(tmp_path / "one", range(12))
    held = [
        len(split_folders([one], CAMERAS, config(validation_fraction=fraction)).validation)
        for fraction in (0.1, 0.0)
    ]
    assert held == [1, 0]


def test_msrs_has_no_neighbours_across_its_split(shared) -> None:
    folder = shared / "data" / "msrs"
    for fraction in (0.05, TrainConfig().validation_fraction):
        training, validation = hold_out(find_pairs(folder), fraction, seed=0)
        held = {(int(pair.stem[:5]), pair.stem[5:]) for pair in validation}
        near = [
            pair.stem
            for pair in training
            if held & {(int(pair.stem[:5]) + step, pair.stem[5:]) for step in range(-5, 6)}
        ]
        assert len(validation) > 40 and near == []


def test_luminance_and_labels(folder) -> None:
    pairs = find_pairs(folder)
    image = read_luminance(pairs[0])
    bgr = cv2.imread(str(pairs[0].rgb)).astype(float)
    luma = bgr @ [0.114, 0.587, 0.299]
    assert np.abs(image[1] - luma).max() <= 1
    assert (image[2] == 2).all()
    assert (read_luminance(pairs[-1])[2] == 255).all()


def test_bad_folders(tmp_path, folder) -> None:
    with pytest.raises(DataError, match=r"there is no folder .*absent"):
        find_pairs(tmp_path / "absent")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="0 images in thermal/ and 0 in rgb/"):
        find_pairs(tmp_path / "empty")
    broken = find_pairs(folder)[0]
    broken.thermal.write_bytes(b"no image")
    with pytest.raises(DataError, match="cannot be decoded"):
        read_luminance(broken)
    cv2.imwrite(str(broken.thermal), np.zeros((10, 10), np.uint8))
    with pytest.raises(DataError, match=r"thermal is \(10, 10\), rgb \(96, 128\)"):
        read_luminance(broken)


def test_sobel_agrees_with_opencv() -> None:
    image = np.random.default_rng(0).random((20, 30)).astype(np.float32)
    for own, (dx, dy) in zip(sobel(torch.from_numpy(image)[None, None]), ((1, 0), (0, 1)), strict=True):
        other = cv2.Sobel(image, cv2.CV_32F, dx, dy, scale=1 / 4, borderType=cv2.BORDER_REPLICATE)
        np.testing.assert_allclose(own[0, 0].numpy(), other, atol=1e-6)


def test_structural_similarity_agrees_with_skimage() -> None:
    metrics = pytest.importorskip("skimage.metrics")
    a, b = (image[0, 0].double() for image in (make_batch(1).thermal, make_batch(1).visible))
    _, other = metrics.structural_similarity(
        a.numpy(), b.numpy(), data_range=1.0, K1=1e-2, K2=10**-2.5, full=True, use_sample_covariance=False
    )
    own = structural_similarity(a[None, None].float(), b[None, None].float())[0, 0].numpy()
    np.testing.assert_allclose(own[4:-4, 4:-4], other[4:-4, 4:-4], atol=1e-4)


@pytest.mark.parametrize("name", ["multiscale", "refinefuse_paper"])
def test_losses_prefer_their_target_to_others(name: str) -> None:
    loss, batch = make_loss(config(loss=name)), make_batch()
    good = torch.maximum(batch.thermal, batch.visible)
    bad = torch.zeros_like(good)
    totals = [
        sum(term.item() for term in loss.terms(batch, Outputs(fused)).values()) for fused in (good, bad)
    ]
    assert totals[0] < totals[1]


def test_fidelity_agrees_with_the_metric() -> None:
    batch = make_batch()
    own = visual_information_fidelity(batch.thermal, (batch.thermal + batch.visible) / 2)
    for index in range(2):
        thermal, visible = (255 * image[index, 0].numpy() for image in (batch.thermal, batch.visible))
        # The metric adds up both sources; against the fused image itself the second is 1.
        fused = (thermal + visible) / 2
        assert own[index, 0].item() == pytest.approx(metric_vif(thermal, fused, fused) - 1, rel=0.01)


def test_a_power_of_fidelity_is_of_what_each_source_lost() -> None:
    batch = make_batch()
    fused = 0.8 * batch.thermal + 0.2 * batch.visible
    lost = []
    for index in range(2):
        seen = 255 * fused[index, 0].numpy()
        sources = (255 * image[index, 0].numpy() for image in (batch.thermal, batch.visible))
        lost += [(1 - (metric_vif(source, seen, seen) - 1)) ** 2 for source in sources]
    assert fidelity_lost(batch, fused, 2.0).item() == pytest.approx(2 * np.mean(lost), rel=0.01)


def test_pyramid_adds_up_to_its_image() -> None:
    image = make_batch().thermal
    *details, total = laplacian_pyramid(image, 4)
    assert [detail.shape[-1] for detail in details] == [64, 32, 16, 8]
    for detail in reversed(details):
        total = expand(total) + detail
    torch.testing.assert_close(total, image)


def test_image_of_equal_sources_is_its_own_target() -> None:
    batch = make_batch()
    same = Batch(batch.visible, batch.visible, batch.labels, batch.visible_mean, batch.visible_mean)
    loss = MultiScaleLoss(MultiScaleConfig(thermal_gain=0.0, shared_detail=0.0, detail_gain=1.0))
    torch.testing.assert_close(loss.target(same), batch.visible)
    terms = loss(same, batch.visible)
    assert all(term.item() == pytest.approx(0, abs=1e-3) for term in terms.values())


def test_details_come_from_the_source_that_has_them() -> None:
    flat, busy = torch.full((1, 1, 64, 64), 0.5), 0.5 + 0.2 * torch.rand(1, 1, 64, 64)
    labels = torch.full(flat.shape, 255, dtype=torch.uint8)
    for thermal, visible in ((flat, busy), (busy, flat)):
        means = thermal.mean((1, 2, 3), keepdim=True), visible.mean((1, 2, 3), keepdim=True)
        target = MultiScaleLoss(MultiScaleConfig(detail_gain=1.0)).target(
            Batch(thermal, visible, labels, *means)
        )
        own = laplacian_pyramid(target, 2)[0]
        torch.testing.assert_close(own, laplacian_pyramid(busy, 2)[0], atol=0.02, rtol=0)


def test_target_keeps_black_black_and_lifts_people() -> None:
    night = torch.full((1, 1, 64, 64), 0.02)
    thermal = torch.full((1, 1, 64, 64), 0.2)
    thermal[..., 20:40, 20:40] = 0.9
    labels = torch.full(thermal.shape, 255, dtype=torch.uint8)
    means = thermal.mean((1, 2, 3), keepdim=True), night.mean((1, 2, 3), keepdim=True)
    target = MultiScaleLoss().target(Batch(thermal, night, labels, *means))
    assert target[..., 30, 30].item() >= 0.9 - 1e-3
    assert target[..., 0, 0].item() < 0.02
    glare = night.clone()
    glare[..., :10, :10] = 1.0
    dimmed = MultiScaleLoss().target(Batch(thermal, glare, labels, *means))
    labels[..., :10, :10] = 1
    on_a_car = MultiScaleLoss().target(Batch(thermal, glare, labels, *means))
    assert on_a_car[..., 4, 4].item() < dimmed[..., 4, 4].item() < 0.8


def test_a_term_is_added_to_any_loss_by_its_name() -> None:
    batch, outputs = make_batch(), Outputs(make_batch(3).thermal)
    plain = make_loss(config(loss="refinefuse_paper")).terms(batch, outputs)
    extra = TermsConfig(fidelity=TermConfig(weight=0.5))
    more = make_loss(config(loss="refinefuse_paper", terms=extra)).terms(batch, outputs)
    assert more.keys() - plain.keys() == {"extra_fidelity"}
    kept = [visual_information_fidelity(source, outputs.fused) for source in (batch.thermal, batch.visible)]
    expected = 0.5 * (2 - sum(value.mean().item() for value in kept))
    assert more["extra_fidelity"].item() == pytest.approx(expected, rel=1e-5)
