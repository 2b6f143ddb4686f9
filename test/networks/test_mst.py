"""MST, the fusion without weights: its pyramid, what it keeps of either image, and its export."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from places import SHARED

torch = pytest.importorskip("torch", reason="training dependencies are not installed")

from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from ivfusion_ros.backends import available_backends, load_backend
from ivfusion_ros.cli import main
from ivfusion_ros.errors import ConfigError
from ivfusion_ros.metrics import METRICS
from ivfusion_ros.models import resolve_model
from ivfusion_ros.networks.mst import MST
from ivfusion_ros.pipeline.fuser import Fuser
from ivfusion_ros.training.fusion.config import TrainConfig
from ivfusion_ros.training.fusion.trainer import Trainer

ROADSCENE = SHARED / "data" / "roadscene_train"


def fuse(thermal: np.ndarray, visible: np.ndarray) -> np.ndarray:
    """Two (H, W) images in [0, 1] -> (H, W)."""
    tensors = (torch.from_numpy(image.astype(np.float32))[None, None] for image in (thermal, visible))
    with torch.no_grad():
        return MST()(*tensors)[0, 0].numpy()


def texture(seed: int, sigma: float = 2.0, size: tuple[int, int] = (96, 128)) -> np.ndarray:
    """Smooth noise around 0 with a deviation of 1."""
    noise = cv2.GaussianBlur(np.random.default_rng(seed).normal(size=size), (0, 0), sigma)
    return noise / noise.std()


def test_expansion_is_bilinear_and_reduction_its_transpose() -> None:
    network, small = MST(), torch.rand(2, 1, 5, 7)
    bilinear = functional.interpolate(small, scale_factor=2, mode="bilinear", align_corners=False)
    torch.testing.assert_close(network.expand(small), bilinear)
    large = torch.rand(1, 1, 32, 32)
    large[..., :4, :] = large[..., -4:, :] = large[..., :, :4] = large[..., :, -4:] = 0
    details, _ = network.pyramid(large)
    reduced = functional.conv2d(large, network.reduction, stride=2, padding=1)
    probe = torch.rand(1, 1, 16, 16)
    # <expand(p), x> = 4 <p, reduce(x)> away from the border.
    assert (network.expand(probe) * large).sum().item() == pytest.approx(
        4 * (probe * reduced).sum().item(), rel=1e-5
    )
    inner = np.s_[..., 6:-6, 6:-6]
    torch.testing.assert_close(details[0][inner], (large - network.expand(reduced))[inner])


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([(32, 32), (64, 32), (96, 160)]))
def test_output_stays_in_range_and_finite(seed: int, size: tuple[int, int]) -> None:
    random = np.random.default_rng(seed)
    thermal, visible = random.integers(0, 2, (2, *size)).astype(float)
    fused = fuse(thermal, visible)
    assert fused.shape == size
    assert fused.min() >= 0 and fused.max() <= 1


@pytest.mark.parametrize("level", [0.0, 0.4, 1.0])
def test_flat_thermal_changes_nothing_whatever_its_level(level: float) -> None:
    visible = np.clip(0.5 + 0.15 * texture(1), 0, 1)
    np.testing.assert_allclose(fuse(np.full_like(visible, level), visible), visible, atol=2e-3)


def test_detail_comes_from_where_it_is() -> None:
    left = np.arange(128) < 64
    thermal = 0.5 + 0.08 * texture(1) * left
    visible = 0.5 + 0.08 * texture(2) * ~left
    fused = fuse(thermal, visible)

    def correlation(source: np.ndarray, columns: slice) -> float:
        pair = [image[:, columns] - cv2.blur(image, (9, 9))[:, columns] for image in (fused, source)]
        return float(np.corrcoef(pair[0].ravel(), pair[1].ravel())[0, 1])

    assert correlation(thermal, slice(0, 56)) > 0.99
    assert correlation(visible, slice(72, 128)) > 0.99


def test_a_person_in_the_dark_is_bright_and_the_night_stays_black() -> None:
    thermal = np.full((192, 256), 0.25)
    thermal[60:140, 100:130] = 0.9
    fused = fuse(thermal, np.full((192, 256), 0.02))
    assert fused[70:130, 105:125].min() > 0.5
    assert np.median(fused) < 0.02
    # The halo around the person is faint.
    assert fused[60:140, 150:].max() < 0.08


def test_shifted_thermal_brightness_is_the_same_picture() -> None:
    thermal, visible = 0.4 + 0.05 * texture(1, 6), 0.5 + 0.05 * texture(2)
    np.testing.assert_allclose(fuse(thermal + 0.1, visible), fuse(thermal, visible), atol=0.02)


def test_export_by_name_runs_everywhere_and_shows_no_folder_of_this_machine(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], recwarn: pytest.WarningsRecorder
) -> None:
    path = tmp_path / "mst.onnx"
    assert main(["export", "mst", str(path)]) == 0
    # One line about the file, and nothing of the exporter's own worries.
    assert capsys.readouterr().err.count("\n") == 1 and not recwarn.list
    assert str(Path.cwd()).encode() not in path.read_bytes()
    random = np.random.default_rng(0)
    # Flat parts too: without a floor under the energies they divide 0 by 0.
    thermal = np.full((75, 131), 90, np.uint8)
    thermal[20:50, 30:80] = random.integers(0, 256, (30, 50), np.uint8)
    rgb = random.integers(0, 256, (75, 131, 3), np.uint8)
    rgb[40:] = 17
    results = {
        name: Fuser(load_backend(path, name, precision="f32"))(thermal, rgb).astype(int)
        for name in ("torch", "onnxruntime", "openvino")
        if available_backends()[name].usable
    }
    assert "ivfusion.colour" not in load_backend(path, "onnxruntime").metadata
    assert results["torch"][60, 120].tolist() == pytest.approx([17, 17, 17], abs=12)
    for result in results.values():
        assert np.abs(result - results["torch"]).max() <= 1


def test_the_shipped_file_is_this_network() -> None:
    random = np.random.default_rng(0)
    thermal, rgb = (random.integers(0, 256, shape, np.uint8) for shape in ((64, 96), (64, 96, 3)))
    runs = [
        Fuser(load_backend(resolve_model("mst"), name, precision="f32"))(thermal, rgb).astype(int)
        for name in ("torch", "onnxruntime")
    ]
    assert np.abs(runs[0] - runs[1]).max() <= 1


def test_only_networks_without_weights_export_by_name(tmp_path: Path, capsys) -> None:
    for name, reason in (
        ("refinefuse", "has weights to be trained"),
        ("mts", "neither a file nor a network"),
    ):
        assert main(["export", name, str(tmp_path / "a.onnx")]) == 5
        assert reason in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_there_is_nothing_to_train(tmp_path: Path) -> None:
    for name in ("thermal", "rgb"):
        (tmp_path / name).mkdir()
        cv2.imwrite(str(tmp_path / name / "1.png"), np.zeros((64, 64), np.uint8))
    with pytest.raises(ConfigError, match="mst has no weights to train"):
        Trainer(TrainConfig(network="mst", crop=(64,)), [tmp_path], tmp_path / "run")


@pytest.mark.skipif(not ROADSCENE.is_dir(), reason="the shared data sets are not here")
def test_real_scenes_are_fused_better_than_by_averaging() -> None:
    names, gains = ("VIF", "SCD", "Qabf", "EN"), []
    for thermal_path in sorted((ROADSCENE / "thermal").iterdir())[5:160:50]:
        thermal = cv2.imread(str(thermal_path), cv2.IMREAD_GRAYSCALE)
        visible = cv2.imread(str(ROADSCENE / "rgb" / thermal_path.name), cv2.IMREAD_GRAYSCALE)
        height, width = (side // 32 * 32 for side in thermal.shape)
        thermal, visible = thermal[:height, :width], visible[:height, :width]
        own = np.rint(fuse(thermal / 255, visible / 255) * 255)
        mean = np.rint((thermal.astype(float) + visible) / 2)
        values = [[METRICS[n](thermal, visible, fused) for n in names] for fused in (own, mean)]
        gains.append(np.divide(*values))
    assert (np.mean(gains, 0) > [1.1, 1.2, 1.3, 1.05]).all(), np.mean(gains, 0)
