"""Solving for a rig from corners whose pixels follow from known cameras."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from board_images import Pose, make_poses, rig

from ivfusion_ros.calibrate.boards import parse_board
from ivfusion_ros.calibrate.by_distance import errors_by_distance, rigs_without_parts, translation_error_m
from ivfusion_ros.calibrate.corners import Corners
from ivfusion_ros.calibrate.solve import RigFit, solve_rig
from ivfusion_ros.calibrate.views import BoardView
from ivfusion_ros.errors import DataError
from ivfusion_ros.simulate.camera import Camera, make_cameras

BOARD = parse_board("checkerboard:8x6:0.08")
PINHOLE = {"thermal": "plumb_bob", "rgb": "plumb_bob"}
NOISE_PX = 0.12


class FisheyeCamera:
    """r = f (theta + k theta^3), written down without OpenCV; otherwise as simulate's Camera."""

    def __init__(self, camera: Camera, focal: float, k: float) -> None:
        self.width, self.height = camera.width, camera.height
        self.rotation, self.position, self.matrix = camera.rotation, camera.position, camera.matrix.copy()
        self.matrix[0, 0] = self.matrix[1, 1] = focal
        self.k = k

    def project(self, points: np.ndarray) -> np.ndarray:
        local = (points - self.position) @ self.rotation.T
        radius = np.hypot(local[:, 0], local[:, 1])
        theta = np.arctan2(radius, local[:, 2])
        scale = self.matrix[0, 0] * (theta + self.k * theta**3) / np.maximum(radius, 1e-12)
        return local[:, :2] * scale[:, None] + self.matrix[:2, 2]


def look(camera, pose: Pose, random: np.random.Generator, noise_px: float = NOISE_PX) -> Corners | None:
    """The whole board with noise, if all of it is in the image."""
    pixels = camera.project(pose.world(BOARD.points.astype(float)))
    inside = (pixels > 4).all() and (pixels < np.array([camera.width, camera.height]) - 5).all()
    noisy = pixels + random.normal(0, noise_px / np.sqrt(2), pixels.shape)
    return Corners(np.arange(len(pixels)), noisy.astype(np.float32)) if inside else None


def make_views(cameras, count: int = 30, seed: int = 0) -> list[BoardView]:
    random = np.random.default_rng(seed)
    poses = list(make_poses(BOARD, count, random, (0.9, 3.0)))
    return [
        BoardView(str(index), look(cameras["thermal"], pose, random), look(cameras["rgb"], pose, random))
        for index, pose in enumerate(poses)
    ]


def sizes(cameras):
    return {name: (camera.width, camera.height) for name, camera in cameras.items()}


def turn_deg(rotation: np.ndarray) -> float:
    return float(np.degrees(np.linalg.norm(cv2.Rodrigues(rotation)[0])))


def check_extrinsics(fit: RigFit, cameras, position_m: float = 0.003, degrees: float = 0.25) -> None:
    # simulate's rotation is thermal_from_rgb, its position the thermal camera's in the RGB frame.
    found, thermal = fit.rig.rgb_from_thermal, cameras["thermal"]
    np.testing.assert_allclose(found.translation_m, thermal.position, atol=position_m)
    assert turn_deg(found.rotation @ thermal.rotation) < degrees


@pytest.mark.parametrize("baseline_m", [0.05, 0.2])
def test_a_known_rig_is_recovered(baseline_m):
    cameras = make_cameras(rig(baseline_m))
    fit = solve_rig(BOARD, make_views(cameras), sizes(cameras), PINHOLE)
    assert fit.shared.rms_px() == pytest.approx(NOISE_PX, rel=0.15)
    for name, camera in cameras.items():
        found = getattr(fit.rig, name)
        assert found.matrix[0, 0] == pytest.approx(camera.matrix[0, 0], rel=0.006)
        np.testing.assert_allclose(found.matrix[:2, 2], camera.matrix[:2, 2], atol=4)
        assert fit.lenses[name].rms_px == pytest.approx(NOISE_PX, rel=0.15)
    check_extrinsics(fit, cameras)
    # What counts: pixels of one camera come out right in the other.
    columns, rows = np.arange(100, 560, 60), np.arange(80, 420, 60)
    grid = np.stack(np.meshgrid(columns, rows), -1).reshape(-1, 2)
    slopes = cameras["rgb"].rays()[rows][:, columns].reshape(-1, 2)
    true = cameras["thermal"].project(np.concatenate([slopes * 2.0, np.full((len(grid), 1), 2.0)], axis=1))
    found = fit.rig.other_pixels(grid.astype(float), 2.0, "rgb")
    assert np.sqrt(np.mean(np.sum((found - true) ** 2, axis=1))) < 0.6
    assert fit.found["rgb"] >= len(fit.shared.views) >= 10
    middles = [
        pose.apply(BOARD.points.mean(axis=0)[None].astype(float))[0] for pose in fit.shared.rgb_from_board
    ]
    assert 0.8 < min(middle[2] for middle in middles) < max(middle[2] for middle in middles) < 3.1


