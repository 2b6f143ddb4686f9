"""Cameras and rigs against OpenCV's projection and the simulator's cameras."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ivfusion_ros.errors import ConfigError
from ivfusion_ros.geometry.camera import CameraModel
from ivfusion_ros.geometry.rig import Extrinsics, Rig, RigParts
from ivfusion_ros.simulate import RigConfig
from ivfusion_ros.simulate.camera import make_cameras
from ivfusion_ros.types import CameraInfo

MATRIX = np.array([[520.0, 0, 322.5], [0, 515.0, 243.0], [0, 0, 1]])
LENSES = {
    "plumb_bob": [-0.24, 0.07, 1.5e-3, -8e-4, -0.006],
    "rational_polynomial": [0.41, -0.12, 6e-4, 1.1e-3, 0.013, 0.67, -0.04, 0.02],
    "thin prism": [0.41, -0.12, 6e-4, 1.1e-3, 0.013, 0.67, -0.04, 0.02, 3e-3, -2e-3, -4e-3, 1e-3],
    "tilted": [-0.24, 0.07, 1.5e-3, -8e-4, 0, 0, 0, 0, 3e-3, -2e-3, -4e-3, 1e-3, 0.02, -0.03],
    "equidistant": [-0.021, 0.013, -0.009, 0.002],
}
CAMERA_INFO_NAMES = {"thin prism": "rational_polynomial", "tilted": "rational_polynomial"}


def camera(model="plumb_bob", size=(640, 480)):
    return CameraModel(size, MATRIX, CAMERA_INFO_NAMES.get(model, model), np.array(LENSES[model]))


def by_opencv(points, model):
    project = cv2.fisheye.projectPoints if model == "equidistant" else cv2.projectPoints
    origin = np.zeros(3)
    pixels = project(points.reshape(-1, 1, 3), origin, origin, MATRIX, np.array(LENSES[model]))[0]
    return pixels.reshape(-1, 2)


def points_in_view(count=500):
    random = np.random.default_rng(0)
    slopes = random.uniform([-0.6, -0.45], [0.6, 0.45], (count, 2))
    depth = random.uniform(0.5, 50, (count, 1))
    return np.concatenate([slopes * depth, depth], axis=1)


@pytest.mark.parametrize("model", LENSES)
def test_projection_is_opencvs(model):
    points = points_in_view()
    np.testing.assert_allclose(camera(model).project(points), by_opencv(points, model), atol=1e-6)


@pytest.mark.parametrize("model", LENSES)
def test_rays_lead_back_to_their_pixels(model):
    points = points_in_view()
    slopes = camera(model).slopes(by_opencv(points, model))
    np.testing.assert_allclose(slopes, points[:, :2] / points[:, 2:], atol=2e-6)


def test_no_distortion_is_the_pinhole():
    plain = CameraModel((640, 480), MATRIX, "plumb_bob", np.zeros(0))
    points = points_in_view()
    expected = (points @ MATRIX.T)[:, :2] / points[:, 2:]
    np.testing.assert_allclose(plain.project(points), expected, atol=1e-9)
    np.testing.assert_allclose(plain.slopes(expected), points[:, :2] / points[:, 2:], atol=1e-9)


@pytest.mark.parametrize("model", LENSES)
def test_what_is_behind_is_nowhere(model):
    points = points_in_view(20) * [1, 1, -1]
    assert np.isnan(camera(model).project(points)).all()
    assert np.isnan(camera(model).project(np.array([[0.1, 0.1, 0.0], [0.0, 0.0, 0.0]]))).all()


def test_what_the_polynomial_folds_back_is_nowhere():
    lens = CameraModel((640, 480), MATRIX, "plumb_bob", np.array([-0.3, 0.0, 0, 0, 0]))
    # r (1 - 0.3 r^2) is largest at r = 1 / sqrt(0.9); 1.8 would come out at 0.05, inside the image.
    assert lens.largest_slope == pytest.approx(1 / np.sqrt(0.9), rel=1e-3)
    points = np.array([[1.8, 0, 1.0], [1.0, 0, 1.0]])
    outside, inside = lens.project(points)
    assert np.isnan(outside).all() and inside[0] == pytest.approx(322.5 + 520 * 0.7)
    # No ray leads to a pixel past the fold.
    assert np.isnan(lens.slopes(np.array([[322.5 + 520 * 0.75, 243.0]]))).all()


def test_camera_info_gives_the_simulators_cameras():
    points = points_in_view()
    for true in make_cameras(RigConfig()).values():
        model = CameraModel.from_camera_info(true.info)
        expected = true.project(points @ true.rotation + true.position)
        inside = true.contains(expected)
        assert inside.sum() > 300
        np.testing.assert_allclose(model.project(points)[inside], expected[inside], atol=1e-6)
        assert model.size == (true.width, true.height)


def test_camera_info_without_a_model_or_calibration():
    k = tuple(MATRIX.ravel())
    for d in ((), (0.0,) * 5):
        assert CameraModel.from_camera_info(CameraInfo(640, 480, "", d, k)).distortion_model == "plumb_bob"
    with pytest.raises(ConfigError, match="no calibration"):
        CameraModel.from_camera_info(CameraInfo(640, 480))
    with pytest.raises(ConfigError, match=r"'thin_prism', expected one of plumb_bob"):
        CameraModel.from_camera_info(CameraInfo(640, 480, "thin_prism", (0.1,), k))
    with pytest.raises(ConfigError, match="expected 8 or 12 or 14 numbers for rational_polynomial"):
        CameraModel.from_camera_info(CameraInfo(640, 480, "rational_polynomial", (0.1,) * 6, k))
    with pytest.raises(ConfigError, match=r"'none', but the distortion is \[0\.1"):
        CameraModel.from_camera_info(CameraInfo(640, 480, "none", (0.1,) * 5, k))


@pytest.mark.parametrize(
    ("name", "given", "model", "count"),
    [
        ("radtan", 4, "plumb_bob", 4),
        ("Brown Conrady", 5, "plumb_bob", 5),
        ("rational_polynomial", 5, "plumb_bob", 5),
        ("plumb_bob", 8, "rational_polynomial", 8),
        ("plumb_bob", 12, "rational_polynomial", 12),
        ("rational_polynomial", 14, "rational_polynomial", 14),
        ("fisheye", 4, "equidistant", 4),
        ("Kannala-Brandt4", 4, "equidistant", 4),
    ],
)
def test_names_and_lengths_that_drivers_send(name, given, model, count):
    numbers = tuple(np.linspace(0.01, 0.02, given))
    found = CameraModel.from_camera_info(CameraInfo(640, 480, name, numbers, tuple(MATRIX.ravel())))
    assert (found.distortion_model, found.distortion.tolist()) == (model, list(numbers[:count]))


@pytest.mark.parametrize(
    ("name", "zeros", "model"),
    [("none", 0, "plumb_bob"), ("none", 5, "plumb_bob"), ("fisheye", 0, "equidistant"),
     ("equidistant", 8, "equidistant"), ("plumb_bob", 10, "rational_polynomial")],
)  # fmt: skip
def test_zeros_say_no_distortion_in_any_number(name, zeros, model):
    info = CameraInfo(640, 480, name, (0.0,) * zeros, tuple(MATRIX.ravel()))
    found = CameraModel.from_camera_info(info)
    assert found.distortion_model == model and not found.distortion.any()


def test_skew_moves_rows_along():
    skewed = MATRIX.copy()
    skewed[0, 1] = 40.0
    points = points_in_view()
    for model in LENSES:
        lens = CameraModel((640, 480), skewed, CAMERA_INFO_NAMES.get(model, model), np.array(LENSES[model]))
        straight = by_opencv(points, model)
        expected = straight + np.outer((straight[:, 1] - 243.0) / 515.0, [40.0, 0.0])
        np.testing.assert_allclose(lens.project(points), expected, atol=1e-6)
        np.testing.assert_allclose(lens.slopes(expected), points[:, :2] / points[:, 2:], atol=2e-6)


@pytest.mark.parametrize(
    "matrix",
    [
        [[0, 0, 1], [0, 500, 1], [0, 0, 1]],
        [[500, 600, 1], [0, 500, 1], [0, 0, 1]],
        [[500, 0, 1], [2, 500, 1], [0, 0, 1]],
        [[500, 0, 1], [0, float("nan"), 1], [0, 0, 1]],
        [[500, 0, 1], [0, 500, 1], [0, 0, 2]],
        [[500, 0], [0, 500]],
    ],
)
def test_what_is_no_camera_matrix(matrix):
    with pytest.raises(ConfigError, match=r"expected \[\[fx, skew, cx\]"):
        CameraModel((640, 480), np.array(matrix, float), "plumb_bob", np.zeros(5))


def test_a_scaled_camera_sees_the_scaled_image():
    points = points_in_view()
    plain, doubled = camera().project(points), camera().scaled("RGB", (1280, 960)).project(points)
    np.testing.assert_allclose((doubled + 0.5) / 2 - 0.5, plain, atol=1e-9)
    with pytest.raises(ConfigError, match=r"RGB image is 640x400.*same aspect ratio"):
        camera().scaled("RGB", (640, 400))


@given(vector=st.tuples(*[st.floats(-1.5, 1.5)] * 3), length=st.floats(0.1, 3))
def test_quaternions_are_rotations_as_opencv_has_them(vector, length):
    angle = float(np.linalg.norm(vector))
    axis = np.array(vector) / angle if angle > 1e-6 else np.zeros(3)
    quaternion = length * np.array([*(np.sin(angle / 2) * axis), np.cos(angle / 2)])
    found = Extrinsics.from_quaternion(quaternion, [0.1, 0.2, 0.3])
    np.testing.assert_allclose(found.rotation, cv2.Rodrigues(np.array(axis) * angle)[0], atol=1e-6)
    point = np.array([[1.0, -2.0, 5.0]])
    np.testing.assert_allclose(found.inverse().apply(found.apply(point)), point, atol=1e-9)


def test_what_is_no_rotation():
    with pytest.raises(ConfigError, match="not a rotation matrix"):
        Extrinsics(np.diag([1.0, 1.0, -1.0]), np.zeros(3))
    with pytest.raises(ConfigError, match="expected three rows"):
        Extrinsics(np.eye(2), np.zeros(3))
    with pytest.raises(ConfigError, match="not all zero"):
        Extrinsics.from_quaternion([0, 0, 0, 0], [0, 0, 0])


def simulated_rig():
    cameras = make_cameras(RigConfig())
    thermal, rgb = cameras["thermal"], cameras["rgb"]
    extrinsics = Extrinsics(thermal.rotation.T.copy(), thermal.position)
    models = (CameraModel.from_camera_info(true.info) for true in (thermal, rgb))
    return cameras, Rig(*models, extrinsics)


@pytest.mark.parametrize("reference", ["rgb", "thermal"])
def test_points_seen_by_both_cameras_of_the_simulator(reference):
    cameras, rig = simulated_rig()
    other = {"rgb": "thermal", "thermal": "rgb"}[reference]
    world = points_in_view()
    pixels = cameras[reference].project(world)
    found = rig.other_pixels(pixels, cameras[reference].depth(world), reference)
    expected = cameras[other].project(world)
    both = cameras[reference].contains(pixels) & cameras[other].contains(expected)
    assert both.sum() > 200
    np.testing.assert_allclose(found[both], expected[both], atol=2e-3)


def test_parts_are_completed_by_topics_and_tf():
    cameras, rig = simulated_rig()
    infos = (cameras["thermal"].info, cameras["rgb"].info)
    done = RigParts().complete(*infos, rig.rgb_from_thermal)
    np.testing.assert_array_equal(done.thermal.matrix, rig.thermal.matrix)
    np.testing.assert_array_equal(done.rgb.matrix, rig.rgb.matrix)
    # What the file says comes first.
    mine = RigParts(thermal=camera()).complete(*infos, rig.rgb_from_thermal)
    np.testing.assert_array_equal(mine.thermal.matrix, MATRIX)
    with pytest.raises(ConfigError, match=r"has no rig\.rgb, rig\.rgb_from_thermal: .*camera_info.*TF"):
        RigParts().complete(infos[0])
    with pytest.raises(ConfigError, match=r"RGB camera_info: .*no calibration"):
        RigParts().complete(infos[0], CameraInfo(640, 480), rig.rgb_from_thermal)
    with pytest.raises(ConfigError, match="plane_distance_m is 0"):
        RigParts(plane_distance_m=0)
