"""Boxes in the cameras' own images against the simulator's true boxes; temperatures against its heat."""

from dataclasses import replace

import numpy as np
import pytest

from ivfusion_ros.config.pipeline import ThermalConfig
from ivfusion_ros.detection.native import Views, with_native_boxes, with_temperatures
from ivfusion_ros.detection.native_boxes import box_depths, map_boxes, pixels_in
from ivfusion_ros.detection.rows import as_rows
from ivfusion_ros.detection.temperature import box_temperatures
from ivfusion_ros.geometry.calibration import Calibration
from ivfusion_ros.geometry.camera import CameraModel
from ivfusion_ros.geometry.rig import Extrinsics, RigParts
from ivfusion_ros.geometry.warp import Warp
from ivfusion_ros.images.thermal import ThermalScaler
from ivfusion_ros.simulate import RgbConfig, RigConfig, SceneConfig, Simulator, ThermalCameraConfig
from ivfusion_ros.types import Detections, Frame

AFFINE = np.array([[0.5, 0, 3.0], [0, 0.5, -2], [0, 0, 1]])


def float32(rows):
    return np.array(rows, np.float32).reshape(-1, 4)


def detections(boxes):
    return Detections(
        float32(boxes), np.ones(len(boxes), np.float32), np.zeros(len(boxes), int), ("person",)
    )


def by_affine(points):
    return points @ AFFINE[:2, :2].T + AFFINE[:2, 2]


def test_boxes_follow_the_edges_of_pixels():
    # Pixel centres go from x to x / 2 + 3, so edges, half a pixel off, go from x to x / 2 + 3.25.
    found = map_boxes(float32([[10, 20, 30, 60]]), by_affine, (100, 80))
    np.testing.assert_allclose(found, [[8.25, 8.25, 18.25, 28.25]], atol=1e-5)
    assert found.dtype == np.float32


def test_boxes_are_cut_at_the_border_and_nan_outside():
    found = map_boxes(float32([[-40, 2, 30, 60], [300, 0, 400, 50], [0, 0, 9, 3]]), by_affine, (15, 20))
    np.testing.assert_allclose(found[0], [0, 0, 15, 20])
    assert np.isnan(found[1]).all() and np.isnan(found[2]).all()
    assert map_boxes(float32([]), by_affine, (15, 20)).shape == (0, 4)


def test_what_is_not_seen_does_not_count():
    def right_half(points):
        return np.where(points[:, :1] >= 19.5, points, np.nan)

    found = map_boxes(float32([[10, 20, 30, 60], [0, 0, 5, 5]]), right_half, (100, 80))
    np.testing.assert_allclose(found[0], [20, 20, 30, 60])
    assert np.isnan(found[1]).all()


def test_depth_of_a_box_is_that_of_its_middle():
    depth = np.full((40, 60), 20.0, np.float32)
    depth[10:30, 20:40] = 4.0
    depth[18:22, 28:32] = np.nan
    boxes = float32([[16, 6, 44, 34], [0, 0, 10, 10], [29, 19, 31, 21]])
    np.testing.assert_allclose(box_depths(depth, boxes, (60, 40)), [4, 20, np.nan])
    millimetres = np.nan_to_num(depth * 1000).astype(np.uint16)
    np.testing.assert_allclose(box_depths(millimetres, boxes * 2, (120, 80)), [4, 20, np.nan])


@pytest.mark.parametrize(
    ("box", "rows", "columns"),
    [
        ((2, 3, 5, 7), (3, 7), (2, 5)),
        ((2.5, 3.4, 5.5, 7.6), (3, 8), (2, 5)),
        ((2.6, 3.6, 2.9, 3.9), (3, 4), (2, 3)),
        ((-4, -4, 100, 100), (0, 8), (0, 10)),
    ],
)
def test_pixels_of_a_box_are_those_whose_centres_it_contains(box, rows, columns):
    found = pixels_in(np.array(box, float), (8, 10))
    assert ((found[0].start, found[0].stop), (found[1].start, found[1].stop)) == (rows, columns)


def test_temperatures_are_of_the_pixels_in_the_box():
    random = np.random.default_rng(0)
    counts = random.integers(28000, 31000, (40, 60), np.uint16)
    kelvin = ThermalScaler(
        ThermalConfig(scaling="radiometric", kelvin_per_count=0.01, kelvin_offset=1)
    ).kelvin
    boxes = float32([[10, 5, 20, 30], [np.nan] * 4, [58, 38, 60, 40]])
    hottest, mean = box_temperatures(counts, boxes, kelvin)
    np.testing.assert_allclose(hottest[0], counts[5:30, 10:20].max() * 0.01 + 1, rtol=1e-6)
    np.testing.assert_allclose(mean[0], counts[5:30, 10:20].mean() * 0.01 + 1, rtol=1e-6)
    np.testing.assert_allclose(mean[2], counts[38:, 58:].mean() * 0.01 + 1, rtol=1e-6)
    assert np.isnan([hottest[1], mean[1]]).all() and hottest.dtype == mean.dtype == np.float32