def test_the_rational_model_fits_as_well():
    cameras = make_cameras(rig())
    models = {"thermal": "rational_polynomial", "rgb": "plumb_bob"}
    fit = solve_rig(BOARD, make_views(cameras), sizes(cameras), models)
    assert fit.rig.thermal.distortion.shape == (8,)
    assert fit.shared.rms_px() == pytest.approx(NOISE_PX, rel=0.15)
    check_extrinsics(fit, cameras, 0.006, 0.4)


def test_a_fisheye_beside_a_pinhole_camera():
    cameras = make_cameras(rig())
    cameras["rgb"] = FisheyeCamera(cameras["rgb"], 330.0, -0.03)
    models = {"thermal": "plumb_bob", "rgb": "equidistant"}
    fit = solve_rig(BOARD, make_views(cameras), sizes(cameras), models)
    assert fit.rig.rgb.matrix[0, 0] == pytest.approx(330, rel=0.01)
    assert fit.shared.rms_px() == pytest.approx(NOISE_PX, rel=0.2)
    check_extrinsics(fit, cameras, 0.006, 0.4)


def test_false_detections_and_a_moving_board_are_left_out():
    cameras = make_cameras(rig())
    views = make_views(cameras)
    shared = [index for index, view in enumerate(views) if view.thermal and view.rgb]
    wrong, moved, slipped = shared[1], shared[4], shared[7]
    stray = views[wrong].rgb.pixels + np.random.default_rng(1).normal(0, 6, (48, 2)).astype(np.float32)
    views[wrong] = replace(views[wrong], rgb=Corners(np.arange(48), stray))
    views[moved] = replace(views[moved], thermal=Corners(np.arange(48), views[moved].thermal.pixels + 5))
    views[slipped] = replace(views[slipped], slip_px=2.0)
    fit = solve_rig(BOARD, views, sizes(cameras), PINHOLE)
    assert {view.name for view in fit.shared.views}.isdisjoint({str(wrong), str(moved), str(slipped)})
    assert fit.shared.rms_px() < 0.2
    check_extrinsics(fit, cameras)


def test_a_board_that_one_camera_reads_backwards():
    """A symmetric board's corners may be listed from the other end, more so where it is inverted."""
    cameras = make_cameras(rig())
    views = [
        replace(view, thermal=Corners(view.thermal.ids, view.thermal.pixels[::-1].copy()))
        if view.thermal and index % 2
        else view
        for index, view in enumerate(make_views(cameras))
    ]
    fit = solve_rig(BOARD, views, sizes(cameras), PINHOLE)
    check_extrinsics(fit, cameras)


def test_too_few_looks_say_what_to_do():
    cameras = make_cameras(rig())
    views = [
        replace(view, thermal=None) if index > 4 else view for index, view in enumerate(make_views(cameras))
    ]
    with pytest.raises(DataError, match=r"found in [0-5] of 30 thermal images.*contrast by heat"):
        solve_rig(BOARD, views, sizes(cameras), PINHOLE)


def test_looks_that_are_never_shared_say_so():
    cameras = make_cameras(rig())
    views = make_views(cameras, 60)
    apart = [
        replace(view, thermal=None) if index % 2 else replace(view, rgb=None)
        for index, view in enumerate(views)
    ]
    with pytest.raises(DataError, match="both cameras see the board in 0 pairs"):
        solve_rig(BOARD, apart, sizes(cameras), PINHOLE)


def test_a_board_that_is_never_tilted_is_refused():
    cameras = make_cameras(rig())
    random = np.random.default_rng(3)
    views = []
    for index in range(20):
        pose = Pose(
            np.array([0.02, 0.01, 0.02]), np.array([*random.uniform(-0.5, -0.1, 2), 1.5 + 0.05 * index])
        )
        views.append(
            BoardView(
                str(index), look(cameras["thermal"], pose, random), look(cameras["rgb"], pose, random)
            )
        )
    with pytest.raises(DataError, match="tilt the board"):
        solve_rig(BOARD, views, sizes(cameras), PINHOLE)


