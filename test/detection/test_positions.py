"""Positions of objects, judged by the simulator's truth and by points that were projected."""

import numpy as np
import pytest

from ivfusion_ros.config.pipeline import PositionsConfig
from ivfusion_ros.detection.positions import Locator
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


def test_depth_comes_first_and_the_ground_where_it_knows_nothing() -> None:
    depth = np.zeros((240, 320), np.uint16)
    near, far = standing(1.0, 8.0), standing(-2.0, 15.0)
    depth[:, 160:] = 7500
    locator = Locator(PositionsConfig(method="auto", camera_height_m=1.5))
    found = locator(objects(near, far), SIZE, "cam", INFO, depth).positions
    assert found is not None
    np.testing.assert_allclose(found.points_m[:, 2], [7.5, 15.0], rtol=1e-4)
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
