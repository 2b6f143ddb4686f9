"""Enlarging: what was measured is kept, and the picture is nearer to the truth than a bicubic one."""

import cv2
import numpy as np
import pytest

from ivfusion_ros.geometry.enlarge import enlarged, from_means


def scene(height: int = 96, width: int = 120) -> np.ndarray:
    """(H, W) float32: hot discs and a ramp, 20 to 235."""
    image = np.tile(np.linspace(20, 90, width, dtype=np.float32), (height, 1))
    for x, y, radius, level in ((30, 30, 9, 200), (80, 60, 14, 235), (100, 20, 6, 160)):
        cv2.circle(image, (x, y), radius, float(level), -1, cv2.LINE_AA)
    return cv2.GaussianBlur(image, (0, 0), 1.0)


@pytest.mark.parametrize("factor", [2, 3, 4, 6, 8, 16])
def test_the_means_of_the_enlarged_image_are_the_image(factor: int) -> None:
    small = np.random.default_rng(factor).uniform(-100, 100, (14, 17)).astype(np.float32)
    large = from_means(small, factor)
    assert large.shape == (14 * factor, 17 * factor) and large.dtype == np.float32
    means = large.reshape(14, factor, 17, factor).mean((1, 3))
    # Steps of 200 from pixel to pixel are far beyond any scene.
    np.testing.assert_allclose(means, small, atol=2.0)


@pytest.mark.parametrize("factor", [3, 4, 8])
def test_it_is_nearer_to_the_truth_than_bicubic(factor: int) -> None:
    truth = scene()
    height, width = truth.shape
    means = truth.reshape(height // factor, factor, width // factor, factor).mean((1, 3))
    small = means.round().astype(np.uint8)
    bicubic = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
    large = enlarged(small, factor)
    assert large.dtype == np.uint8

    def error(image: np.ndarray) -> float:
        return float(np.square(image.astype(np.float64) - truth).mean())

    assert error(large) < 0.95 * error(bicubic)


def test_a_flat_image_stays_what_it_is() -> None:
    for level in (0, 7, 255):
        np.testing.assert_array_equal(enlarged(np.full((9, 11), level, np.uint8), 4), level)
