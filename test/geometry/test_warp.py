"""Images warped by homographies and remaps, at any size, against their definition."""

import numpy as np
import pytest
from calibration_samples import TILTED, bulge, texture
from hypothesis import given, settings
from hypothesis import strategies as st
from places import ROOT

from ivfusion_ros.errors import ConfigError, ImageError
from ivfusion_ros.geometry.base_map import calibrated_map
from ivfusion_ros.geometry.calibration import Calibration, read_calibration
from ivfusion_ros.geometry.warp import Warp

IDENTITY = ROOT / "config" / "calibration" / "identity.yaml"


def sample(image, x, y):
    """Bilinear interpolation with zeros around the image, written out in float64."""
    padded = np.zeros((image.shape[0] + 2, image.shape[1] + 2))
    padded[1:-1, 1:-1] = image
    x, y = np.clip(x, -1, image.shape[1]) + 1, np.clip(y, -1, image.shape[0]) + 1
    x0, y0 = np.minimum(x.astype(int), image.shape[1]), np.minimum(y.astype(int), image.shape[0])
    fx, fy = x - x0, y - y0
    top = padded[y0, x0] * (1 - fx) + padded[y0, x0 + 1] * fx
    bottom = padded[y0 + 1, x0] * (1 - fx) + padded[y0 + 1, x0 + 1] * fx
    return top * (1 - fy) + bottom * fy


def warped(image, rgb_from_thermal, rgb_size):
    """What an RGB camera of that homography would see, pixel by pixel."""
    x, y = np.meshgrid(np.arange(rgb_size[0]), np.arange(rgb_size[1]))
    points = np.linalg.inv(rgb_from_thermal) @ np.stack([x.ravel(), y.ravel(), np.ones(x.size)])
    return sample(image, *(points[:2] / points[2]).reshape(2, *x.shape))


def assert_near(found, expected, tolerance):
    assert found.dtype == np.uint8 and found.shape == expected.shape
    difference = np.abs(found.astype(float) - expected)
    # 1/32 pixel of fixed-point maps shows most at the hard edge to black.
    assert difference.mean() < tolerance / 4 and np.percentile(difference, 99) <= tolerance


def test_no_calibration_passes_equal_sizes_through():
    image = texture((64, 48))
    assert Warp(None)(image, (64, 48)) is image


def test_no_calibration_scales_about_pixel_centres():
    ramp = np.tile(np.arange(0, 160, 10, dtype=np.uint8), (8, 1))
    out = Warp(None)(ramp, (32, 16))
    assert out.shape == (16, 32)
    # The centre of pixel u of 32 is at (u + 0.5) / 2 - 0.5 of 16.
    expected = np.clip((np.arange(32) + 0.5) / 2 - 0.5, 0, 15) * 10
    assert np.abs(out - expected).max() <= 0.51


def test_identity_file_changes_nothing():
    calibration = read_calibration(IDENTITY)
    image = texture((640, 480))
    np.testing.assert_array_equal(Warp(calibration)(image, (640, 480)), image)


def test_identity_file_at_another_size_only_scales():
    image = texture((320, 240))
    out = Warp(read_calibration(IDENTITY))(image, (640, 480))
    plain = Warp(None)(image, (640, 480))
    assert np.abs(out[1:-1, 1:-1].astype(int) - plain[1:-1, 1:-1]).max() <= 2


def test_homography_against_its_definition():
    image = texture((80, 64))
    out = Warp(Calibration((80, 64), (96, 72), TILTED))(image, (96, 72))
    assert_near(out, warped(image, TILTED, (96, 72)), 4)


@pytest.mark.parametrize("factor", [-1.0, 1e-6, 250.0])
def test_a_homography_is_free_in_scale_and_sign(factor):
    image = texture((80, 64))
    plain, scaled = (
        Warp(Calibration((80, 64), (80, 64), TILTED * value))(image, (80, 64)) for value in (1.0, factor)
    )
    np.testing.assert_array_equal(plain, scaled)


