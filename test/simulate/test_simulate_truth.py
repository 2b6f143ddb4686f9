"""The simulator's truth - depth, maps, boxes - against plain formulas and its own pictures."""

from dataclasses import replace
from itertools import pairwise

import cv2
import numpy as np
import pytest
from simulator_samples import SMALL, STILL, TIMES, iou, lone_people, opencv_model

from ivfusion_ros.simulate import RigConfig, Simulator
from ivfusion_ros.types import CAMERAS


@pytest.mark.parametrize("height_m", [1.0, 1.6])
def test_depth_of_the_road_is_that_of_a_plane(height_m):
    rgb = replace(SMALL.rgb, distortion=(0.0, 0.0))
    sim = Simulator(STILL, RigConfig(rgb, SMALL.thermal, height_m))
    depth = sim.depth(0.0, "rgb")
    focal, centre = sim.cameras["rgb"].matrix[1, 1], sim.cameras["rgb"].matrix[1, 2]
    rows = np.arange(85, 118)
    np.testing.assert_allclose(depth[rows, 30], height_m * focal / (rows - centre), rtol=1e-4)
    assert depth.dtype == np.float32 and depth[2, 80] == 400.0


def test_thermal_depth_counts_along_its_own_axis(empty_street):
    camera = empty_street.cameras["thermal"]
    depth = empty_street.depth(0.0, "thermal")
    rows, columns = np.mgrid[80:126:5, 20:60:5]
    pixels = np.stack([columns, rows], axis=-1).reshape(-1, 1, 2).astype(float)
    rvec, tvec, matrix, distortion = opencv_model(camera)
    criteria = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 50, 1e-12)
    slopes = cv2.undistortPoints(pixels, matrix, distortion, R=np.eye(3), P=np.eye(3), criteria=criteria)[
        :, 0
    ]
    local = np.c_[slopes, np.ones(len(slopes))] * depth[rows, columns].reshape(-1, 1)
    world = (local - tvec) @ cv2.Rodrigues(rvec)[0]
    np.testing.assert_allclose(world[:, 1], 1.6, atol=5e-4)  # all of them are on the road


def test_an_empty_street_is_a_static_map_where_it_is_that_far(empty_street):
    place = empty_street.rgb_from_thermal_map(3.0)
    depth = empty_street.depth(3.0, "rgb")
    row = 100
    map_x, map_y = empty_street.static_map(float(depth[row, 50]))
    np.testing.assert_allclose(place[row, 50], (map_x[row, 50], map_y[row, 50]), atol=1e-3)
    assert abs(map_x[row, 50] - empty_street.static_map(200.0)[0][row, 50]) > 1  # it matters


def test_boxes_are_tight_around_hot_people(demo_street):
    """Nothing but people is 8 K above the air, except lamp heads and cars."""
    checked = 0
    for time_s in TIMES:
        image = demo_street.thermal_at(time_s)
        hot = image > 28315 + 800
        for item in lone_people(demo_street, time_s, "thermal"):
            x0, y0, x1, y1 = item.box_xyxy
            left, top = int(x0) - 5, int(y0) - 5
            window = hot[top : int(y1) + 6, left : int(x1) + 6]
            rows, columns = np.flatnonzero(window.any(axis=1)), np.flatnonzero(window.any(axis=0))
            seen = left + columns[0], top + rows[0], left + columns[-1] + 1, top + rows[-1] + 1
            np.testing.assert_allclose(seen, item.box_xyxy, atol=2.0)
            checked += 1
    assert checked >= 5


