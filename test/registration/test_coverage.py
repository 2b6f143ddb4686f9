"""Coverage: what is unseen stays the reference, to the bit; the seam is soft, the filling smooth."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ivfusion_ros.registration.coverage import Coverage, coverage_of

SIZES = [(640, 480), (333, 251), (96, 64), (1280, 960), (20, 300)]
BLACK_TO_WHITE = 255


def window(size: tuple[int, int], share: float = 0.6, angle_deg: float = 0.0) -> np.ndarray:
    """A mask like that of a narrow camera's image in the middle."""
    width, height = size
    mask = np.zeros((height, width), np.uint8)
    left, top = round(width * (1 - share) / 2), round(height * (1 - share) / 2)
    mask[top : height - top, left : width - left] = 255
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), angle_deg, 1.0)
    return np.asarray(cv2.warpAffine(mask, turn, size)) if angle_deg else mask


def coverage(shown: np.ndarray) -> Coverage:
    found = coverage_of(shown)
    assert found is not None
    return found


def weights(shown: np.ndarray) -> np.ndarray:
    """Of the fused image, by blending white into black."""
    white = np.full((*shown.shape, 3), BLACK_TO_WHITE, np.uint8)
    joined = coverage(shown).feathered(white, np.zeros_like(white))
    assert (joined == joined[:, :, :1]).all()
    return joined[:, :, 0] / BLACK_TO_WHITE


def test_a_whole_view_needs_nothing() -> None:
    whole = np.full((480, 640), 255, np.uint8)
    assert coverage_of(whole) is None
    # What interpolation and rounding leave of a border that is there.
    whole[:, 0], whole[-1], whole[:, -1] = 127, 64, 0
    assert coverage_of(whole) is None


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("angle_deg", [0.0, 25.0])
def test_the_unseen_part_stays_to_the_bit(size, angle_deg) -> None:
    random = np.random.default_rng(0)
    fused, reference = random.integers(0, 256, (2, size[1], size[0], 3), np.uint8)
    shown = window(size, angle_deg=angle_deg)
    joined = coverage(shown).feathered(fused, reference)
    np.testing.assert_array_equal(joined[shown == 0], reference[shown == 0])
    # And well within, the fused image: 7% of the longer side from the seam, but at least 10 pixels.
    depth_px = cv2.distanceTransform((shown == 255).astype(np.uint8), cv2.DIST_L2, 5)
    deep = depth_px > max(10, 0.07 * max(size))
    assert deep.any() == (size != (20, 300))
    np.testing.assert_array_equal(joined[deep], fused[deep])


def test_the_seam_is_soft() -> None:
    """No step, and no more than 40 pixels of a 640 pixels wide image are given away."""
    shown = window((640, 480))
    share = weights(shown)
    assert np.abs(np.diff(share, axis=0)).max() < 0.07 and np.abs(np.diff(share, axis=1)).max() < 0.07
    row = share[240]
    assert (row[:128] == 0).all() and (row[128 + 40 : 512 - 40] == 1).all()
    assert (np.diff(row[:320]) >= 0).all()


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32), st.integers(8, 200), st.integers(8, 200))
def test_pieces_of_the_seam_are_the_whole_of_it(seed, width, height) -> None:
    """The blend by pieces is the blend by one map of weights, for masks of any shape."""
    random = np.random.default_rng(seed)
    noise = cv2.GaussianBlur(random.normal(size=(height, width)), (0, 0), 6)
    shown = np.where(noise > np.quantile(noise, 0.4), 255, 0).astype(np.uint8)
    if coverage_of(shown) is None:
        return
    fused, reference = random.integers(0, 256, (2, height, width, 3), np.uint8)
    share = weights(shown)[:, :, None]
    expected = share * fused + (1 - share) * reference
    np.testing.assert_allclose(coverage(shown).feathered(fused, reference), expected, atol=1.01)


@pytest.mark.parametrize("channels", [(), (3,)])
def test_filling_continues_smoothly(channels) -> None:
    """A ramp goes on at its value beside the seam, and comes to its mean; what is seen stays."""
    shown = window((640, 480))
    ramp = np.tile(np.linspace(50, 200, 640), (480, 1)).round().astype(np.uint8)
    warped = cv2.bitwise_and(ramp, shown)
    warped = np.repeat(warped[:, :, None], 3, 2) if channels else warped
    filled = coverage(shown).filled(warped)
    assert filled.shape == warped.shape and filled.dtype == np.uint8
    np.testing.assert_array_equal(filled[shown == 255], warped[shown == 255])
    grey = filled.reshape(480, 640, -1)[:, :, 0].astype(int)
    for inside, outside in (((240, 128), (240, 127)), ((240, 511), (240, 512)), ((96, 320), (95, 320))):
        assert abs(grey[inside] - grey[outside]) < 16
    assert abs(grey[shown == 0].mean() - grey[shown == 255].mean()) < 8
    assert abs(int(grey[240, 0]) - 125) < 5
    unseen = np.where(shown == 0, grey, grey[0, 0])
    assert np.abs(np.diff(unseen[:90], axis=1)).max() <= 3


def test_a_camera_that_sees_nothing() -> None:
    shown = np.zeros((48, 64), np.uint8)
    blind = coverage(shown)
    assert blind.share == 0 and not blind.filled(shown).any()
    reference = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    np.testing.assert_array_equal(blind.feathered(255 - reference, reference), reference)


def test_share() -> None:
    assert coverage(window((640, 480), 0.6)).share == pytest.approx(0.36, abs=0.01)
