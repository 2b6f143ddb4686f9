"""The eye's measures on images whose answer is known."""

import math

import numpy as np
import pytest

from ivfusion_ros.errors import ImageError
from ivfusion_ros.metrics.eye import (
    contrasts,
    invented_edges,
    noise_gain,
    outside_change,
    pumping,
    target_contrast,
)

SHAPE = (120, 160)
FLAT = np.full(SHAPE, 100.0)


def noisy(level: float, sigma: float, seed: int) -> np.ndarray:
    return np.clip(level + np.random.default_rng(seed).normal(0, sigma, SHAPE), 0, 255)


def blob(level: float, height: float, sigma: float = 12.0) -> np.ndarray:
    y, x = np.indices(SHAPE)
    return level + height * np.exp(-((x - 80) ** 2 + (y - 60) ** 2) / (2 * sigma**2))


def test_noise_gain_is_the_factor_on_the_noisier_source() -> None:
    thermal, visible = noisy(60, 0.8, 0), noisy(120, 0.4, 1)
    assert noise_gain(thermal, visible, thermal) == pytest.approx(1.0)
    amplified = 60 + 1.6 * (thermal - 60)
    assert noise_gain(thermal, visible, amplified) == pytest.approx(1.6)
    assert noise_gain(thermal, visible, FLAT) == pytest.approx(0.0)


def test_noise_counts_only_where_both_sources_are_flat() -> None:
    thermal, visible, fused = noisy(60, 0.5, 0), noisy(120, 0.5, 1), noisy(90, 0.5, 2)
    textured = visible.copy()
    textured[:, 80:] = noisy(120, 20, 3)[:, 80:]
    loud = fused.copy()
    loud[:, 96:] = noisy(90, 20, 4)[:, 96:]
    assert noise_gain(thermal, textured, loud) < 1.3
    assert noise_gain(thermal, visible, loud) > 10


def test_where_nothing_is_flat_there_is_no_noise_gain() -> None:
    busy = noisy(100, 20, 0)
    assert math.isnan(noise_gain(busy, busy, busy))
    assert math.isnan(noise_gain(FLAT, FLAT, FLAT))
    assert noise_gain(FLAT, FLAT, noisy(100, 1, 0)) == math.inf


def test_a_blob_in_a_featureless_sky_is_invented() -> None:
    share = invented_edges(FLAT, FLAT + 50, blob(150, -60))
    assert 0.03 < share < 0.5
    assert invented_edges(FLAT, FLAT + 50, FLAT + 20) == 0


def test_an_edge_that_a_source_has_and_fine_noise_are_not_invented() -> None:
    source = blob(100, 60)
    assert invented_edges(source, FLAT, source) == 0
    assert invented_edges(FLAT, FLAT, noisy(100, 8, 0)) == 0
    assert invented_edges(FLAT, FLAT, blob(100, 5)) == 0


BOX = np.array([[70, 40, 90, 80]], np.float32)


def with_box(around: float, inside: float, box: np.ndarray = BOX[0]) -> np.ndarray:
    image = np.full(SHAPE, around, float)
    left, top, right, bottom = box.astype(int)
    image[top:bottom, left:right] = inside
    return image


def test_contrast_is_core_against_ring() -> None:
    assert contrasts(with_box(50, 130), BOX) == pytest.approx([80])
    assert contrasts(with_box(130, 50), BOX) == pytest.approx([80])


def test_another_object_in_the_ring_does_not_count() -> None:
    near = np.array([[70, 40, 90, 80], [94, 40, 114, 80]], np.float32)
    image = np.maximum(with_box(50, 130, near[0]), with_box(50, 200, near[1]))
    assert contrasts(image, near) == pytest.approx([80, 150])


def test_contrast_at_the_border_and_of_what_fills_the_image() -> None:
    corner = np.array([[-10, -10, 10, 10]], np.float32)
    image = with_box(50, 130, np.array([0, 0, 10, 10]))
    assert contrasts(image, corner) == pytest.approx([80])
    whole = np.array([[0, 0, SHAPE[1], SHAPE[0]]], np.float32)
    assert np.isnan(contrasts(image, whole)).all()


def test_target_contrast_is_held_against_the_better_source() -> None:
    thermal, visible = with_box(50, 130), with_box(100, 110)
    assert target_contrast(thermal, visible, with_box(80, 140), BOX) == pytest.approx([0.75])
    assert np.isnan(target_contrast(FLAT, FLAT, thermal, BOX)).all()
    none = np.zeros((0, 4), np.float32)
    assert target_contrast(thermal, visible, thermal, none).shape == (0,)


def test_outside_change_counts_what_thermal_does_not_see() -> None:
    seen = np.zeros(SHAPE, bool)
    seen[:, 40:120] = True
    changed = FLAT.copy()
    changed[:, 40:120] += 50
    assert outside_change(FLAT, changed, seen) == 0
    assert outside_change(FLAT, changed, ~seen) == pytest.approx(50)
    assert math.isnan(outside_change(FLAT, changed, np.ones(SHAPE, bool)))


def test_pumping_is_what_changes_far_away() -> None:
    hot = np.zeros(SHAPE, bool)
    hot[:40, :40] = True
    after = FLAT.copy()
    after[:60, :60] = 255
    assert pumping(FLAT, after, hot) == 0
    assert pumping(FLAT, after - 30, hot) == pytest.approx(30, abs=1e-9)
    assert math.isnan(pumping(FLAT, after, np.ones(SHAPE, bool)))


def test_a_mask_of_another_shape_or_type_is_refused() -> None:
    with pytest.raises(ImageError, match=r"expected bool \(120, 160\)"):
        outside_change(FLAT, FLAT, np.ones((10, 10), bool))
    with pytest.raises(ImageError, match="uint8"):
        pumping(FLAT, FLAT, np.ones(SHAPE, np.uint8))
