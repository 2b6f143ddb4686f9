"""Maps of both directions against the simulator's truth and against each other."""

import cv2
import numpy as np
import pytest

from ivfusion_ros.geometry.calibration import Remap
from ivfusion_ros.geometry.camera import CameraModel
from ivfusion_ros.geometry.correction import Corrector
from ivfusion_ros.geometry.depth import DepthMapper
from ivfusion_ros.geometry.maps import (
    fixed_point,
    homography_map,
    inverted_map,
    look_up,
    magnification,
    pinhole_map,
    pixel_grid,
    plane_map,
)
from ivfusion_ros.geometry.rig import Extrinsics, Rig
from ivfusion_ros.simulate import RgbConfig, RigConfig, SceneConfig, Simulator, ThermalCameraConfig

TILTED = np.array([[1.1, 0.08, -20.0], [-0.05, 0.95, 14.0], [2e-4, -1e-4, 1.0]])
LENSES = {
    "plumb_bob": [-0.24, 0.07, 1.5e-3, -8e-4, -0.006],
    "rational_polynomial": [0.41, -0.12, 6e-4, 1.1e-3, 0.013, 0.67, -0.04, 0.02],
    "equidistant": [-0.021, 0.013, -0.009, 0.002],
}


@pytest.fixture(scope="module")
def simulator():
    rig = RigConfig(
        rgb=RgbConfig(width=160, height=120), thermal=ThermalCameraConfig(width=160, height=128)
    )
    return Simulator(SceneConfig(people=4, cars=2), rig)


@pytest.fixture(scope="module")
def rig(simulator):
    thermal, rgb = simulator.cameras["thermal"], simulator.cameras["rgb"]
    models = (CameraModel.from_camera_info(true.info) for true in (thermal, rgb))
    return Rig(*models, Extrinsics(thermal.rotation.T.copy(), thermal.position))


def two_lenses(thermal_model, rgb_model, size=(96, 72)):
    """A rig with 12 cm between cameras that see much of the same."""
    focal = np.array([[80.0, 0, 48.7], [0, 81.0, 34.2], [0, 0, 1]])
    thermal = CameraModel(size, focal, thermal_model, np.array(LENSES[thermal_model]))
    rgb = CameraModel(size, focal * [[1.1], [1.1], [1]], rgb_model, np.array(LENSES[rgb_model]))
    rotation = cv2.Rodrigues(np.array([0.01, -0.03, 0.02]))[0]
    return Rig(thermal, rgb, Extrinsics(rotation, np.array([0.12, -0.02, 0.03])))


def by_opencv(rig, points, reference):
    """Pixels in the other camera of points (N, 3) in the reference camera's frame."""
    _, other, way = rig.cameras(reference)
    rotation, shift = cv2.Rodrigues(way.rotation)[0], way.translation_m
    project = cv2.fisheye.projectPoints if other.distortion_model == "equidistant" else cv2.projectPoints
    return project(points.reshape(-1, 1, 3), rotation, shift, other.matrix, other.distortion)[0].reshape(
        -1, 2
    )


def stacked(remap):
    return np.stack([remap.map_x, remap.map_y], axis=-1).astype(float)


@pytest.mark.parametrize("distance", [3.0, 15.0, 300.0])
def test_plane_is_the_simulators_static_map(simulator, rig, distance):
    truth = np.stack(simulator.static_map(distance), axis=-1)
    known = np.isfinite(truth).all(axis=-1)
    assert known.mean() > 0.8
    found = stacked(plane_map(rig, distance, "rgb"))
    np.testing.assert_allclose(found[known], truth[known], atol=5e-3)


def test_depth_is_the_simulators_truth(simulator, rig):
    truth = simulator.rgb_from_thermal_map(1.0)
    known = np.isfinite(truth).all(axis=-1)
    assert known.mean() > 0.8
    depth = simulator.depth(1.0, "rgb")
    mapper = DepthMapper(rig, "rgb")
    error = np.abs(stacked(mapper(depth, 10.0)) - truth)[known]
    assert error.max() < 0.02
    # A plane is worse, or this would show nothing.
    assert np.abs(stacked(plane_map(rig, 15.0, "rgb")) - truth)[known].max() > 0.5
    millimetres = np.minimum(depth * 1000, 65535).round().astype(np.uint16)
    error = np.abs(stacked(mapper(millimetres, 10.0)) - truth)[known & (depth < 65)]
    assert error.max() < 0.02


