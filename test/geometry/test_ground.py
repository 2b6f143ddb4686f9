"""The ground in a camera's view, against points that are projected onto it."""

import numpy as np
import pytest

from ivfusion_ros.errors import ConfigError
from ivfusion_ros.geometry.ground import GroundPlane
from ivfusion_ros.geometry.rig import Extrinsics

# A camera's optical axes (x right, y down, z forward) in a base with x forward, y left, z up.
LEVEL = np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]])


def tilted(tilt_deg: float, height_m: float) -> Extrinsics:
    """base_from_camera of a camera that looks down."""
    angle = np.radians(tilt_deg)
    # A turn about the base's y axis (to the left), which takes x towards -z.
    turn = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
    return Extrinsics(turn @ LEVEL, np.array([0.3, 0.1, height_m]))


@pytest.mark.parametrize("tilt_deg", [-3.0, 0.0, 10.0, 60.0, 89.0])
def test_points_on_the_ground_are_found_again(tilt_deg: float) -> None:
    base_from_camera = tilted(tilt_deg, 1.7)
    ground = np.array([[2.0, 0.5, 0], [8, -3, 0], [20, 4, 0], [1.0, 0, 0]])
    points = base_from_camera.inverse().apply(ground)
    points = points[points[:, 2] > 0.1]
    for plane in (GroundPlane.of_base(base_from_camera), GroundPlane.below(1.7, tilt_deg, 0.0)):
        np.testing.assert_allclose(plane.depths(points[:, :2] / points[:, 2:]), points[:, 2], rtol=1e-9)


def test_a_roll_turns_the_horizon() -> None:
    # Turned clockwise by 90 degrees, the ground is where the image's right side is.
    plane = GroundPlane.below(2.0, 0.0, 90.0)
    depths = plane.depths(np.array([[0.5, 0.0], [-0.5, 0.0], [0.0, 0.5]]))
    assert depths[0] == pytest.approx(4.0) and np.isnan(depths[1])


def test_nothing_stands_above_the_horizon_or_too_far() -> None:
    depths = GroundPlane.below(1.5, 0.0, 0.0).depths(np.array([[0, -0.1], [0, 0.0], [0, 0.001], [0, 0.15]]))
    assert np.isnan(depths[:3]).all() and depths[3] == pytest.approx(10.0)


def test_errors_are_what_a_small_change_does() -> None:
    plane, step = GroundPlane.below(1.5, 8.0, 0.0), 1e-6
    slopes = np.array([[0.1, 0.02], [-0.2, 0.3]])
    depths = plane.depths(slopes)
    moved = plane.depths(slopes + np.array([0, step]))
    np.testing.assert_allclose(
        plane.depth_errors(depths, np.full(2, step), 0.0), np.abs(moved - depths), rtol=1e-3
    )
    nodded = GroundPlane.below(1.5, 8.0 + np.degrees(step), 0.0).depths(slopes)
    errors = plane.depth_errors(depths, np.zeros(2), step)
    np.testing.assert_allclose(errors, np.abs(nodded - depths), rtol=0.1)


def test_a_camera_in_the_ground_is_refused() -> None:
    with pytest.raises(ConfigError, match="expected more than 0"):
        GroundPlane.of_base(tilted(0.0, -0.2))
