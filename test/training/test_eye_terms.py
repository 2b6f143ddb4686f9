"""Terms of the eye in a loss, against the eye's metrics and on images whose answer is known."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training dependencies are not installed")

from ivfusion_ros.metrics import eye, qabf
from ivfusion_ros.training.fusion.loss_config import MultiScaleConfig
from ivfusion_ros.training.fusion.losses.base import Batch
from ivfusion_ros.training.fusion.losses.edge_terms import edges_lost
from ivfusion_ros.training.fusion.losses.eye_terms import (
    contrast_lost,
    invented_edges,
    light_lost,
    noise_gained,
)
from ivfusion_ros.training.fusion.losses.multiscale import MultiScaleLoss

SHAPE = (128, 160)
FLAT = np.full(SHAPE, 100.0)


def blob(height: float, sigma: float = 12.0) -> np.ndarray:
    y, x = np.indices(SHAPE)
    return 150 + height * np.exp(-((x - 80) ** 2 + (y - 60) ** 2) / (2 * sigma**2))


def tensor(image: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(image / 255).float()[None, None]


def batch(thermal: np.ndarray, visible: np.ndarray, labels: np.ndarray | None = None) -> Batch:
    classes = np.full(SHAPE, 255) if labels is None else labels
    images = tensor(thermal), tensor(visible)
    means = (image.mean((2, 3), keepdim=True) for image in images)
    return Batch(*images, torch.from_numpy(classes.astype(np.uint8))[None, None], *means)


def noisy(sigma: float, seed: int) -> np.ndarray:
    return 100 + np.random.default_rng(seed).normal(0, sigma, SHAPE)


def test_a_blob_is_invented_as_steep_as_the_metric_sees_it() -> None:
    sky = batch(FLAT, FLAT + 50)
    assert invented_edges(sky, tensor(FLAT + 20)).item() == 0
    # In the middle of both images the metric's slope and this one's are of the same Gaussian.
    fused = blob(-60)
    slope = eye._slope(fused)
    expected = np.clip(slope - 0.2, 0, None).mean()
    assert invented_edges(sky, tensor(fused)).item() == pytest.approx(expected, rel=0.05)
    assert invented_edges(batch(FLAT, fused), tensor(fused)).item() == pytest.approx(0, abs=1e-3)


def test_noise_beyond_nine_tenths_of_the_noisier_source_is_gained() -> None:
    thermal, visible = noisy(0.8, 0), noisy(0.4, 1)
    pair = batch(thermal, visible)
    assert noise_gained(pair, tensor(100 + 0.8 * (thermal - 100))).item() == pytest.approx(0, abs=1e-3)
    source = eye._noise(thermal).mean()
    found = noise_gained(pair, tensor(100 + 1.9 * (thermal - 100))).item()
    assert found == pytest.approx(source, rel=0.05)
    textured = batch(noisy(20, 0), noisy(20, 1))
    assert noise_gained(textured, tensor(noisy(60, 2))).item() == 0


@pytest.mark.parametrize("labelled", [True, False])
def test_a_person_who_fades_is_lost(labelled: bool) -> None:
    person = np.zeros(SHAPE, bool)
    person[40:80, 70:90] = True
    thermal, visible = FLAT + 80 * person, FLAT + 20 * person
    pair = batch(thermal, visible, np.where(person, 2, 0) if labelled else None)
    kept, faded, gone = (
        contrast_lost(pair, tensor(FLAT + contrast * person)).item() for contrast in (80, 40, 0)
    )
    assert kept < 0.15
    assert kept + 0.1 < faded < gone - 0.1
    # Dark on bright is contrast as well.
    assert contrast_lost(pair, tensor(FLAT - 80 * person)).item() < kept + 0.02


def test_where_nobody_is_nobody_is_lost() -> None:
    assert contrast_lost(batch(FLAT, noisy(20, 0)), tensor(FLAT)).item() == 0


def test_a_hot_object_does_not_darken_a_target_whose_level_is_the_median() -> None:
    thermal, hot = FLAT.copy(), FLAT.copy()
    hot[32:96, 40:104] = 250
    fall = {}
    for level in ("mean", "median"):
        loss = MultiScaleLoss(MultiScaleConfig(thermal_level=level))
        before, after = (loss.target(batch(image, FLAT)) for image in (thermal, hot))
        fall[level] = 255 * (before - after)[0, 0, 64, -1].item()
    assert fall["median"] == pytest.approx(0, abs=0.5)
    assert fall["mean"] > 10


def test_edges_are_lost_as_the_metric_says() -> None:
    # Black at the border, as it is outside for the metric.
    window = np.outer(np.hanning(SHAPE[0]), np.hanning(SHAPE[1]))
    thermal, visible = blob(80) * window, noisy(6, 0) * window
    pair = batch(thermal, visible)
    for fused in (thermal, (thermal + visible) / 2, np.maximum(thermal, visible)):
        expected = 1 - qabf(thermal, visible, fused)
        assert edges_lost(pair, tensor(fused)).item() == pytest.approx(expected, abs=0.05)
    assert edges_lost(batch(thermal, thermal), tensor(thermal)).item() < 0.03
    assert edges_lost(batch(thermal, thermal), tensor(FLAT)).item() > 0.95


def test_the_edges_of_flat_images_have_a_gradient() -> None:
    fused = tensor(FLAT).requires_grad_()
    edges_lost(batch(FLAT, FLAT), fused).backward()
    assert torch.isfinite(fused.grad).all()


def test_a_lamp_and_a_sky_by_day_keep_their_light() -> None:
    lamp = np.zeros(SHAPE, bool)
    lamp[50:62, 70:82] = True
    night = 10 + 120 * lamp
    pair = batch(FLAT, night)
    assert light_lost(pair, tensor(night)).item() == 0
    assert light_lost(pair, tensor(10 + 30 * lamp)).item() > 0.4 * light_lost(pair, tensor(0 * FLAT)).item()
    sky = batch(FLAT, FLAT + 120)
    assert light_lost(sky, tensor(FLAT + 120)).item() == 0
    assert light_lost(sky, tensor(FLAT + 10)).item() == pytest.approx(0.5, abs=0.05)


def test_glare_by_night_and_what_is_around_people_may_lose_light() -> None:
    def lost(lit_columns: int) -> float:
        columns = np.arange(SHAPE[1])
        visible = np.where(columns < lit_columns, 240.0, 5.0) * np.ones(SHAPE)
        # Darker far from the edge, which could be a lamp's.
        return light_lost(batch(FLAT, visible), tensor(np.where(columns < 10, 60, visible))).item()

    # A third of the view is lit, which is night; three quarters are day.
    assert lost(50) == 0
    assert lost(120) > 0.02
    person = np.zeros(SHAPE, bool)
    person[40:80, 70:90] = True
    snow, empty = batch(FLAT + 80 * person, FLAT + 120), batch(FLAT, FLAT + 120)
    around = FLAT + 120 - 100 * eye._mean(person.astype(float), 31)
    assert light_lost(snow, tensor(around)).item() < 0.5 * light_lost(empty, tensor(around)).item()