def test_thermal_reference_by_depth_is_the_way_back(simulator, rig):
    """RGB pixel -> thermal pixel by the RGB camera's depth, and back by the thermal camera's."""
    there = stacked(DepthMapper(rig, "rgb")(simulator.depth(1.0, "rgb"), 10.0))
    back = DepthMapper(rig, "thermal")(simulator.depth(1.0, "thermal"), 10.0)
    grid = pixel_grid(rig.rgb.size)
    returned = look_up(back, there.reshape(-1, 2))
    error = np.linalg.norm(returned - grid, axis=1)
    # Not where a surface is hidden from the other camera, nor on edges.
    assert np.nanmedian(error) < 0.02 and np.nanpercentile(error, 75) < 0.1
    assert np.isfinite(error).mean() > 0.8


@pytest.mark.parametrize("reference", ["rgb", "thermal"])
@pytest.mark.parametrize(
    ("thermal_model", "rgb_model"),
    [
        ("plumb_bob", "equidistant"),
        ("equidistant", "rational_polynomial"),
        ("rational_polynomial", "plumb_bob"),
    ],
)
def test_plane_and_depth_by_opencv_for_all_lenses(thermal_model, rgb_model, reference):
    rig = two_lenses(thermal_model, rgb_model)
    camera = rig.cameras(reference)[0]
    random = np.random.default_rng(0)
    distance = random.uniform(0.8, 30, (72, 96)).astype(np.float32)
    slopes = camera.slopes(pixel_grid(camera.size))
    rays = np.concatenate([slopes, np.ones((len(slopes), 1))], axis=1)
    found = stacked(DepthMapper(rig, reference)(distance, 5.0)).reshape(-1, 2)
    expected = by_opencv(rig, rays * distance.reshape(-1, 1), reference)
    inside = (np.abs(expected - [47.5, 35.5]) < [48, 36]).all(axis=1)
    assert inside.sum() > 4000
    np.testing.assert_allclose(found[inside], expected[inside], atol=0.01)
    plane = stacked(plane_map(rig, 5.0, reference)).reshape(-1, 2)
    expected = by_opencv(rig, rays * 5.0, reference)
    inside = (np.abs(expected - [47.5, 35.5]) < [48, 36]).all(axis=1)
    np.testing.assert_allclose(plane[inside], expected[inside], atol=1e-3)


@pytest.mark.parametrize("invalid", [0.0, np.nan, -1.0])
def test_unknown_depth_is_the_planes(rig, invalid):
    plane = stacked(plane_map(rig, 7.0, "rgb"))
    found = stacked(DepthMapper(rig, "rgb")(np.full((120, 160), invalid, np.float32), 7.0))
    known = np.isfinite(plane).all(axis=-1) & (np.abs(plane - 80) < 80).all(axis=-1)
    np.testing.assert_allclose(found[known], plane[known], atol=0.01)
    far = stacked(DepthMapper(rig, "rgb")(np.full((120, 160), np.inf, np.float32), 7.0))
    np.testing.assert_allclose(far[known], stacked(plane_map(rig, 1e5, "rgb"))[known], atol=0.01)


def test_depth_of_another_size_is_scaled(rig):
    left_near = np.full((60, 80), 20.0, np.float32)
    left_near[:, :40] = 2.0
    found = stacked(DepthMapper(rig, "rgb")(left_near, 10.0))
    near, far = (stacked(plane_map(rig, distance, "rgb")) for distance in (2.0, 20.0))
    np.testing.assert_allclose(found[40:80, 40:79], near[40:80, 40:79], atol=0.01)
    np.testing.assert_allclose(found[40:80, 81:120], far[40:80, 81:120], atol=0.01)


def test_depth_so_near_that_the_other_camera_is_past_it_shows_nothing(rig):
    found = DepthMapper(rig, "rgb")(np.full((120, 160), 0.005, np.float32), 10.0)
    image = np.full((128, 160), 200, np.uint8)
    assert not cv2.remap(image, *fixed_point(found), cv2.INTER_LINEAR).any()


@pytest.mark.parametrize("model", LENSES)
def test_pinhole_map_takes_the_distortion_away(model):
    camera = two_lenses(model, model).thermal
    remap, grid = pinhole_map(camera), pixel_grid(camera.size)
    raw = np.stack([remap.map_x.ravel(), remap.map_y.ravel()], axis=1).astype(float)
    middle = np.linalg.norm(grid - (48, 36), axis=1) < 30
    straight = camera.slopes(raw[middle]) @ camera.matrix[:2, :2].T + camera.matrix[:2, 2]
    np.testing.assert_allclose(straight, grid[middle], atol=0.02)


def test_inverted_homography_map_is_the_inverses():
    inverse = np.linalg.inv(TILTED)
    there = homography_map(inverse, (96, 72))
    outside = np.isnan(there.map_x)
    there.map_x[outside] = there.map_y[outside] = -1
    back = stacked(inverted_map(there, (80, 64)))
    expected = stacked(homography_map(TILTED, (80, 64)))
    inside = (expected > 1).all(axis=-1) & (expected < [94, 70]).all(axis=-1)
    assert inside.mean() > 0.6
    # A pixel beside unknown ones may be lost, but no more.
    assert np.isfinite(back[inside]).mean() > 0.95
    assert np.nanmax(np.abs(back - expected)[inside]) < 0.02
    beyond = (expected < -1).any(axis=-1) | (expected > [96, 72]).any(axis=-1)
    assert beyond.any() and np.isnan(back[beyond]).all()


