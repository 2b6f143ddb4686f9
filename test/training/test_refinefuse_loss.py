"""RefineFuse's loss against numpy, OpenCV and scipy, and how steady its mask is on real pairs."""

from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training dependencies are not installed")

from scipy import ndimage

from ivfusion_ros.sources.layouts import find_pairs
from ivfusion_ros.training.fusion.data import read_luminance
from ivfusion_ros.training.fusion.loss_config import RefineFuseLossConfig
from ivfusion_ros.training.fusion.losses.base import Batch
from ivfusion_ros.training.fusion.losses.refinefuse import (
    contrast,
    refinefuse_paper_loss,
    texture_loss,
    thermal_mask,
)

PAPER = RefineFuseLossConfig()


def batch_of(thermal: np.ndarray, visible: np.ndarray, labels: np.ndarray | None = None) -> Batch:
    """A batch of one pair of (H, W) images in [0, 1]."""
    planes = [torch.from_numpy(image.astype(np.float32))[None, None] for image in (thermal, visible)]
    known = np.full(thermal.shape, 255, np.uint8) if labels is None else labels
    means = (plane.mean((2, 3), keepdim=True) for plane in planes)
    return Batch(*planes, torch.from_numpy(known)[None, None], *means)


def random_images(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((count, 40, 56))


def flips(mask: np.ndarray) -> float:
    """Share of neighbouring pixels, along rows and columns, that a mask tells apart."""
    return float(np.mean([np.diff(mask, axis=axis).astype(bool).mean() for axis in (0, 1)]))


def pixel_contrast(image: np.ndarray) -> np.ndarray:
    """What the mask was made of before: squared difference to the mean of 3x3 pixels."""
    return (image - ndimage.uniform_filter(image, 3, mode="nearest")) ** 2


def test_contrast_is_the_variance_under_a_gaussian() -> None:
    (image,) = random_images(1)
    x = np.arange(-4, 5)
    kernel = np.exp(-(x[:, None] ** 2 + x**2) / (2 * 1.5**2))
    kernel /= kernel.sum()

    def deviation(window: np.ndarray) -> float:
        weights = kernel.ravel()
        return float(weights @ (window - weights @ window) ** 2)

    expected = ndimage.generic_filter(image, deviation, 9, mode="nearest")
    found = contrast(torch.from_numpy(image[None, None]).float(), 9, 1.5)[0, 0].numpy()
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_texture_is_of_the_usual_sobel_filter() -> None:
    thermal, visible, fused = random_images(3).astype(np.float32)
    expected = 0.0
    for dx, dy in ((1, 0), (0, 1)):
        t, v, f = (
            np.abs(cv2.Sobel(image, cv2.CV_32F, dx, dy, borderType=cv2.BORDER_REPLICATE))
            for image in (thermal, visible, fused)
        )
        expected += np.abs(f - np.maximum(t, v)).mean()
    found = texture_loss(batch_of(thermal, visible), torch.from_numpy(fused)[None, None])
    assert found.item() == pytest.approx(expected, rel=1e-5)
    terms = refinefuse_paper_loss(batch_of(thermal, visible), torch.from_numpy(fused)[None, None], PAPER)
    assert terms["texture"].item() == pytest.approx(5 * expected, rel=1e-5)


def test_intensity_is_that_of_the_source_that_the_mask_names() -> None:
    thermal, visible, fused = random_images(3)
    thermal[:, :28] *= 0.1
    batch = batch_of(thermal, visible)
    mask = thermal_mask(batch, PAPER)[0, 0].numpy()
    assert mask[:, :22].mean() < 0.05 and 0.1 < mask[:, 34:].mean() < 0.9
    expected = np.where(mask, np.abs(fused - thermal), np.abs(fused - visible)).mean()
    terms = refinefuse_paper_loss(batch, torch.from_numpy(fused)[None, None].float(), PAPER)
    assert terms["intensity"].item() == pytest.approx(expected, rel=1e-5)


def test_salient_labels_belong_to_the_thermal_image() -> None:
    thermal, visible = np.full((40, 56), 0.5), random_images(1)[0]
    labels = np.zeros(thermal.shape, np.uint8)
    labels[:10], labels[10:20], labels[20:30] = 1, 2, 3
    mask = thermal_mask(batch_of(thermal, visible, labels), PAPER)[0, 0].numpy()
    assert mask[:20].all() and not mask[20:].any()


def test_the_mask_follows_regions_not_single_pixels() -> None:
    random = np.random.default_rng(0)
    noise = random.normal(0, 0.05, (2, 96, 96))
    thermal, visible = 0.5 + noise[0], 0.5 + noise[1]
    thermal[:, :48] = 0.5 + 3 * noise[0, :, :48]
    mask = thermal_mask(batch_of(thermal, visible), PAPER)[0, 0].numpy()
    assert mask[:, :40].mean() > 0.95
    before = pixel_contrast(thermal) > pixel_contrast(visible)
    assert flips(mask) < 0.5 * flips(before)


def test_the_mask_is_steady_on_real_pairs(shared: Path) -> None:
    pairs = find_pairs(shared / "data" / "msrs")
    shares = []
    for pair in pairs[:: len(pairs) // 20][:20]:
        thermal, visible, _ = read_luminance(pair) / 255
        mask = thermal_mask(batch_of(thermal, visible), PAPER)[0, 0].numpy()
        before = pixel_contrast(thermal) > pixel_contrast(visible)
        shares.append((flips(mask), flips(before)))
    steady, unsteady = np.mean(shares, axis=0)
    assert steady == pytest.approx(0.06, abs=0.02)
    assert unsteady == pytest.approx(0.30, abs=0.05)
