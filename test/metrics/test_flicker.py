"""Flicker of fused video: zero where the fusion is calm, in proportion to what is added to it."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from ivfusion_ros.errors import ImageError
from ivfusion_ros.metrics.flicker import FLICKER, brightness_flicker, flicker

SHAPE = (6, 7)
images = arrays.arrays(np.uint8, SHAPE)


def video(seed: int, frames: int = 6) -> list[tuple[np.ndarray, np.ndarray]]:
    """Sources that move: a texture that scrolls, thermal faster than visible."""
    random = np.random.default_rng(seed)
    thermal, visible = random.integers(40, 180, (2, 48, 64)).astype(float)
    return [(np.roll(thermal, 2 * time, 1), np.roll(visible, time, 1)) for time in range(frames)]


def mean_flicker(measure, sources, fused) -> float:
    moments = [(a, b, f) for (a, b), f in zip(sources, fused, strict=True)]
    return float(np.mean([measure(*pair) for pair in pairwise(moments)]))


@pytest.mark.parametrize("measure", FLICKER.values())
def test_static_scene_and_fusion_have_none(measure) -> None:
    a, b = video(0)[0]
    assert measure((a, b, (a + b) / 2), (a, b, (a + b) / 2)) == 0


@pytest.mark.parametrize("measure", FLICKER.values())
@given(a0=images, b0=images, a1=images, b1=images, weight=st.floats(0, 1))
def test_averages_and_copies_have_none(measure, a0, b0, a1, b1, weight) -> None:
    fused = [b + weight * (a.astype(float) - b) for a, b in ((a0, b0), (a1, b1))]
    assert measure((a0, b0, fused[0]), (a1, b1, fused[1])) == pytest.approx(0, abs=1e-9)
    assert measure((a0, b0, a0), (a1, b1, a1)) == 0
    assert measure((a0, b0, b0), (a1, b1, b1)) == 0


@given(a0=images, b0=images, a1=images, b1=images)
def test_choosing_the_larger_or_smaller_source_has_none(a0, b0, a1, b1) -> None:
    for choose in (np.maximum, np.minimum):
        assert flicker((a0, b0, choose(a0, b0)), (a1, b1, choose(a1, b1))) == 0


@given(before=images, after=images)
def test_all_change_of_a_still_scene_counts(before, after) -> None:
    still = np.full(SHAPE, 90, np.uint8)
    change = after.astype(float) - before
    assert flicker((still, still, before), (still, still, after)) == pytest.approx(np.abs(change).mean())
    expected = pytest.approx(abs(change.mean()), abs=1e-9)
    assert brightness_flicker((still, still, before), (still, still, after)) == expected


def test_only_the_excess_over_the_livelier_source_counts() -> None:
    def flat(level: float) -> np.ndarray:
        return np.full(SHAPE, float(level))

    moments = (flat(100), flat(100), flat(100)), (flat(110), flat(97), flat(125))
    assert flicker(*moments) == pytest.approx(15)
    assert brightness_flicker(*moments) == pytest.approx(15)


@pytest.mark.parametrize("measure", FLICKER.values())
def test_a_gain_of_each_frame_raises_it_in_proportion(measure) -> None:
    still = [video(1)[0]] * 8
    noise = np.random.default_rng(2).uniform(-1, 1, len(still))

    def scored(strength: float) -> float:
        fused = [(a + b) / 2 * (1 + strength * gain) for (a, b), gain in zip(still, noise, strict=True)]
        return mean_flicker(measure, still, fused)

    assert scored(0.1) == pytest.approx(2 * scored(0.05))
    assert scored(0.05) > 1


@pytest.mark.parametrize("measure", FLICKER.values())
def test_stretching_each_frame_raises_it_while_the_camera_moves(measure) -> None:
    sources = video(3)
    # A lamp that comes and goes at one pixel moves the whole stretched picture.
    for time, (a, _) in enumerate(sources):
        a[0, 0] = 255 if time % 2 else 180
    average = [(a + b) / 2 for a, b in sources]
    stretched = [255 * (f - f.min()) / (f.max() - f.min()) for f in average]
    assert mean_flicker(measure, sources, average) == 0
    assert mean_flicker(measure, sources, stretched) > 1


def test_frames_of_different_sizes_are_an_error() -> None:
    small, large = np.zeros((4, 4), np.uint8), np.zeros((4, 5), np.uint8)
    with pytest.raises(ImageError, match="expected one shape"):
        flicker((small, small, small), (large, large, large))
