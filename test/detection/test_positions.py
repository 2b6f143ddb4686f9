"""Positions of objects, judged by the simulator's truth and by points that were projected."""

from dataclasses import replace

import numpy as np
import pytest

from ivfusion_ros.config.pipeline import PositionsConfig
from ivfusion_ros.detection.positions import Locator
from ivfusion_ros.errors import ConfigError
from ivfusion_ros.geometry.rig import Extrinsics
from ivfusion_ros.simulate import SceneConfig, Simulator
from ivfusion_ros.types import CameraInfo, Detections

SIZE = (640, 480)
INFO = CameraInfo(*SIZE, k=(500.0, 0, 319.5, 0, 500.0, 239.5, 0, 0, 1))
LEVEL = np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]])
BASE = Extrinsics(LEVEL, np.array([0.5, 0.0, 1.5]))


def objects(*boxes: tuple[float, float, float, float]) -> Detections:
    count = len(boxes)
    values = np.array(boxes, np.float32).reshape(-1, 4)
    return Detections(values, np.ones(count, np.float32), np.zeros(count, np.int64), ("person",))


def standing(x: float, z: float, width: float = 0.6, height: float = 1.8) -> tuple:
    """The box of what stands on the ground, 1.5 m below a level camera."""
    left, right = (500 * (x + side * width / 2) / z + 320 for side in (-1, 1))
    top, bottom = (500 * y / z + 240 for y in (1.5 - height, 1.5))
    return left, top, right, bottom


def test_what_stands_on_the_ground_is_found_with_its_size() -> None:
    locator = Locator(PositionsConfig(method="ground", camera_height_m=1.5))
    found = locator(objects(standing(1.0, 8.0), standing(-2.0, 15.0)), SIZE, "cam", INFO, None).positions
    assert found is not None and found.frame_id == "cam"
    np.testing.assert_allclose(found.points_m, [[1.0, 0.6, 8.0], [-2.0, 0.6, 15.0]], rtol=1e-4)
    np.testing.assert_allclose(found.sizes_m, [[0.6, 1.8, 0], [0.6, 1.8, 0]], rtol=1e-3)
    near, far = np.sqrt(found.covariances_m2[:, 2, 2])
    assert 0.02 * 8 < near < far < 15
    assert (np.linalg.eigvalsh(found.covariances_m2) > 0).all()


def test_positions_in_the_frame_of_the_robot() -> None:
    locator = Locator(PositionsConfig(method="ground", frame="base"))
    box = objects(standing(1.0, 8.0))
    assert locator(box, SIZE, "cam", INFO, None).positions is None
    locator.set_base(BASE)
    found = locator(box, SIZE, "cam", INFO, None).positions
    assert found is not None and found.frame_id == "base_link"
    np.testing.assert_allclose(found.points_m, [[8.5, -1.0, 0.9]], rtol=1e-4)
    in_camera = Locator(PositionsConfig(method="ground"))
    in_camera.set_base(BASE)
    other = in_camera(box, SIZE, "cam", INFO, None).positions
    assert other is not None
    # The uncertain direction is along the view, x of the base.
    np.testing.assert_allclose(found.covariances_m2[0, 0, 0], other.covariances_m2[0, 2, 2])


def test_a_foot_that_the_border_cuts_is_not_known() -> None:
    locator = Locator(PositionsConfig(method="ground", camera_height_m=1.5))
    found = locator(objects((100, 50, 200, 480)), SIZE, "cam", INFO, None).positions
    assert found is not None and np.isnan(found.points_m).all()


def test_a_box_that_ends_near_the_lower_border_may_be_cut() -> None:
    """A detector's box of a person of whom no foot is seen, as it ends at a border."""
    locator = Locator(PositionsConfig(method="ground", camera_height_m=1.5))
    found = locator(objects((100, 50, 200, 477), (100, 50, 200, 440)), SIZE, "cam", INFO, None)
    assert found.positions is not None
    assert np.isnan(found.positions.points_m).all(axis=1).tolist() == [True, False]
    assert found.placed == ("cut by the lower border", "by the ground")


@pytest.mark.parametrize(("time_s", "box"), [(0.0, None), (0.1, None), (0.0, (0.0, 250, 131, 402))])
def test_a_side_border_hides_how_near_a_car_is(time_s: float, box: tuple | None) -> None:
    """The car's nearest point is 2.9 m (then 3.5 m) away, outside of the image; the detector's box too."""
    scene = Simulator(SceneConfig(illumination="day"))
    car = scene.boxes(time_s, "rgb")[0]
    assert car.class_name == "car" and car.box_xyxy[0] == 0 and car.depth_m < 3.6
    config = PositionsConfig(method="ground", camera_height_m=scene.rig.camera_height_m)
    whole = locate(scene, config, [box or car.box_xyxy])
    assert whole.placed == ("by the ground (cut at a side)",)
    assert whole.positions is not None
    depth, error = whole.positions.points_m[0, 2], np.sqrt(whole.positions.covariances_m2[0, 2, 2])
    assert depth > 1.2 * car.depth_m and abs(depth - car.depth_m) < 2 * error


