"""Where points of the reference image lie in the other camera's image."""

import numpy as np
import pytest
from calibration_samples import rig_parts

from ivfusion_ros.geometry.calibration import Calibration
from ivfusion_ros.geometry.warp import Warp


@pytest.mark.parametrize("reference", ["rgb", "thermal"])
@pytest.mark.parametrize("kind", ["homography", "rig", "none"])
def test_points_go_where_their_pixels_come_from(kind, reference):
    planar = np.array([[1.1, 0.05, 3.0], [-0.04, 1.15, 2], [1e-4, 0, 1]])
    calibration = {
        "homography": Calibration((80, 64), (96, 72), planar),
        "rig": Calibration((80, 64), (96, 72), rig=rig_parts()),
        "none": None,
    }[kind]
    other, size = ((80, 64), (96, 72)) if reference == "rgb" else ((96, 72), (80, 64))
    warp = Warp(calibration, reference)
    across = np.tile(np.arange(other[0], dtype=np.uint8) * 2, (other[1], 1))
    down = np.tile(np.arange(other[1], dtype=np.uint8)[:, None] * 2, (1, other[0]))
    shown = np.stack([warp(across, size), warp(down, size)], axis=-1) / 2
    points = np.array([[40, 30], [25, 22], [60, 44]])
    before = warp.point_map(other, size)
    found = before(points.astype(float))
    np.testing.assert_allclose(found, shown[points[:, 1], points[:, 0]], atol=0.6)
    assert np.ptp(found, axis=0).min() > 10
    # With the online correction as well.
    warp.set_correction(np.array([[1, 0, 6.0], [0, 1, -4], [0, 0, 1]]))
    moved = warp.point_map(other, size)(points + np.array([6.0, -4.0]))
    np.testing.assert_allclose(moved, found, atol=1e-6)
    # What was asked for before stays as it was.
    np.testing.assert_array_equal(before(points.astype(float)), found)


def test_points_at_their_own_distance():
    rig = rig_parts()
    warp = Warp(Calibration((80, 64), (96, 72), rig=rig))
    points = np.array([[0.4, -0.3, 2.0], [0.1, 0.2, 9.0], [0.4, -0.3, 6.0]])
    pixels = rig.rgb.project(points)
    expected = rig.thermal.project(rig.rgb_from_thermal.inverse().apply(points))
    found = warp.point_map((80, 64), (96, 72))(pixels, np.array([2.0, 9.0, np.nan]))
    # NaN is the plane's distance, which is 6 m.
    np.testing.assert_allclose(found, expected, atol=1e-3)
