"""A rig from places at many distances, against rigs that are known."""

import cv2
import numpy as np
import pytest

from ivfusion_ros.errors import DataError
from ivfusion_ros.registration.scene.two_views import (
    Sightings,
    fit_two_views,
    nearest_rotation,
    weighted_median,
)

FOCAL_PX = 600.0
ROTATION = cv2.Rodrigues(np.radians([0.5, -0.8, 0.4]))[0]


def sightings(
    translation: tuple[float, float, float], noise_px: float = 0.4, wrong: float = 0.2, seed: int = 0
) -> tuple[Sightings, np.ndarray]:
    """1500 places 3 to 60 m away as two cameras see them, and their depths for the RGB camera."""
    random = np.random.default_rng(seed)
    rgb = random.uniform(-1, 1, (1500, 2)) * [0.5, 0.38]
    depth = np.exp(random.uniform(np.log(3), np.log(60), 1500))
    points = np.concatenate([rgb, np.ones((1500, 1))], axis=1) * depth[:, None]
    seen = (points - translation) @ ROTATION
    thermal = seen[:, :2] / seen[:, 2:] + random.normal(0, noise_px / FOCAL_PX, (1500, 2))
    lost = random.uniform(size=1500) < wrong
    thermal[lost] += random.uniform(-10, 10, (lost.sum(), 2)) / FOCAL_PX
    return Sightings(thermal, rgb, random.uniform(0.5, 1.5, 1500)), depth


def degrees_off(rotation: np.ndarray) -> float:
    return float(np.degrees(np.linalg.norm(cv2.Rodrigues(rotation @ ROTATION.T)[0])))


@pytest.mark.parametrize(
    "translation", [(0.1, -0.02, 0.01), (-0.2, 0.0, 0.0), (0.0, 0.12, 0.02)], ids=["right", "left", "above"]
)
def test_finds_rotation_direction_and_distance(translation) -> None:
    places, depth = sightings(translation)
    found = fit_two_views(places, np.eye(3), FOCAL_PX)
    length = np.linalg.norm(translation)
    assert degrees_off(found.rotation) < 0.15
    assert np.degrees(np.arccos(found.direction @ translation / length)) < 8
    assert np.linalg.norm(found.direction) == pytest.approx(1.0)
    true = 1 / weighted_median(1 / depth, places.weights)
    assert found.distance * length == pytest.approx(true, rel=0.15)
    # Half of the normal distribution lies within 0.67 sigma; wrong matches add to that.
    assert 0.2 < found.across_px < 0.45


def test_places_fit_a_plane_at_the_median_distance() -> None:
    """What counts in the end, and what rotation and distance err in together."""
    translation = np.array([0.2, -0.02, 0.01])
    places, depth = sightings((0.2, -0.02, 0.01), wrong=0.1)
    found = fit_two_views(places, np.eye(3), FOCAL_PX)
    rays = np.concatenate([places.rgb, np.ones((1500, 1))], axis=1)
    median = 1 / weighted_median(1 / depth, places.weights)
    ways = [
        (rays * distance - shift) @ rotation
        for distance, shift, rotation in (
            (found.distance, found.direction, found.rotation),
            (median, translation, ROTATION),
        )
    ]
    one, other = (way[:, :2] / way[:, 2:] for way in ways)
    assert FOCAL_PX * np.linalg.norm(one - other, axis=1).mean() < 0.5


def test_cameras_in_one_place_still_give_their_rotation() -> None:
    places, _ = sightings((0.0, 0.0, 0.0))
    found = fit_two_views(places, np.eye(3), FOCAL_PX)
    assert degrees_off(found.rotation) < 0.2
    assert found.distance > 300


def test_false_lenses_show() -> None:
    places, _ = sightings((0.1, 0.0, 0.0), wrong=0.0)
    radius = np.sum(places.thermal**2, axis=1, keepdims=True)
    bent = Sightings(places.thermal * (1 + 0.15 * radius), places.rgb, places.weights)
    true, false = (fit_two_views(given, np.eye(3), FOCAL_PX).across_px for given in (places, bent))
    assert false > 2 * true


def test_too_few_places() -> None:
    places, _ = sightings((0.1, 0.0, 0.0))
    few = places.part(np.arange(1500) < 49)
    with pytest.raises(DataError, match="only 49 places"):
        fit_two_views(few, np.eye(3), FOCAL_PX)
    worthless = Sightings(places.thermal, places.rgb, np.zeros(1500))
    with pytest.raises(DataError, match="only 0 places"):
        fit_two_views(worthless, np.eye(3), FOCAL_PX)


def test_rotation_of_a_homography() -> None:
    plane = ROTATION + np.outer([0.01, 0.0, 0.0], [0.0, 0.0, 1.0])
    assert degrees_off(nearest_rotation(-3 * plane)) < 0.5