def test_corners_that_no_rig_explains_are_refused():
    cameras = make_cameras(rig())
    random = np.random.default_rng(4)
    views = [
        BoardView(
            str(index), look(cameras["thermal"], pose, random, 5.0), look(cameras["rgb"], pose, random, 5.0)
        )
        for index, pose in enumerate(make_poses(BOARD, 30, random, (0.9, 3.0)))
    ]
    with pytest.raises(DataError, match=r"reprojection error|agree"):
        solve_rig(BOARD, views, sizes(cameras), PINHOLE)


def test_little_coverage_is_a_warning():
    cameras = make_cameras(rig())
    random = np.random.default_rng(5)
    middle = BOARD.points.mean(axis=0).astype(float)
    views = []
    for index in range(12):
        turn = Pose(random.uniform(-0.5, 0.5, 3), np.zeros(3))
        pose = Pose(turn.rotation, np.array([0, 0, 2.0]) - turn.world(middle[None])[0])
        views.append(
            BoardView(
                str(index), look(cameras["thermal"], pose, random), look(cameras["rgb"], pose, random)
            )
        )
    fit = solve_rig(BOARD, views, sizes(cameras), PINHOLE)
    assert any("rgb image only" in warning for warning in fit.warnings)


def test_errors_by_distance_are_as_large_as_they_are():
    cameras = make_cameras(rig(0.2))
    views = make_views(cameras)
    fit = solve_rig(BOARD, views, sizes(cameras), PINHOLE)
    others = rigs_without_parts(fit, views, sizes(cameras), PINHOLE)
    found = errors_by_distance(fit.rig, others, sizes(cameras), 5.0)
    errors = {error.distance_m: error for error in found}
    for distance_m in (1.0, 2.0, 20.0):
        columns, rows = np.arange(60, 600, 60), np.arange(50, 450, 50)
        pixels = np.stack(np.meshgrid(columns, rows), -1).reshape(-1, 2).astype(float)
        slopes = cameras["rgb"].rays()[rows][:, columns].reshape(-1, 2)
        points = np.concatenate([slopes, np.ones((len(slopes), 1))], axis=1) * distance_m
        true = cameras["thermal"].project(points)
        inside = ((true > 0) & (true < np.array(sizes(cameras)["thermal"]) - 1)).all(axis=1)
        off = (fit.rig.other_pixels(pixels, distance_m, "rgb") - true)[inside]
        true_px = float(np.sqrt(np.square(off).sum(axis=1).mean()))
        assert 0.3 * true_px < errors[distance_m].error_px < 5 * true_px
    # Parallax is focal length times baseline times the difference of the inverse distances.
    focal = cameras["thermal"].matrix[0, 0]
    for distance_m in (1.0, 50.0):
        parallax_px = focal * np.hypot(0.2, 0.02) * abs(1 / distance_m - 1 / 5.0)
        assert errors[distance_m].aside_px == pytest.approx(parallax_px, rel=0.15)


def test_the_error_of_the_translation_is_as_large_as_it_is():
    cameras = make_cameras(rig(0.2))
    off_m, error_m = [], []
    for seed in range(4):
        views = make_views(cameras, 24, seed)
        fit = solve_rig(BOARD, views, sizes(cameras), PINHOLE)
        off_m.append(fit.rig.rgb_from_thermal.translation_m - cameras["thermal"].position)
        error_m.append(translation_error_m(rigs_without_parts(fit, views, sizes(cameras), PINHOLE)))
    assert 0.4 < np.linalg.norm(error_m) / np.linalg.norm(off_m) < 2.5


def test_few_views_do_not_tell_the_error_by_distance():
    cameras = make_cameras(rig())
    views = [view for view in make_views(cameras) if view.thermal and view.rgb][:7]
    fit = solve_rig(BOARD, views, sizes(cameras), PINHOLE)
    others = rigs_without_parts(fit, views[:3], sizes(cameras), PINHOLE)
    errors = errors_by_distance(fit.rig, others, sizes(cameras), 5.0)
    assert np.isnan(translation_error_m(others)).all()
    assert all(np.isnan(error.error_px) and error.aside_px >= 0 for error in errors)
