"""The simulator's cameras against OpenCV's camera model."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simulator_samples import SMALL, STILL, opencv_model

from ivfusion_ros.simulate import RigConfig, Simulator
from ivfusion_ros.simulate.camera import make_cameras
from ivfusion_ros.types import CAMERAS


@settings(max_examples=30, deadline=None)
@given(
    st.sampled_from(CAMERAS),
    st.lists(st.tuples(st.floats(-0.4, 0.4), st.floats(-0.3, 0.3), st.floats(2, 150)), min_size=1),
)
def test_projection_is_opencvs(name, directions):
    camera = make_cameras(RigConfig())[name]
    points = np.array([(x * z, y * z, z) for x, y, z in directions])
    expected = cv2.projectPoints(points, *opencv_model(camera))[0][:, 0]
    np.testing.assert_allclose(camera.project(points), expected, atol=1e-6)


@pytest.mark.parametrize("name", CAMERAS)
def test_rays_lead_back_to_their_pixels(demo_street, name):
    camera = demo_street.cameras[name]
    rays = camera.rays()[::37, ::41].astype(float)
    points = np.concatenate([rays, np.ones((*rays.shape[:2], 1))], axis=2) * 20.0 + camera.position
    pixels = cv2.projectPoints(points.reshape(-1, 3), *opencv_model(camera))[0][:, 0]
    columns, rows = np.meshgrid(np.arange(0, camera.width, 41), np.arange(0, camera.height, 37))
    np.testing.assert_allclose(pixels, np.stack([columns, rows], axis=-1).reshape(-1, 2), atol=2e-3)


@pytest.mark.parametrize("name", CAMERAS)
def test_points_out_of_view_stay_outside_the_image(demo_street, name):
    camera = demo_street.cameras[name]
    points = np.array([(x, y, z) for x in (-9, 9) for y in (-9, 9) for z in (-3.0, 0.0, 0.5, 4.0)], float)
    pixels = camera.project(points)
    assert not camera.contains(pixels).any()
    assert (np.sign(pixels - camera.matrix[:2, 2]) == np.sign(points[:, :2])).all()


def test_camera_info_is_what_a_driver_would_publish(small_street):
    for name, frame in small_street.frames():
        info, camera = frame.camera_info, small_street.cameras[name]
        config = SMALL.thermal if name == "thermal" else SMALL.rgb
        assert (info.width, info.height) == frame.size == (config.width, config.height)
        assert info.distortion_model == "plumb_bob" and info.d == (*config.distortion, 0, 0, 0)
        fx, _, cx, _, fy, cy = info.k[:6]
        assert fx == fy == pytest.approx(80 / np.tan(np.radians(config.hfov_deg / 2)))
        assert (cx, cy) == (79.5 + config.principal_offset_px[0], camera.matrix[1, 2])
        np.testing.assert_allclose(
            np.reshape(info.p, (3, 4)), np.c_[np.reshape(info.k, (3, 3)), np.zeros(3)]
        )
        if frame.stamp_ns > 1_700_000_000_100_000_000:
            break


@pytest.mark.parametrize("distance_m", [4.0, 15.0, 120.0])
def test_homography_and_map_of_a_plane_agree_with_opencv(demo_street, distance_m):
    thermal, rgb = demo_street.cameras["thermal"], demo_street.cameras["rgb"]
    map_x, map_y = demo_street.static_map(distance_m)
    assert map_x.dtype == map_y.dtype == np.float32 and map_x.shape == map_y.shape == (480, 640)
    ys, xs = np.mgrid[10:480:61, 10:640:67]
    pixels = np.stack([xs, ys], axis=-1).reshape(-1, 1, 2).astype(float)
    _, _, matrix, distortion = opencv_model(rgb)
    criteria = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 50, 1e-12)
    ideal = cv2.undistortPoints(pixels, matrix, distortion, R=np.eye(3), P=matrix, criteria=criteria)
    on_thermal = cv2.perspectiveTransform(ideal, np.linalg.inv(demo_street.homography_at_depth(distance_m)))
    _, _, matrix, distortion = opencv_model(thermal)
    slopes = cv2.perspectiveTransform(on_thermal, np.linalg.inv(matrix))[:, 0]
    points = np.c_[slopes, np.ones(len(slopes))]
    expected = cv2.projectPoints(points, np.zeros(3), np.zeros(3), matrix, distortion)[0][:, 0]
    found = np.stack([map_x[ys, xs], map_y[ys, xs]], axis=-1).reshape(-1, 2)
    np.testing.assert_allclose(found, expected, atol=5e-3)


def test_map_is_nan_outside_a_narrow_thermal_view():
    rig = replace(SMALL, thermal=replace(SMALL.thermal, hfov_deg=30.0))
    place = Simulator(STILL, rig).rgb_from_thermal_map(0.0)
    inside = np.isfinite(place).all(axis=2)
    assert inside[60, 80] and not inside[:, :20].any() and not inside[:, 140:].any()
    assert 0.2 < inside.mean() < 0.5
    assert place[inside].min() >= -0.5 and (place[inside] <= [159.5, 127.5]).all()
