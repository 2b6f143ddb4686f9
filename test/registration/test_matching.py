from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
from cross_modal_samples import mean_error_px, noisy, scene, similarity
from hypothesis import given, settings
from hypothesis import strategies as st

from ivfusion_ros.errors import DataError, ImageError
from ivfusion_ros.registration.scene.align import align, align_many, match_places
from ivfusion_ros.registration.scene.features import content_mask, orientation_features
from ivfusion_ros.registration.scene.score_volume import score_volume
from ivfusion_ros.simulate import RigConfig, SceneConfig, Simulator, ThermalCameraConfig

if TYPE_CHECKING:
    from ivfusion_ros.types import Floats, Image

SIZE = (320, 240)


def displaced(thermal: Image, rgb_from_thermal: Floats) -> Image:
    """What the thermal camera sees if it is mounted so."""
    return np.asarray(cv2.warpPerspective(thermal, np.linalg.inv(rgb_from_thermal), SIZE), np.uint8)


@pytest.mark.parametrize(
    ("scale", "rotation_deg", "shift"),
    [(1.0, 0.0, (0.0, 0.0)), (1.19, 4.0, (38.0, -31.0)), (0.84, -5.0, (-20.0, 15.0))],
)
def test_finds_scale_rotation_and_shift(
    scale: float, rotation_deg: float, shift: tuple[float, float]
) -> None:
    thermal, visible = scene(1)
    truth = similarity(scale, rotation_deg, shift, SIZE)
    found = align(displaced(thermal, truth), visible)
    assert mean_error_px(found.rgb_from_thermal, truth, SIZE) < 0.6
    assert found.trusted and found.confidence > 0.8 and found.agreement > 0.7 and found.split_px < 1.0


def test_finds_perspective() -> None:
    thermal, visible = scene(2)
    truth = similarity(1.05, 2.0, (10.0, 5.0), SIZE)
    truth[2, :2] = 2e-4, -1e-4
    warped = displaced(thermal, truth)
    homography = mean_error_px(align(warped, visible).rgb_from_thermal, truth, SIZE)
    affine = mean_error_px(align(warped, visible, model="affine").rgb_from_thermal, truth, SIZE)
    assert homography < 0.8 < affine


def test_polarity_does_not_matter() -> None:
    thermal, visible = scene(3)
    truth = similarity(1.1, 0.0, (12.0, 8.0), SIZE)
    warped = displaced(thermal, truth)
    one, other = align(warped, visible), align(255 - warped, visible)
    assert mean_error_px(one.rgb_from_thermal, truth, SIZE) < 0.6
    assert mean_error_px(other.rgb_from_thermal, one.rgb_from_thermal, SIZE) < 0.4


def test_sizes_may_differ() -> None:
    thermal, visible = scene(4)
    small = np.asarray(cv2.resize(thermal, (160, 120), interpolation=cv2.INTER_AREA), np.uint8)
    truth = np.array([[2, 0, 0.5], [0, 2, 0.5], [0, 0, 1.0]])
    assert mean_error_px(align(small, visible).rgb_from_thermal, truth, (160, 120)) < 0.6