@settings(max_examples=25, deadline=None)
@given(shift_x=st.integers(-30, 30), shift_y=st.integers(-30, 30))
def test_a_whole_pixel_shift_is_exact_and_black_outside(shift_x, shift_y):
    image = texture((40, 32))
    shift = np.array([[1.0, 0, shift_x], [0, 1, shift_y], [0, 0, 1]])
    out = Warp(Calibration((40, 32), (40, 32), shift))(image, (40, 32))
    expected = np.zeros_like(image)
    to = (slice(max(0, shift_y), 32 + min(0, shift_y)), slice(max(0, shift_x), 40 + min(0, shift_x)))
    source = (
        slice(max(0, -shift_y), 32 + min(0, -shift_y)),
        slice(max(0, -shift_x), 40 + min(0, -shift_x)),
    )
    expected[to] = image[source]
    np.testing.assert_array_equal(out, expected)


def test_what_lies_behind_the_camera_is_black():
    # Depth is 1 - x / 48; without a look at its sign, columns past 48 would show thermal pixels too.
    depth = np.array([-1 / 48, 0, 1])
    thermal_from_rgb = np.array([40 * depth + [0.2, 0, -6], 24 * depth + [0, 0.2, -4.8], depth])
    shown = thermal_from_rgb @ [60, 24, 1]
    assert 0 < shown[0] / shown[2] < 63 and 0 < shown[1] / shown[2] < 47
    calibration = Calibration((64, 48), (64, 48), np.linalg.inv(thermal_from_rgb))
    out = Warp(calibration)(np.full((48, 64), 200, np.uint8), (64, 48))
    assert (out[24, :40] == 200).all() and not out[:, 48:].any()


@pytest.mark.parametrize(("thermal_scale", "rgb_scale"), [(2, 1), (1, 2), (2, 3), (0.5, 0.5)])
def test_other_sizes_of_the_same_cameras(thermal_scale, rgb_scale):
    def at_scale(scale):
        return np.array([[scale, 0, (scale - 1) / 2], [0, scale, (scale - 1) / 2], [0, 0, 1]])

    thermal_size = (int(80 * thermal_scale), int(64 * thermal_scale))
    rgb_size = (int(96 * rgb_scale), int(72 * rgb_scale))
    image = texture(thermal_size)
    out = Warp(Calibration((80, 64), (96, 72), TILTED))(image, rgb_size)
    homography = at_scale(rgb_scale) @ TILTED @ np.linalg.inv(at_scale(thermal_scale))
    assert_near(out, warped(image, homography, rgb_size), 4)


def test_one_warp_serves_several_sizes():
    warp = Warp(Calibration((80, 64), (96, 72), TILTED))
    small, large = texture((80, 64)), texture((160, 128))
    first = warp(small, (96, 72))
    warp(large, (192, 144))
    np.testing.assert_array_equal(warp(small, (96, 72)), first)
    assert warp(large, (96, 72)).shape == (72, 96)


@pytest.mark.parametrize(("thermal_size", "rgb_size"), [((80, 60), (96, 72)), ((80, 64), (96, 54))])
def test_another_aspect_ratio_is_an_error(thermal_size, rgb_size):
    warp = Warp(Calibration((80, 64), (96, 72), TILTED))
    with pytest.raises(ConfigError, match=r"calibration was made at.*same aspect ratio"):
        warp(texture(thermal_size), rgb_size)


def test_remap_against_its_definition():
    remap, image = bulge((96, 72), (80, 64)), texture((80, 64))
    out = Warp(Calibration((80, 64), (96, 72), remap=remap))(image, (96, 72))
    assert_near(out, sample(image, remap.map_x.astype(float), remap.map_y.astype(float)), 4)


