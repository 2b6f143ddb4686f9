"""Images warped by a depth image or for a plane at a distance."""

import numpy as np
import pytest
from calibration_samples import TILTED, rig_parts, texture

from ivfusion_ros.errors import ConfigError
from ivfusion_ros.geometry.calibration import Calibration
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