def test_many_frames_are_better_than_one() -> None:
    truth = similarity(1.08, 2.0, (15.0, -10.0), SIZE)
    rng = np.random.default_rng(5)
    pairs = []
    for seed in (6, 7, 8, 9):
        thermal, visible = scene(seed)
        # Each frame shows something in one quarter only.
        quarter = np.zeros((240, 320), bool)
        quarter[120 * (seed % 2) :, 160 * (seed // 2 % 2) :][:120, :160] = True
        bare = (np.where(quarter, image, 100).astype(np.uint8) for image in (thermal, visible))
        warped, seen = bare
        pairs.append((noisy(displaced(warped, truth), rng, 6.0), noisy(seen, rng, 6.0)))
    together = align_many(pairs)
    alone = [mean_error_px(align(*pair).rgb_from_thermal, truth, SIZE) for pair in pairs]
    error = mean_error_px(together.rgb_from_thermal, truth, SIZE)
    assert together.frames == 4 and together.trusted
    assert error < 1.2 and error < min(alone)


def test_what_fits_at_two_places_is_not_trusted() -> None:
    """The same tile again and again: a step of one tile fits as well as none."""
    tiles = (np.tile(image[60:100, 100:140], (6, 8)) for image in scene(15))
    assert not align(*tiles).trusted


def test_unrelated_and_empty_scenes_are_not_trusted() -> None:
    assert not align(scene(10)[0], scene(11)[1]).trusted
    rng = np.random.default_rng(12)
    empty = np.full((240, 320), 90, np.uint8)
    assert not align(noisy(empty, rng), noisy(empty, rng)).trusted


def test_refuses_what_cannot_be_aligned() -> None:
    grey = np.full((240, 320), 90, np.uint8)
    with pytest.raises(DataError, match="one grey level"):
        align(grey, grey)
    with pytest.raises(DataError, match="no image pairs"):
        align_many([])
    with pytest.raises(ImageError, match="at least 64x64"):
        align(grey[:50], grey)
    with pytest.raises(ImageError, match="equal sizes"):
        align_many([(grey, grey), (grey[:200], grey)])


def test_black_borders_of_a_warp_are_no_content() -> None:
    image = scene(13)[0]
    image[100:110, 100:120] = 0
    matrix = similarity(1.0, 5.0, (20.0, 0.0), SIZE)
    warped = np.asarray(cv2.warpPerspective(image, matrix, SIZE), np.uint8)
    inside = cv2.warpPerspective(np.ones(image.shape, np.float32), matrix, SIZE) > 0.99
    content = content_mask(warped) > 0
    assert content[~inside].mean() < 0.005
    assert content[inside].mean() > 0.95
    assert content[105, 130], "a black object inside the image is content"


@settings(max_examples=8, deadline=None)
@given(st.integers(-4, 4), st.integers(-4, 4))
def test_a_shift_is_where_the_scores_are_best(across: int, down: int) -> None:
    image = scene(14)[1]
    features = orientation_features(image)
    moved = np.roll(features, (down, across), axis=(1, 2))
    volume = score_volume(features, moved, np.ones(image.shape, np.float32), 5, 8, 12.0)
    shifts, scores, _ = volume.best_shifts()
    inner = np.zeros(volume.cover.shape, bool)
    inner[3:-3, 3:-3] = True
    assert (shifts[inner.ravel()] == [across, down]).all()
    assert scores[inner.ravel()].min() > 0.5
    middle = volume.at(np.tile([float(across), float(down)], (inner.size, 1)))
    np.testing.assert_allclose(middle[inner.ravel()], scores[inner.ravel()], atol=0.02)


@pytest.mark.parametrize("every", [1, 2])
def test_scores_are_windowed_means_of_the_products(every: int) -> None:
    rng = np.random.default_rng(5)
    angles = [cv2.GaussianBlur(rng.normal(0, 9, (49, 66)), (0, 0), 2.0) for _ in range(2)]
    # Of length 1 at each pixel, so that energies are 1 and scores plain means.
    moving, fixed = (np.stack([np.cos(one), np.sin(one)]).astype(np.float32) for one in angles)
    volume = score_volume(moving, fixed, np.ones(moving.shape[1:], np.float32), 2, 4, 6.0, every)
    assert volume.scores.shape == (5, 5, 12, 16)
    padded = np.pad(fixed, ((0, 0), (2, 2), (2, 2)))
    for down, across in np.ndindex(5, 5):
        products = (moving * padded[:, down : down + 49, across : across + 66]).sum(axis=0)
        cells = products[:48, :64].reshape(12, 4, 16, 4)[:, ::every].mean(axis=(1, 3))
        means = cv2.GaussianBlur(cells, (15, 15), 1.5, borderType=cv2.BORDER_REFLECT)
        np.testing.assert_allclose(volume.scores[down, across], means / 1.1, atol=1e-4)


def test_simulated_rig_at_its_main_distance() -> None:
    pairs, simulators = [], []
    for seed, time_s in ((0, 3.0), (1, 0.0)):
        rig = RigConfig(thermal=ThermalCameraConfig(position_m=(0.09, -0.03, 0.01), shutter_interval_s=0))
        simulator = Simulator(SceneConfig(seed=seed, illumination="day"), rig)
        simulators.append(simulator)
        pairs.append(_pair(simulator, time_s))
    found = align_many(pairs)
    assert found.trusted
    assert np.mean([_error_at_main_distance_px(found.rgb_from_thermal, one) for one in simulators]) < 1.5


def _pair(simulator: Simulator, time_s: float) -> tuple[Image, Image]:
    """8-bit thermal and luminance, without the lens distortion, which the cameras publish."""
    counts = simulator.thermal_at(time_s)
    low, high = np.percentile(counts, [1, 99])
    thermal = np.clip((counts - low) * (255 / (high - low)), 0, 255).astype(np.uint8)
    visible = cv2.cvtColor(simulator.rgb_at(time_s), cv2.COLOR_RGB2GRAY)
    images = []
    for image, name in ((thermal, "thermal"), (visible, "rgb")):
        camera = simulator.cameras[name]
        images.append(np.asarray(cv2.undistort(image, camera.matrix, np.array(camera.info.d)), np.uint8))
    return images[0], images[1]


def _error_at_main_distance_px(rgb_from_thermal: Floats, simulator: Simulator) -> float:
    """Mean over the surfaces within a third of the median distance (of what is within 100 m)."""
    depth = simulator.depth(0.0, "rgb")
    main = float(np.median(depth[depth < 100]))
    thermal = simulator.rgb_from_thermal_map(0.0).astype(np.float64)
    chosen = np.isfinite(thermal).all(axis=2) & (depth > main * 0.75) & (depth < main * 1.33)
    rows, columns = np.nonzero(chosen)
    rgb = np.stack([columns, rows], axis=1).astype(np.float64)
    straight = []
    for pixels, name in ((thermal[chosen], "thermal"), (rgb, "rgb")):
        camera = simulator.cameras[name]
        lens = camera.matrix, np.array(camera.info.d)
        straight.append(cv2.undistortPoints(pixels[:, None], *lens, P=camera.matrix)[:, 0])
    placed = cv2.perspectiveTransform(straight[0][None], rgb_from_thermal)[0]
    return float(np.hypot(*(placed - straight[1]).T).mean())


def test_places_are_found_each_for_itself() -> None:
    """The right half lies 5 px further right in the visible image, as if it were nearer."""
    pairs, shifted = [], similarity(1.0, 0.0, (5.0, 0.0), SIZE)
    for seed in (21, 22):
        thermal, visible = scene(seed)
        near = np.asarray(cv2.warpPerspective(visible, shifted, SIZE), np.uint8)
        pairs.append((thermal, np.concatenate([visible[:, :160], near[:, 160:]], axis=1)))
    found = match_places(pairs, np.eye(3))
    assert found.factor == 1.0 and set(found.frames) == {0, 1}
    assert found.thermal.shape == found.rgb.shape == (len(found.weights), 2)
    shifts = found.rgb - found.thermal
    for side, expected in ((found.rgb[:, 0] < 130, 0.0), (found.rgb[:, 0] > 200, 5.0)):
        right = np.hypot(*(shifts - [expected, 0.0]).T) < 0.7
        assert (found.weights * right)[side].sum() > 0.8 * found.weights[side].sum()
