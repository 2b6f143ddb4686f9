from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
from cross_modal_samples import noisy, scene

from ivfusion_ros.errors import DataError, ImageError
from ivfusion_ros.registration.scene.dense import Residual, dense_residual, dense_residual_many

if TYPE_CHECKING:
    from ivfusion_ros.types import Image

X, Y = np.meshgrid(np.arange(320, dtype=np.float32), np.arange(240, dtype=np.float32))


TRUTH_X, TRUTH_Y = 4 * np.sin(Y / 40), 3 * np.cos(X / 50)
INNER = np.s_[20:-20, 20:-20]


def deformed(thermal: Image, part: float = 1.0) -> Image:
    """Sampled at p + TRUTH(p) (or a part of it) it shows what the plain image shows at p."""
    back_x, back_y = X.copy(), Y.copy()
    for _ in range(10):
        back_x, back_y = X - part * 4 * np.sin(back_y / 40), Y - part * 3 * np.cos(back_x / 50)
    return np.asarray(cv2.remap(thermal, back_x, back_y, cv2.INTER_LINEAR), np.uint8)


def error_px(residual: Residual) -> float:
    return float(np.hypot(residual.map_x - TRUTH_X, residual.map_y - TRUTH_Y)[INNER].mean())


def test_finds_a_smooth_deformation() -> None:
    thermal, visible = scene(1)
    bent = deformed(thermal)
    residual = dense_residual(bent, visible)
    assert np.hypot(TRUTH_X, TRUTH_Y)[INNER].mean() > 2.5
    assert error_px(residual) < 0.8
    assert residual.gain > 0.05 and residual.kept > 0.8
    repaired = residual.apply(bent)[INNER].astype(int)
    worse = np.abs(bent[INNER].astype(int) - thermal[INNER]).mean()
    assert np.abs(repaired - thermal[INNER]).mean() < 0.6 * worse


def test_many_scenes_are_better_than_one() -> None:
    rng = np.random.default_rng(0)
    pairs = []
    for seed in (11, 12, 13, 14):
        thermal, visible = scene(seed)
        pairs.append((noisy(deformed(thermal), rng, 12.0), noisy(visible, rng, 12.0)))
    together = error_px(dense_residual_many(pairs))
    assert together < 0.8
    assert together < 0.9 * np.mean([error_px(dense_residual(*pair)) for pair in pairs])


def test_leaves_an_aligned_scene_alone() -> None:
    thermal, visible = scene(2)
    residual = dense_residual(thermal, visible)
    assert np.hypot(residual.map_x, residual.map_y).mean() < 0.3


def test_it_fades_in_with_what_it_gains() -> None:
    thermal, visible = scene(1)
    wanted = float(np.hypot(TRUTH_X, TRUTH_Y)[INNER].mean())
    shares = []
    for part in (0.1, 0.2, 0.3):
        residual = dense_residual(deformed(thermal, part), visible)
        found = float(np.hypot(residual.map_x, residual.map_y)[INNER].mean())
        shares.append(found / (part * wanted))
        assert (residual.kept > 0) == (found > 0)
    assert shares[0] == 0 and 0.2 < shares[1] < 0.7 and shares[2] > 0.8


def test_points_and_colours_follow_the_residual() -> None:
    residual = Residual(TRUTH_X, TRUTH_Y, 0.1, 1.0)
    points = np.array([[50.0, 60.0], [200.3, 100.4], [-0.5, 239.5]])
    expected = points + [[TRUTH_X[y, x], TRUTH_Y[y, x]] for x, y in ((50, 60), (200, 100), (0, 239))]
    np.testing.assert_allclose(residual.shown_points(points), expected)
    grey = scene(6)[1]
    colours = np.repeat(grey[..., None], 3, 2)
    np.testing.assert_array_equal(residual.apply(colours)[..., 1], residual.apply(grey))


def test_gate_refuses_what_does_not_help() -> None:
    flat = np.full((240, 320), 90, np.uint8)
    residual = dense_residual(flat, scene(3)[1])
    assert residual.kept == 0 and not residual.map_x.any() and not residual.map_y.any()
    np.testing.assert_array_equal(residual.apply(flat), flat)


def test_any_size_of_at_least_one_cell() -> None:
    thermal, visible = scene(4, width=203, height=131)
    residual = dense_residual(thermal, visible)
    assert residual.map_x.shape == residual.map_y.shape == (131, 203)
    assert residual.map_x.dtype == np.float32
    assert residual.apply(thermal).shape == (131, 203)


def test_refuses_unequal_sizes_and_nothing() -> None:
    with pytest.raises(DataError, match="no image pairs"):
        dense_residual_many([])
    thermal, visible = scene(5)
    with pytest.raises(ImageError, match="of one size"):
        dense_residual(thermal[:200], visible)
    for height, width in ((7, 40), (9, 320)):
        with pytest.raises(ImageError, match=f"are {width}x{height}, expected at least 8x8"):
            dense_residual(thermal[:height, :width], visible[:height, :width])
    assert dense_residual(thermal[:8, :8], visible[:8, :8]).map_x.shape == (8, 8)
    assert dense_residual(thermal[:16], visible[:16]).map_x.shape == (16, 320)