def test_a_near_car_is_where_its_near_end_is() -> None:
    """By depth, within 3 %; the covariance reaches to what is seen in the middle of its box."""
    scene = Simulator(SceneConfig(illumination="day"))
    for time_s in (0.3, 0.4, 0.6, 0.9):
        car = next(item for item in scene.boxes(time_s, "rgb") if item.class_name == "car")
        found = locate(scene, PositionsConfig(method="depth"), [car.box_xyxy], time_s)
        assert car.depth_m < 8.5 and found.positions is not None and found.placed == ("by depth",)
        near, error = found.positions.points_m[0, 2], np.sqrt(found.positions.covariances_m2[0, 2, 2])
        assert near == pytest.approx(car.depth_m, rel=0.03)
        left, top, right, bottom = map(int, car.box_xyxy)
        middle = scene.depth(time_s, "rgb")[(top + bottom) // 2, (left + right) // 2]
        assert middle < near + 2 * error


def locate(
    scene: Simulator, config: PositionsConfig, boxes: list[tuple[float, ...]], time_s: float = 0.0
) -> Detections:
    info, depth = scene.cameras["rgb"].info, scene.depth(time_s, "rgb")
    return Locator(config)(objects(*boxes), SIZE, "rgb", info, depth)


def test_why_an_object_has_no_position() -> None:
    box = objects(standing(1.0, 8.0), standing(-2.0, 15.0))
    up = PositionsConfig(method="ground", camera_height_m=1.5, camera_tilt_deg=-89)
    base = PositionsConfig(method="ground", frame="base")
    depth = PositionsConfig(method="depth")
    unknown = np.zeros((240, 320), np.uint16)
    for config, info, image, why in (
        (up, INFO, None, "the lower edge is above the horizon, or more than 200 m away"),
        (base, INFO, None, "no transform to base_link"),
        (replace(base, frame="camera"), INFO, None, "no transform to base_link"),
        (depth, INFO, None, "no depth image"),
        (depth, INFO, unknown, "no distance in the depth image"),
        (up, None, None, "no intrinsics in camera_info"),
        (up, CameraInfo(*SIZE), None, "no intrinsics in camera_info"),
    ):
        assert Locator(config)(box, SIZE, "cam", info, image).placed == (why, why)


def test_a_height_that_no_camera_has_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"camera_height_m is 1e-06, expected metres, at least 0.05"):
        PositionsConfig(camera_height_m=1e-6)


def test_depth_comes_first_and_the_ground_where_it_knows_nothing() -> None:
    depth = np.zeros((240, 320), np.uint16)
    near, far = standing(1.0, 8.0), standing(-2.0, 15.0)
    depth[:, 160:] = 7500
    locator = Locator(PositionsConfig(method="auto", camera_height_m=1.5))
    found = locator(objects(near, far), SIZE, "cam", INFO, depth).positions
    assert found is not None
    np.testing.assert_allclose(found.points_m[:, 2], [7.5, 15.0], rtol=1e-4)
    assert locator(objects(near, far), SIZE, "cam", INFO, depth).placed == ("by depth", "by the ground")
    by_depth = Locator(PositionsConfig(method="depth"))(objects(near, far), SIZE, "cam", INFO, depth)
    assert by_depth.positions is not None and np.isnan(by_depth.positions.points_m[1]).all()


def test_no_intrinsics_no_positions() -> None:
    locator = Locator(PositionsConfig(method="ground", camera_height_m=1.5))
    assert locator(objects(standing(0, 5)), SIZE, "cam", None, None).positions is None
    assert locator(objects(standing(0, 5)), SIZE, "cam", CameraInfo(*SIZE), None).positions is None
    nothing = locator(objects(), SIZE, "cam", INFO, None).positions
    assert nothing is not None and nothing.points_m.shape == (0, 3)


@pytest.mark.parametrize(("method", "largest"), [("ground", 0.10), ("depth", 0.03)])
def test_range_errors_by_the_truth_of_the_simulator(method: str, largest: float) -> None:
    """Boxes with the errors of a detector: sides off by a pixel and 2 % of the box."""
    scene = Simulator(SceneConfig(seed=2, illumination="day"))
    info, random, errors = scene.cameras["rgb"].info, np.random.default_rng(0), []
    locator = Locator(PositionsConfig(method=method, camera_height_m=scene.rig.camera_height_m))
    within = []
    for time_s in np.arange(1.0, 10.0, 1.5):
        true = [item for item in scene.boxes(time_s, "rgb") if item.visible_fraction > 0.9]
        true = [item for item in true if item.depth_m < 20 and 2 < item.box_xyxy[3] < SIZE[1] - 2]
        true = [item for item in true if item.box_xyxy[0] > 2 and item.box_xyxy[2] < SIZE[0] - 2]
        if not true:
            continue
        boxes = np.array([item.box_xyxy for item in true])
        sides = np.tile(boxes[:, 2:] - boxes[:, :2], 2)
        boxes = boxes + random.normal(size=boxes.shape) * np.hypot(1.0, 0.02 * sides)
        found = locator(objects(*boxes), SIZE, "rgb", info, scene.depth(time_s, "rgb")).positions
        assert found is not None
        truth = np.array([item.depth_m for item in true])
        off = np.abs(found.points_m[:, 2] - truth)
        errors += (off / truth).tolist()
        within += (off < 2 * np.sqrt(found.covariances_m2[:, 2, 2])).tolist()
    assert len(errors) >= 15
    assert np.mean(errors) < largest and np.mean(within) > 0.9
