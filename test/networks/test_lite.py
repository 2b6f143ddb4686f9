"""refinefuse-lite: cost, skies, sizes, the shipped file; distillation: a teacher's images, calm video."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from places import SHARED

torch = pytest.importorskip("torch", reason="training dependencies are not installed")

from ivfusion_ros.backends import available_backends, load_backend
from ivfusion_ros.cli import main
from ivfusion_ros.errors import ConfigError, DataError
from ivfusion_ros.images.pairs import following_pairs, spread
from ivfusion_ros.metrics import METRICS
from ivfusion_ros.metrics.flicker import flicker
from ivfusion_ros.models import resolve_model
from ivfusion_ros.networks import make_network
from ivfusion_ros.networks.lite import Residual
from ivfusion_ros.pipeline.fuser import Fuser
from ivfusion_ros.sources.layouts import find_pairs
from ivfusion_ros.training.fusion.config import TrainConfig
from ivfusion_ros.training.fusion.data import read_luminance
from ivfusion_ros.training.fusion.loss_config import DistillationConfig
from ivfusion_ros.training.fusion.losses import make_loss
from ivfusion_ros.training.fusion.losses.base import Batch, Outputs
from ivfusion_ros.training.fusion.losses.distillation import DistillationLoss
from ivfusion_ros.training.fusion.teacher import StudentPlanes, Teacher

pytestmark = pytest.mark.usefixtures("one_export_per_network")

DATA = SHARED / "data"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="the shared data sets are not here")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Eight pairs of 96x64 in two runs of frame numbers."""
    random = np.random.default_rng(0)
    for name in ("thermal", "rgb"):
        (tmp_path / "data" / name).mkdir(parents=True)
    for number in (1, 2, 3, 4, 50, 51, 52, 53):
        thermal, rgb = (random.integers(0, 256, shape, np.uint8) for shape in ((64, 96), (64, 96, 3)))
        cv2.imwrite(str(tmp_path / "data" / "thermal" / f"{number:03d}.png"), thermal)
        cv2.imwrite(str(tmp_path / "data" / "rgb" / f"{number:03d}.png"), rgb)
    return tmp_path / "data"


def moments(seed: int = 0) -> Batch:
    random = torch.Generator().manual_seed(seed)
    thermal, visible, teacher = torch.rand(3, 2, 1, 64, 64, generator=random)
    following = torch.rand(2, 2, 64, 64, generator=random)
    labels = torch.full(thermal.shape, 255, dtype=torch.uint8)
    means = (image.mean((1, 2, 3), keepdim=True) for image in (thermal, visible))
    return Batch(thermal, visible, labels, *means, teacher, following)


def test_a_frame_stays_within_the_budget() -> None:
    from torch.utils.flop_counter import FlopCounterMode

    network, image = make_network("refinefuse_lite"), torch.zeros(1, 1, 480, 640)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(image, image)
    assert counter.get_total_flops() <= 2 * 0.6e9


def random_weights(seed: int = 0) -> torch.nn.Module:
    """A network whose gains and base are anything but smooth."""
    torch.manual_seed(seed)
    network = make_network("refinefuse_lite")
    for head in (network.head, network.base.head):
        torch.nn.init.normal_(head.weight, std=0.1)
    return network.eval()


def test_an_untrained_network_adds_what_thermal_deviates_from_its_median() -> None:
    network = make_network("refinefuse_lite")
    thermal, visible = torch.full((2, 1, 1, 96, 128), 0.5)
    thermal = torch.where(torch.arange(128) < 32, 0.9, 0.3).expand(1, 1, 96, 128)
    with torch.no_grad():
        change = network(thermal, visible) - visible
    torch.testing.assert_close(change[..., 48:], torch.zeros(1, 1, 96, 80))
    torch.testing.assert_close(change[..., :16], torch.full((1, 1, 96, 16), 0.4 * 0.6))