def test_map_carries_people_from_thermal_to_rgb(demo_street):
    checked = 0
    for time_s in TIMES[1:4]:
        place, depth = demo_street.rgb_from_thermal_map(time_s), demo_street.depth(time_s, "rgb")
        there = {item.identity: item for item in lone_people(demo_street, time_s, "thermal")}
        counts = demo_street.thermal_at(time_s).astype(np.float32)
        warped = cv2.remap(counts, place[..., 0], place[..., 1], cv2.INTER_LINEAR)
        for item in lone_people(demo_street, time_s, "rgb"):
            if item.identity not in there:
                continue
            x0, y0, x1, y1 = (int(value) for value in item.box_xyxy)
            area = np.s_[y0 : y1 + 1, x0 : x1 + 1]
            body = np.abs(depth[area] - item.depth_m) < 0.02
            body &= np.mgrid[area][0] < y1 - 4  # the ground at the feet is as far
            pixels = place[area][body]
            mapped = (*pixels.min(axis=0), *pixels.max(axis=0) + 1)
            assert iou(mapped, there[item.identity].box_xyxy) > 0.85
            assert abs(item.depth_m - there[item.identity].depth_m) < 0.3
            core = cv2.erode(body.astype(np.uint8), np.ones((3, 3))) > 0
            assert np.median(warped[area][core]) > 28315 + 1000
            assert (warped[area][core] > 28315 + 700).mean() > 0.97
            checked += 1
    assert checked >= 3


def test_a_plane_at_a_persons_distance_carries_the_box(demo_street):
    checked = 0
    for time_s in TIMES:
        there = {item.identity: item for item in lone_people(demo_street, time_s, "thermal")}
        for item in lone_people(demo_street, time_s, "rgb"):
            if item.identity in there:
                map_x, map_y = demo_street.static_map(item.depth_m)
                x0, y0, x1, y1 = (round(value) for value in item.box_xyxy)
                area = np.s_[y0:y1, x0:x1]
                mapped = map_x[area].min(), map_y[area].min(), map_x[area].max() + 1, map_y[area].max() + 1
                assert iou(mapped, there[item.identity].box_xyxy) > 0.9
                checked += 1
    assert checked >= 8


def test_visible_fraction_tells_what_is_hidden(demo_street):
    depth = demo_street.depth(4.0, "rgb")
    objects = demo_street.boxes(4.0, "rgb")
    assert [item.identity for item in objects] == list(dict.fromkeys(item.identity for item in objects))
    assert all(0 <= item.visible_fraction <= 1 for item in objects)
    assert {item.class_name for item in objects} == {"person", "car"}
    for item in objects:
        x0, y0, x1, y1 = (int(value) for value in item.box_xyxy)
        span = depth[y0:y1, x0:x1]
        own = ((span > item.depth_m - 0.1) & (span < item.depth_m + 4.6)).mean()
        if item.visible_fraction == 1:
            assert own > 0.3
        if item.visible_fraction == 0:  # behind something over its whole box
            assert np.median(span) < item.depth_m
    assert any(item.visible_fraction < 0.9 for item in objects)


@pytest.mark.parametrize("camera", CAMERAS)
def test_objects_move_smoothly_and_return_with_the_traffic_light(small_street, camera):
    tracks = [
        {item.identity: item for item in small_street.boxes(5 + index / 30, camera)} for index in range(8)
    ]
    for before, after in pairwise(tracks):
        shared = before.keys() & after.keys()
        assert len(shared) >= 5
        for identity in shared:
            x0, _, x1, _ = after[identity].box_xyxy
            if x0 > 3 and x1 < 157:  # the border cuts no part that comes or goes
                np.testing.assert_allclose(after[identity].box_xyxy, before[identity].box_xyxy, atol=4)
    assert len({item.box_xyxy for track in tracks for item in track.values()}) > 8 * 5
    for later in (65.0, 905.0):
        crossing = {i.identity for i in small_street.boxes(later, camera)} & set(tracks[0])
        assert len(crossing) >= 4


def test_boxes_end_at_the_image_border(small_street):
    seen = dict.fromkeys(CAMERAS, 0)
    for camera in CAMERAS:
        width, height = small_street.cameras[camera].width, small_street.cameras[camera].height
        for time_s in np.arange(0, 30, 1.7):
            for item in small_street.boxes(time_s, camera):
                x0, y0, x1, y1 = item.box_xyxy
                assert 0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height
                assert item.depth_m > 0
                seen[camera] += 1
    assert min(seen.values()) > 10
