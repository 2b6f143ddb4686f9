"""The near side of objects in depth images, by scenes whose surfaces are known."""

import numpy as np
import pytest

from ivfusion_ros.detection.near_side import near_sides

SIZE = (160, 120)
BOX = np.array([[40.0, 20, 120, 100]])


def wall() -> np.ndarray:
    return np.full(SIZE[::-1], 30.0, np.float32)


def slanted(near_m: float = 3.0, far_m: float = 7.0) -> np.ndarray:
    """A car's side that comes towards the camera: distances as perspective spreads them over columns."""
    depth = wall()
    depth[20:100, 40:120] = 1 / np.linspace(1 / near_m, 1 / far_m, 80)
    return depth


def test_the_near_end_of_a_long_object_counts_and_not_its_middle() -> None:
    (near,), (middle,) = near_sides(slanted(), BOX, SIZE)
    assert near == pytest.approx(3.0, rel=0.03)
    # At half of the width the inverse distance is the mean of both ends'.
    assert middle == pytest.approx(4.2, rel=0.02)


@pytest.mark.parametrize("seed", range(4))
def test_noise_of_a_depth_camera_moves_it_little(seed: int) -> None:
    noise = np.random.default_rng(seed).normal(scale=0.015, size=SIZE[::-1])
    depth = wall()
    depth[20:100, 60:100] = 10
    noisy = (depth * (1 + noise)).astype(np.float32)
    assert near_sides(noisy, BOX, SIZE)[0][0] == pytest.approx(10, rel=0.02)


def test_what_hides_a_part_is_another_object() -> None:
    depth = slanted(8.0, 12.0)
    depth[30:120, 45:60] = 5.0
    assert near_sides(depth, BOX, SIZE)[0][0] == pytest.approx(8.0, rel=0.06)


def test_the_ground_in_front_is_not_the_object() -> None:
    depth = wall()
    depth[20:100, 40:120] = 10.0
    # The box is too large by 6 rows; the ground rises towards the camera from where the object stands.
    depth[94:] = 10.0 * 40 / (40 + np.arange(26, dtype=np.float32)[:, None] * 3)
    assert near_sides(depth, BOX, SIZE)[0][0] == pytest.approx(10.0, rel=0.01)


def test_pixels_without_a_distance_are_left_out() -> None:
    random = np.random.default_rng(0)
    for nothing in (0.0, np.nan, np.inf):
        depth = slanted()
        depth[random.random(depth.shape) < 0.3] = nothing
        assert near_sides(depth, BOX, SIZE)[0][0] == pytest.approx(3.0, rel=0.03)
    assert np.isnan(near_sides(np.zeros(SIZE[::-1], np.float32), BOX, SIZE)).all()
    assert near_sides(wall(), np.zeros((0, 4)), SIZE)[0].shape == (0,)


def test_millimetres_in_another_size() -> None:
    (metres,), _ = near_sides(slanted(), BOX, SIZE)
    millimetres = (slanted() * 1000).astype(np.uint16)
    assert near_sides(millimetres, BOX * 4, (640, 480))[0][0] == pytest.approx(metres, abs=0.001)
