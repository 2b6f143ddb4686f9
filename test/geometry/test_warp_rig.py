"""Images warped by a rig: its lenses, camera_info and tf, and the online correction."""

import dataclasses

import numpy as np
import pytest
from calibration_samples import rig_parts, texture

from ivfusion_ros.errors import ConfigError
from ivfusion_ros.geometry.calibration import Calibration
from ivfusion_ros.geometry.rig import RigParts
from ivfusion_ros.geometry.warp import Warp
from ivfusion_ros.types import CameraInfo


@pytest.mark.parametrize("scale", [1, 2])
def test_rig_at_any_size_shows_what_its_points_say(scale):
    """A dot seen by the thermal camera appears where a point of the plane projects to in RGB."""
    rig = rig_parts()
    point = np.array([[0.4, -0.3, 6.0]])
    in_thermal = rig.thermal.project(rig.rgb_from_thermal.inverse().apply(point))[0]
    thermal_size, rgb_size = (80 * scale, 64 * scale), (96 * scale, 72 * scale)
    x, y = np.meshgrid(np.arange(thermal_size[0]), np.arange(thermal_size[1]))
    at = (in_thermal + 0.5) * scale - 0.5
    dot = (250 * np.exp(-((x - at[0]) ** 2 + (y - at[1]) ** 2) / (8 * scale**2))).astype(np.uint8)
    shown = Warp(Calibration((80, 64), (96, 72), rig=rig))(dot, rgb_size).astype(float)
    centre = [float((shown * axis).sum() / shown.sum()) for axis in np.meshgrid(*map(np.arange, rgb_size))]
    expected = (rig.rgb.project(point)[0] + 0.5) * scale - 0.5
    np.testing.assert_allclose(centre, expected, atol=0.15 * scale)


def test_intrinsics_come_from_camera_info_and_extrinsics_from_tf():
    rig, image = rig_parts(), texture((80, 64))

    def info(model):
        return CameraInfo(
            *model.size, model.distortion_model, tuple(model.distortion), tuple(model.matrix.ravel())
        )

    warp = Warp(Calibration((80, 64), (96, 72), rig=RigParts(plane_distance_m=6.0)))
    warp.set_camera_infos(info(rig.thermal), None)
    with pytest.raises(ConfigError, match=r"has no rig\.rgb, rig\.rgb_from_thermal"):
        warp(image, (96, 72))
    warp.set_camera_infos(None, info(rig.rgb))
    warp.set_extrinsics(rig.rgb_from_thermal)
    complete = Warp(Calibration((80, 64), (96, 72), rig=rig))
    np.testing.assert_array_equal(warp(image, (96, 72)), complete(image, (96, 72)))
    # Another camera_info counts from the next image on.
    moved = dataclasses.replace(info(rig.rgb), k=(90, 0, 40, 0, 90, 36, 0, 0, 1))
    warp.set_camera_infos(info(rig.thermal), moved)
    assert np.abs(warp(image, (96, 72)).astype(int) - complete(image, (96, 72))).max() > 20


@pytest.mark.parametrize("depth", [None, np.full((72, 96), 3.0, np.float32)])
def test_a_correction_moves_the_image_and_goes_again(depth):
    warp = Warp(Calibration((80, 64), (96, 72), rig=rig_parts()))
    image = texture((80, 64))
    before = warp(image, (96, 72), depth)
    warp.set_correction(np.array([[1.0, 0, 6], [0, 1, -4], [0, 0, 1]]))
    after = warp(image, (96, 72), depth)
    difference = np.abs(after[10:60, 20:80].astype(int) - before[14:64, 14:74])
    assert difference.max() <= 8 and np.abs(after.astype(int) - before).max() > 30
    warp.set_correction(None)
    np.testing.assert_array_equal(warp(image, (96, 72), depth), before)