@pytest.mark.parametrize("size", [(240, 320), (480, 640), (768, 1024), (1024, 1280)])
def test_where_both_images_are_smooth_only_the_base_shows_whatever_the_weights(size) -> None:
    """No gain of any pixel can paint a shape into a sky: there is nothing for it to multiply."""
    network, (height, width) = random_weights(), size
    across, down = torch.linspace(0, 1, width)[None], torch.linspace(0, 1, height)[:, None]
    visible = (0.3 + 0.3 * across + 0.1 * down)[None, None]
    thermal = (0.6 - 0.2 * across + 0.2 * down)[None, None]
    with torch.no_grad():
        change = network(thermal, visible) - visible
        small = [resized(image, (48, 64)) for image in (thermal, visible)]
        base = resized(network.base(torch.cat(small, 1))[0], size)
    inside = (..., slice(height // 8, -height // 8), slice(width // 8, -width // 8))
    assert base[inside].std() > 0.01
    torch.testing.assert_close(change[inside], base[inside], atol=5e-3, rtol=0)


def test_fused_is_the_sum_that_the_module_states() -> None:
    """As plainly X upsampling by 4."""
    network, interpolate = random_weights(2), torch.nn.functional.interpolate
    pair = torch.rand(1, 2, 96, 160)
    kept = {}
    network.base.register_forward_hook(lambda _, x, y: kept.update(small=x[0], base=y[0]))
    network.decoder.register_forward_hook(lambda _, x, y: kept.update(features=y))
    with torch.no_grad():
        fused = network(*pair.split(1, 1))
        small = torch.cat((kept["small"], kept["base"]), 1)
        quarter = interpolate(small, size=(24, 40), mode="bilinear", align_corners=False)
        low = interpolate(quarter, scale_factor=4, mode="bilinear", align_corners=False)
        gains = torch.nn.functional.pixel_shuffle(network.head(kept["features"]), 4)
        change = low[:, 2:] + (gains * (pair - low[:, :2])).sum(1, keepdim=True)
    assert (fused - pair[:, 1:]).std() > 0.05
    torch.testing.assert_close(fused, (pair[:, 1:] + change).clamp(0, 1))


def test_a_residual_layer_adds_a_convolution_to_its_input() -> None:
    layer, image = Residual(4), torch.rand(1, 4, 8, 8)
    expected = torch.nn.functional.leaky_relu(image + layer.conv(image), 0.1)
    torch.testing.assert_close(layer(image), expected)


def test_a_picture_has_the_same_base_at_any_size() -> None:
    network = random_weights(1)
    torch.nn.init.zeros_(network.head.weight)
    pair = resized(torch.rand(2, 1, 12, 16), (384, 512))
    with torch.no_grad():
        normal = network(*pair.split(1))
        large = network(*pair.repeat_interleave(2, 2).repeat_interleave(2, 3).split(1))
    assert (normal - pair[1:]).std() > 0.05
    difference = (resized(large, (384, 512)) - normal).abs()
    assert difference.mean() < 0.004 and difference.max() < 0.06


def resized(image: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    return torch.nn.functional.interpolate(image, size=size, mode="bilinear", antialias=True)


def test_the_shipped_file_is_this_network_on_every_backend() -> None:
    random = np.random.default_rng(0)
    thermal, rgb = (random.integers(0, 256, shape, np.uint8) for shape in ((75, 131), (75, 131, 3)))
    model = resolve_model("refinefuse_lite")
    runs = [
        Fuser(load_backend(model, name, precision="f32"))(thermal, rgb).astype(int)
        for name in ("torch", "onnxruntime", "openvino")
        if available_backends()[name].usable
    ]
    for run in runs[1:]:
        assert np.abs(run - runs[0]).max() <= 1


def real_pair(thermal_path: Path) -> tuple[np.ndarray, np.ndarray]:
    thermal = cv2.imread(str(thermal_path), cv2.IMREAD_GRAYSCALE)
    visible = cv2.imread(str(thermal_path.parents[1] / "rgb" / thermal_path.name), cv2.IMREAD_GRAYSCALE)
    return thermal, visible


def fuse_grey(fuser: Fuser, thermal: np.ndarray, visible: np.ndarray) -> np.ndarray:
    return fuser(thermal, np.repeat(visible[:, :, None], 3, 2))[:, :, 0]


@needs_data
def test_real_scenes_are_fused_better_than_by_averaging() -> None:
    names, gains = ("VIF", "SCD", "Qabf", "EN"), []
    fuser = Fuser(load_backend(resolve_model("refinefuse_lite")))
    for path in sorted((DATA / "roadscene_test" / "thermal").iterdir())[5::20]:
        thermal, visible = real_pair(path)
        fused, mean = fuse_grey(fuser, thermal, visible), (thermal.astype(float) + visible) / 2
        values = [[METRICS[n](thermal, visible, image) for n in names] for image in (fused, mean)]
        gains.append(np.divide(*values))
    assert (np.mean(gains, 0) > [1.3, 1.05, 1.4, 1.05]).all(), np.mean(gains, 0)


@needs_data
def test_a_still_scene_flickers_less_than_with_refinefuse() -> None:
    paths = sorted((DATA / "m3svd" / "0114_1551" / "thermal").iterdir())[4:6]
    frames = [real_pair(path) for path in paths]
    scores = {}
    for name in ("refinefuse", "refinefuse_lite"):
        fuser = Fuser(load_backend(resolve_model(name)))
        fused = [fuse_grey(fuser, *frame) for frame in frames]
        scores[name] = flicker((*frames[0], fused[0]), (*frames[1], fused[1]))
    assert scores["refinefuse_lite"] < scores["refinefuse"]


def test_the_temporal_term_is_the_flicker_metric() -> None:
    loss, batch = DistillationLoss(constants=DistillationConfig(sensor_noise=0.0)), moments()
    fused, after = torch.rand(2, 2, 1, 64, 64)
    term = loss.terms(batch, Outputs(fused, {"following": after}))["temporal"]
    assert batch.following is not None
    now, then = (batch.thermal, batch.visible, fused), (*batch.following.chunk(2, 1), after)
    grey = [(255 * image).numpy().astype(np.float64) for image in (*now, *then)]
    scores = [flicker(*(tuple(image[k, 0] for image in grey[i : i + 3]) for i in (0, 3))) for k in range(2)]
    assert term.item() == pytest.approx(loss.constants.temporal_weight * np.mean(scores) / 255, rel=1e-4)


def test_a_fusion_that_copies_a_source_is_calm_and_one_that_stretches_it_is_not() -> None:
    loss, batch = DistillationLoss(), moments()
    excess = {}
    for gain in (1.0, 1.5):
        outputs = loss.run(lambda thermal, visible: gain * visible, batch)  # noqa: B023
        excess[gain] = loss.terms(batch, outputs)["temporal"].item()
    assert excess[1.0] == 0
    assert excess[1.5] > 0.1


def test_the_teacher_counts_for_its_share() -> None:
    batch = moments()
    assert batch.teacher is not None
    outputs = [Outputs(image, {"following": image}) for image in (batch.teacher, 1 - batch.teacher)]
    copy, other = (DistillationLoss().terms(batch, output)["teacher"].item() for output in outputs)
    assert copy == 0 < other
    assert (
        DistillationLoss(constants=DistillationConfig(teacher_share=0.0))
        .terms(batch, outputs[1])["teacher"]
        .item()
        == 0
    )


def test_the_noise_is_the_same_for_a_batch_and_another_for_the_next() -> None:
    loss, batch = DistillationLoss(), moments()
    first, again, other = (
        loss.run(lambda thermal, visible: visible, item).features["following"]
        for item in (batch, batch, replace(batch, noise_seed=1))
    )
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_distillation_needs_a_teacher() -> None:
    with pytest.raises(ConfigError, match="learns from a teacher, but none is given"):
        make_loss(TrainConfig(loss="distillation"))


def test_the_teachers_images_are_made_once(folder, tmp_path, blend_model, monkeypatch) -> None:
    pairs = find_pairs(folder)
    teacher = Teacher(blend_model, tmp_path)
    teacher.prepare(pairs)
    thermal, visible, _ = read_luminance(pairs[3]).astype(int)
    np.testing.assert_array_equal(teacher.image(pairs[3]), (thermal + visible) // 2)
    monkeypatch.setattr("ivfusion_ros.backends.load_backend", lambda model: pytest.fail("fuses again"))
    Teacher(blend_model, tmp_path).prepare(pairs)
    another = tmp_path / "another.onnx"
    another.write_bytes(blend_model.read_bytes() + b"\0")
    with pytest.raises(DataError, match="cannot read"):
        Teacher(another, tmp_path).image(pairs[3])


def test_a_student_sees_the_next_frame_of_its_run(folder, tmp_path, blend_model) -> None:
    pairs = find_pairs(folder)
    teacher = Teacher(blend_model, tmp_path)
    teacher.prepare(pairs)
    planes = StudentPlanes(teacher, following_pairs(pairs))
    first, second, last = (planes(pairs[index]) for index in (0, 1, 3))
    assert first.shape == (6, 64, 96)
    np.testing.assert_array_equal(first[4:], second[:2])
    # 050 is another recording: the last frame before it is followed by itself.
    np.testing.assert_array_equal(last[4:], last[:2])


def test_at_most_so_many_pairs_of_a_folder(folder) -> None:
    pairs = find_pairs(folder)
    assert [pair.stem for pair in spread(pairs, 3)] == ["001", "003", "051"]
    assert spread(range(8), 3, ends=True) == [0, 4, 7]
    assert spread(pairs, 8) == spread(pairs, 99) == pairs and spread(pairs, 0) == []


def test_one_command_distils(folder, tmp_path, blend_model) -> None:
    out = tmp_path / "runs" / "lite"
    command = ["train", "refinefuse_lite_cpu", "--data", str(folder), "--out", str(out)]
    options = {"iterations": 2, "batch": 2, "crop": 64, "validate-every": 2, "validation-fraction": 0.4}
    command += [text for name, value in options.items() for text in (f"--{name}", str(value))]
    assert main([*command, "--teacher", str(blend_model)]) == 0
    assert (out / "last.pt").exists()
    columns = (out / "curves.csv").read_text().splitlines()[0]
    assert "validation_teacher" in columns and "validation_temporal" in columns
    assert len(list((tmp_path / "runs").glob("teacher_*/data_*/*.png"))) == 8
    assert main(["export", str(out / "last.pt"), str(tmp_path / "lite.onnx")]) == 0