def test_remap_at_another_size():
    remap = bulge((96, 72), (80, 64))
    warp = Warp(Calibration((80, 64), (96, 72), remap=remap))
    image = texture((160, 128))
    small = sample(image, remap.map_x * 2.0 + 0.5, remap.map_y * 2.0 + 0.5)
    assert_near(warp(image, (96, 72)), small, 4)
    large = warp(image, (192, 144))
    means = large.reshape(72, 2, 96, 2).mean(axis=(1, 3))
    assert np.abs(means - small)[16:-16, 16:-16].max() < 6


@pytest.mark.parametrize("scale", [0.25, 1, 3])
def test_pixels_that_a_remap_marks_as_none_are_black_at_any_size(scale):
    remap = bulge((96, 72), (80, 64))
    remap.map_x[:, :48] = -1
    remap.map_y[:, :48] = -1
    warp = Warp(Calibration((80, 64), (96, 72), remap=remap))
    for rgb_size in ((96, 72), (192, 144), (48, 36)):
        out = warp(np.full((int(64 * scale), int(80 * scale)), 200, np.uint8), rgb_size)
        middle = rgb_size[0] // 2
        assert not out[:, :middle].any()
        assert (out[rgb_size[1] // 2, middle + 2 : -10] == 200).all()


@pytest.mark.parametrize(
    "image", [np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4), np.uint16), np.zeros((0, 4), np.uint8)]
)
def test_other_kinds_of_image_are_errors(image):
    with pytest.raises(ImageError, match=r"expected uint8 \(H, W\)"):
        Warp(None)(image, (4, 4))


def test_thermal_reference_by_homography_warps_colour():
    image = np.stack([texture((96, 72), seed) for seed in range(3)], axis=2)
    out = Warp(Calibration((80, 64), (96, 72), TILTED), "thermal")(image, (80, 64))
    assert out.shape == (64, 80, 3)
    for channel in range(3):
        expected = warped(image[:, :, channel], np.linalg.inv(TILTED), (80, 64))
        assert_near(out[:, :, channel], expected, 4)


def test_thermal_reference_by_remap_is_the_way_back():
    remap = bulge((96, 72), (80, 64))
    calibration = Calibration((80, 64), (96, 72), remap=remap)
    thermal = texture((80, 64))
    there = Warp(calibration)(thermal, (96, 72))
    back = Warp(calibration, "thermal")(there, (80, 64))
    # Twice interpolated, so blurred a little.
    inside = (slice(14, 50), slice(17, 63))
    assert np.abs(back.astype(int) - thermal)[inside].max() <= 6


def test_maps_are_computed_once(monkeypatch):
    """They take ten times as long as the warp by them."""
    made = []

    def counted(*arguments):
        made.append(arguments)
        return calibrated_map(*arguments)

    monkeypatch.setattr("ivfusion_ros.geometry.warp.calibrated_map", counted)
    warp = Warp(
        Calibration((640, 512), (640, 480), np.array([[1.02, 0.03, 5], [-0.02, 0.98, -7], [0, 0, 1]]))
    )
    for _ in range(3):
        warp(texture((640, 512)), (640, 480))
    assert len(made) == 1
    warp(texture((320, 256)), (640, 480))
    assert len(made) == 2


def test_maps_of_few_sizes_are_kept() -> None:
    """A camera that sends another size each time must not fill the memory."""
    warp = Warp(Calibration((80, 64), (96, 72), np.eye(3)))
    shown = []
    for scale in range(1, 30):
        image = np.zeros((64 * scale, 80 * scale), np.uint8)
        assert warp(image, (96, 72)).shape == (72, 96)
        shown.append(warp.shown((80 * scale, 64 * scale), (96, 72)))
    # What is kept is the same array; what is not is made again.
    assert warp.shown((80 * 29, 64 * 29), (96, 72)) is shown[-1]
    assert warp.shown((80 * 25, 64 * 25), (96, 72)) is not shown[-5]