def test_inverted_map_of_lenses_is_the_other_directions(simulator, rig):
    """For a plane that faces both cameras, which needs the same orientation."""
    level = Rig(rig.thermal, rig.rgb, Extrinsics(np.eye(3), np.array([0.09, -0.03, 0.0])))
    there, expected = plane_map(level, 4.0, "rgb"), stacked(plane_map(level, 4.0, "thermal"))
    back = stacked(inverted_map(there, (160, 128)))
    inside = (expected > 1).all(axis=-1) & (expected < [158, 118]).all(axis=-1)
    assert inside.mean() > 0.6
    np.testing.assert_allclose(back[inside], expected[inside], atol=0.05)


def test_inverted_map_of_nothing_is_nothing():
    nothing = np.full((8, 8), -1, np.float32)
    assert np.isnan(inverted_map(Remap(nothing, nothing), (8, 8)).map_x).all()


def test_look_up_is_the_map_between_and_half_a_pixel_outside_of_pixels():
    affine = np.array([[1.1, 0.2, -3.0], [-0.1, 0.9, 5.0], [0, 0, 1]])
    remap = homography_map(affine, (30, 20))
    points = np.array([[0.0, 0], [29, 19], [12.3, 7.8], [-0.5, -0.5], [29.5, 19.5], [29.5, 3.25]])
    expected = points @ affine[:2, :2].T + affine[:2, 2]
    np.testing.assert_allclose(look_up(remap, points), expected, atol=1e-5)
    assert np.isnan(look_up(remap, np.array([[-0.6, 3.0], [12.0, 20.0]]))).all()
    remap.map_x[7, 12] = np.nan
    assert np.isnan(look_up(remap, points)[2, 0])
    assert look_up(remap, np.zeros((0, 2))).shape == (0, 2)


def test_nan_is_black():
    remap = homography_map(np.eye(3), (8, 8))
    remap.map_x[2, 3] = np.nan
    shown = cv2.remap(np.full((8, 8), 9, np.uint8), *fixed_point(remap), cv2.INTER_LINEAR)
    assert shown[2, 3] == 0 and np.count_nonzero(shown) == 63
    assert np.isnan(remap.map_x[2, 3])


@pytest.mark.parametrize(
    "correction",
    [
        [[1, 0, 5.0], [0, 1, -3], [0, 0, 1]],
        [[1.01, 0.006, -4], [-0.004, 0.995, 2], [0, 0, 1]],
        [[1.004, 0.002, 2], [0.001, 1.003, -2], [2e-5, -1e-5, 1]],
    ],
)
def test_a_correction_moves_the_warped_image(correction):
    rig = two_lenses("plumb_bob", "equidistant").scaled((640, 480), (640, 480))
    remap = plane_map(rig, 5.0, "rgb")
    matrix = np.array(correction)
    offsets = Corrector(remap)(matrix)
    found = np.stack([remap.map_x + offsets.map_x, remap.map_y + offsets.map_y], axis=-1)
    # A pixel shows after the correction what the pixel that moved there showed before.
    grid = pixel_grid((640, 480))
    before = np.concatenate([grid, np.ones((len(grid), 1))], axis=1) @ np.linalg.inv(matrix).T
    expected = look_up(remap, before[:, :2] / before[:, 2:]).reshape(480, 640, 2)
    error = np.abs(found - expected)[10:-10, 10:-10]
    assert np.isfinite(error).mean() > 0.9
    assert np.nanmax(error) < 0.1


@pytest.mark.parametrize(("scale", "angle"), [(1.0, 0.0), (4.0, 0.3), (7.5, -1.2), (0.5, 0.1)])
def test_magnification_is_that_of_the_homography(scale: float, angle: float) -> None:
    """Rotation does not change it, nor where the other camera sees nothing."""
    cosine, sine = np.cos(angle) / scale, np.sin(angle) / scale
    homography = np.array([[cosine, -sine, 30.0], [sine, cosine, 20.0], [0, 0, 1]])
    remap = homography_map(homography, (96, 64))
    remap.map_x[:20] = np.nan
    assert magnification(remap, (640, 480)) == pytest.approx(scale, rel=1e-3)


def test_a_map_of_nothing_magnifies_by_one() -> None:
    nothing = np.full((64, 96), np.nan, np.float32)
    assert magnification(Remap(nothing, nothing.copy()), (30, 20)) == 1.0
