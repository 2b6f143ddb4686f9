"""Images warped by a depth image or for a plane at a distance."""

import numpy as np
import pytest
from calibration_samples import TILTED, rig_parts, texture

from ivfusion_ros.errors import ConfigError
from ivfusion_ros.geometry.calibration import Calibration
from ivfusion_ros.geometry.camera import CameraModel
from ivfusion_ros.geometry.depth import DepthMapper
from ivfusion_ros.geometry.maps import plane_map
from ivfusion_ros.geometry.rig import Extrinsics, Rig
from ivfusion_ros.geometry.warp import Warp


@pytest.mark.parametrize("reference", ["rgb", "thermal"])
def test_a_flat_depth_image_is_the_plane_at_that_distance(reference):
    calibration = Calibration((80, 64), (96, 72), rig=rig_parts())
    other, size = ((80, 64), (96, 72)) if reference == "rgb" else ((96, 72), (80, 64))
    image = texture(other)
    by_plane = Warp(calibration, reference, plane_distance_m=2.5)(image, size)
    warp = Warp(calibration, reference)
    for depth in (np.full(size[::-1], 2.5, np.float32), np.full((10, 12), 2500, np.uint16)):
        assert np.abs(warp(image, size, depth).astype(int) - by_plane).max() <= 3
    assert np.abs(warp(image, size).astype(int) - by_plane).max() > 20
    warp.set_plane_distance(2.5)
    np.testing.assert_array_equal(warp(image, size), by_plane)
    unknown = np.zeros(size[::-1], np.float32)
    assert np.abs(warp(image, size, unknown).astype(int) - by_plane).max() <= 3


def test_depth_and_distances_need_a_rig():
    flat = Calibration((80, 64), (96, 72), TILTED)
    for calibration in (flat, None):
        with pytest.raises(ConfigError, match="depth image needs a calibration with a rig"):
            Warp(calibration)(texture((80, 64)), (96, 72), np.ones((72, 96), np.float32))
        with pytest.raises(ConfigError, match="only a calibration with a rig has"):
            Warp(calibration, plane_distance_m=3.0)


def test_lenses_of_all_kinds_are_followed():
    matrix = np.array([[90.0, 5.0, 40.0], [0, 92.0, 31.0], [0, 0, 1]])
    lens = np.array([-0.2, 0.05, 1e-3, -8e-4, 0, 0, 0, 0, 3e-3, -2e-3, -4e-3, 1e-3, 0.02, -0.03])
    odd = CameraModel((80, 64), matrix, "rational_polynomial", lens)
    plain = CameraModel(
        (60, 48), np.array([[80.0, 0, 30], [0, 80, 24], [0, 0, 1]]), "plumb_bob", np.zeros(0)
    )
    rig = Rig(odd, plain, Extrinsics(np.eye(3), np.array([0.05, 0.0, 0.0])))
    exact, found = (
        plane_map(rig, 2.5, "rgb"),
        DepthMapper(rig, "rgb")(np.full((48, 60), 2.5, np.float32), 9.0),
    )
    inside = exact.map_x > 0
    assert inside.mean() > 0.9
    np.testing.assert_allclose(found.map_x[inside], exact.map_x[inside], atol=0.01)
    np.testing.assert_allclose(found.map_y[inside], exact.map_y[inside], atol=0.01)