@pytest.fixture(scope="module")
def street():
    """(simulator, calibration with its true rig)."""
    rig = RigConfig(
        rgb=RgbConfig(width=320, height=240),
        thermal=ThermalCameraConfig(width=320, height=256, position_m=(0.2, -0.03, 0.01)),
    )
    simulator = Simulator(SceneConfig(illumination="night"), rig)
    thermal, rgb = simulator.cameras["thermal"], simulator.cameras["rgb"]
    models = (CameraModel.from_camera_info(camera.info) for camera in (thermal, rgb))
    parts = RigParts(*models, Extrinsics(thermal.rotation.T.copy(), thermal.position), 15.0)
    return simulator, Calibration((320, 256), (320, 240), rig=parts)


@pytest.mark.parametrize("reference", ["rgb", "thermal"])
def test_boxes_of_the_street_in_the_other_camera(street, reference):
    simulator, calibration = street
    other = {"rgb": "thermal", "thermal": "rgb"}[reference]
    true = {
        name: {item.identity: item for item in simulator.boxes(1.0, name)} for name in ("rgb", "thermal")
    }
    seen = [
        key
        for key, item in true[reference].items()
        if key in true[other] and item.visible_fraction > 0.9 and item.class_name == "person"
    ]
    assert len(seen) >= 3
    frames = {name: simulator.frame(1.0, name) for name in ("rgb", "thermal")}
    warp = Warp(calibration, reference)
    plain = detections([true[reference][key].box_xyxy for key in seen])
    depth = simulator.depth(1.0, reference)
    expected = float32([true[other][key].box_xyxy for key in seen])

    def error(found):
        native = {"rgb": found.rgb_boxes_xyxy, "thermal": found.thermal_boxes_xyxy}
        np.testing.assert_array_equal(native[reference], plain.boxes_xyxy)
        return np.abs(native[other] - expected).max()

    size = frames[reference].size
    views = Views(frames, size, {other: warp.point_map(frames[other].size, size)}, depth)
    by_depth = error(with_native_boxes(plain, views))
    by_plane = error(with_native_boxes(plain, replace(views, depth=None)))
    assert by_depth < 0.3
    assert by_plane > 5


def test_people_at_night_are_warmer_than_the_street(street):
    simulator, _ = street
    frame = simulator.frame(1.0, "thermal")
    people = [item for item in simulator.boxes(1.0, "thermal") if item.class_name == "person"]
    found = detections([item.box_xyxy for item in people])
    scaler = ThermalScaler(ThermalConfig(scaling="radiometric", range_min=260, range_max=320))
    found = with_native_boxes(found, Views({"thermal": frame}, frame.size))
    found = with_temperatures(found, {"thermal": frame}, scaler.kelvin)
    assert found.rgb_boxes_xyxy is None
    near = next(index for index, item in enumerate(people) if item.visible_fraction > 0.9)
    assert 300 < found.max_kelvin[near] < 312
    assert np.median(frame.image) * 0.01 < found.mean_kelvin[near] < found.max_kelvin[near]


def test_no_temperatures_without_radiometric_counts():
    plain = detections([[1, 1, 5, 5]])
    grey, colour = Frame(np.zeros((8, 8), np.uint16), 0), Frame(np.zeros((8, 8, 3), np.uint8), 0)
    kelvin = ThermalScaler(ThermalConfig(scaling="radiometric")).kelvin
    for frame, told in ((grey, None), (colour, kelvin)):
        found = with_native_boxes(plain, Views({"thermal": frame}, (8, 8)))
        assert with_temperatures(found, {"thermal": frame}, told).max_kelvin is None
    rgb_only = with_native_boxes(plain, Views({"rgb": colour}, (8, 8)))
    assert rgb_only.thermal_boxes_xyxy is None
    assert with_temperatures(rgb_only, {"rgb": colour}, kelvin).max_kelvin is None


def test_json_rows_have_what_is_known():
    plain = detections([[1, 2, 5, 6], [2, 2, 3, 3]])
    assert set(as_rows(plain)[0]) == {"class", "score", "box_xyxy"}
    known = Detections(
        plain.boxes_xyxy,
        plain.scores,
        plain.class_ids,
        plain.class_names,
        thermal_boxes_xyxy=float32([[1.1, 2, 3, 4], [np.nan] * 4]),
        max_kelvin=np.array([301.256, np.nan], np.float32),
    )
    rows = as_rows(known)
    assert rows[0]["thermal_box_xyxy"] == [1.1, 2, 3, 4] and rows[0]["max_kelvin"] == 301.26
    assert rows[1]["thermal_box_xyxy"] is None and rows[1]["max_kelvin"] is None
    assert "rgb_box_xyxy" not in rows[0]
