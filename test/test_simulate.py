"""The simulator against OpenCV's camera model, plain formulas, and its own pictures."""

import time
from dataclasses import replace
from itertools import islice, pairwise

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ivfusion_ros.errors import ConfigError
from ivfusion_ros.simulate import RgbConfig, RigConfig, SceneConfig, Simulator, ThermalCameraConfig
from ivfusion_ros.simulate.camera import make_cameras
from ivfusion_ros.simulate.sensor import RgbSensor, stamp_ns

SMALL = RigConfig(
    rgb=RgbConfig(width=160, height=120, principal_offset_px=(1.0, -0.5)),
    thermal=ThermalCameraConfig(width=160, height=128, principal_offset_px=(-1.0, 1.0)),
)
STILL = SceneConfig(people=0, cars=0)
CAMERAS = ("thermal", "rgb")
TIMES = (0.8, 4.0, 4.8, 8.0, 9.6)
"""When some people in the full scene stand apart."""


@pytest.fixture(scope="module")
def full():
    """The scene and cameras of the demo."""
    return Simulator()


@pytest.fixture(scope="module")
def small():
    return Simulator(SceneConfig(duration_s=1.0), SMALL)


@pytest.fixture(scope="module")
def still():
    return Simulator(STILL, SMALL)


def opencv_model(camera):
    """rvec, tvec, K and d of cv2.projectPoints for one of our cameras."""
    rvec = cv2.Rodrigues(camera.rotation)[0]
    return rvec, -camera.rotation @ camera.position, camera.matrix, np.array([*camera.distortion, 0, 0, 0])


def iou(a, b):
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    both = max(width, 0) * max(height, 0)
    return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)


# --- geometry -------------------------------------------------------------------------------------


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
def test_rays_lead_back_to_their_pixels(full, name):
    camera = full.cameras[name]
    rays = camera.rays()[::37, ::41].astype(float)
    points = np.concatenate([rays, np.ones((*rays.shape[:2], 1))], axis=2) * 20.0 + camera.position
    pixels = cv2.projectPoints(points.reshape(-1, 3), *opencv_model(camera))[0][:, 0]
    columns, rows = np.meshgrid(np.arange(0, camera.width, 41), np.arange(0, camera.height, 37))
    np.testing.assert_allclose(pixels, np.stack([columns, rows], axis=-1).reshape(-1, 2), atol=2e-3)


@pytest.mark.parametrize("name", CAMERAS)
def test_points_out_of_view_stay_outside_the_image(full, name):
    camera = full.cameras[name]
    points = np.array([(x, y, z) for x in (-9, 9) for y in (-9, 9) for z in (-3.0, 0.0, 0.5, 4.0)], float)
    pixels = camera.project(points)
    assert not camera.contains(pixels).any()
    assert (np.sign(pixels - camera.matrix[:2, 2]) == np.sign(points[:, :2])).all()


def test_camera_info_is_what_a_driver_would_publish(small):
    for name, frame in small.frames():
        info, camera = frame.camera_info, small.cameras[name]
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
def test_homography_and_map_of_a_plane_agree_with_opencv(full, distance_m):
    thermal, rgb = full.cameras["thermal"], full.cameras["rgb"]
    map_x, map_y = full.static_map(distance_m)
    assert map_x.dtype == map_y.dtype == np.float32 and map_x.shape == map_y.shape == (480, 640)
    ys, xs = np.mgrid[10:480:61, 10:640:67]
    pixels = np.stack([xs, ys], axis=-1).reshape(-1, 1, 2).astype(float)
    _, _, matrix, distortion = opencv_model(rgb)
    criteria = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 50, 1e-12)
    ideal = cv2.undistortPoints(pixels, matrix, distortion, R=np.eye(3), P=matrix, criteria=criteria)
    on_thermal = cv2.perspectiveTransform(ideal, np.linalg.inv(full.homography_at_depth(distance_m)))
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


# --- truth ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("height_m", [1.0, 1.6])
def test_depth_of_the_road_is_that_of_a_plane(height_m):
    rgb = replace(SMALL.rgb, distortion=(0.0, 0.0))
    sim = Simulator(STILL, RigConfig(rgb, SMALL.thermal, height_m))
    depth = sim.depth(0.0, "rgb")
    focal, centre = sim.cameras["rgb"].matrix[1, 1], sim.cameras["rgb"].matrix[1, 2]
    rows = np.arange(85, 118)
    np.testing.assert_allclose(depth[rows, 30], height_m * focal / (rows - centre), rtol=1e-4)
    assert depth.dtype == np.float32 and depth[2, 80] == 400.0


def test_thermal_depth_counts_along_its_own_axis(still):
    camera = still.cameras["thermal"]
    depth = still.depth(0.0, "thermal")
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


def test_an_empty_street_is_a_static_map_where_it_is_that_far(still):
    place = still.rgb_from_thermal_map(3.0)
    depth = still.depth(3.0, "rgb")
    row = 100
    map_x, map_y = still.static_map(float(depth[row, 50]))
    np.testing.assert_allclose(place[row, 50], (map_x[row, 50], map_y[row, 50]), atol=1e-3)
    assert abs(map_x[row, 50] - still.static_map(200.0)[0][row, 50]) > 1  # it matters


def lone_people(sim, time_s, camera):
    """People well within the picture whom nothing touches."""
    objects = sim.boxes(time_s, camera)
    width = sim.cameras[camera].width
    for item in objects:
        x0, _, x1, _ = item.box_xyxy
        grown = np.add(item.box_xyxy, (-6, -6, 6, 6))
        others = [other for other in objects if other is not item]
        clear = all(iou(grown, other.box_xyxy) == 0 for other in others)
        if (
            item.class_name == "person"
            and item.visible_fraction > 0.99
            and x0 > 8
            and x1 < width - 8
            and clear
        ):
            yield item


def test_boxes_are_tight_around_hot_people(full):
    """Nothing but people is 8 K above the air, except lamp heads and cars."""
    checked = 0
    for time_s in TIMES:
        image = full.thermal_at(time_s)
        hot = image > 28315 + 800
        for item in lone_people(full, time_s, "thermal"):
            x0, y0, x1, y1 = item.box_xyxy
            left, top = int(x0) - 5, int(y0) - 5
            window = hot[top : int(y1) + 6, left : int(x1) + 6]
            rows, columns = np.flatnonzero(window.any(axis=1)), np.flatnonzero(window.any(axis=0))
            seen = left + columns[0], top + rows[0], left + columns[-1] + 1, top + rows[-1] + 1
            np.testing.assert_allclose(seen, item.box_xyxy, atol=2.0)
            checked += 1
    assert checked >= 5


def test_map_carries_people_from_thermal_to_rgb(full):
    checked = 0
    for time_s in TIMES[1:4]:
        place, depth = full.rgb_from_thermal_map(time_s), full.depth(time_s, "rgb")
        there = {item.identity: item for item in lone_people(full, time_s, "thermal")}
        counts = full.thermal_at(time_s).astype(np.float32)
        warped = cv2.remap(counts, place[..., 0], place[..., 1], cv2.INTER_LINEAR)
        for item in lone_people(full, time_s, "rgb"):
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


def test_a_plane_at_a_persons_distance_carries_the_box(full):
    checked = 0
    for time_s in TIMES:
        there = {item.identity: item for item in lone_people(full, time_s, "thermal")}
        for item in lone_people(full, time_s, "rgb"):
            if item.identity in there:
                map_x, map_y = full.static_map(item.depth_m)
                x0, y0, x1, y1 = (round(value) for value in item.box_xyxy)
                area = np.s_[y0:y1, x0:x1]
                mapped = map_x[area].min(), map_y[area].min(), map_x[area].max() + 1, map_y[area].max() + 1
                assert iou(mapped, there[item.identity].box_xyxy) > 0.9
                checked += 1
    assert checked >= 8


def test_visible_fraction_tells_what_is_hidden(full):
    depth = full.depth(4.0, "rgb")
    objects = full.boxes(4.0, "rgb")
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
def test_objects_move_smoothly_and_return_with_the_traffic_light(small, camera):
    tracks = [{item.identity: item for item in small.boxes(5 + index / 30, camera)} for index in range(8)]
    for before, after in pairwise(tracks):
        shared = before.keys() & after.keys()
        assert len(shared) >= 5
        for identity in shared:
            x0, _, x1, _ = after[identity].box_xyxy
            if x0 > 3 and x1 < 157:  # the border cuts no part that comes or goes
                np.testing.assert_allclose(after[identity].box_xyxy, before[identity].box_xyxy, atol=4)
    assert len({item.box_xyxy for track in tracks for item in track.values()}) > 8 * 5
    for later in (65.0, 905.0):
        crossing = {i.identity for i in small.boxes(later, camera)} & set(tracks[0])
        assert len(crossing) >= 4


def test_boxes_end_at_the_image_border(small):
    for camera in CAMERAS:
        width, height = small.cameras[camera].width, small.cameras[camera].height
        for time_s in np.arange(0, 30, 1.7):
            for item in small.boxes(time_s, camera):
                x0, y0, x1, y1 = item.box_xyxy
                assert 0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height
                assert item.depth_m > 0


# --- images ---------------------------------------------------------------------------------------


def test_same_seed_same_bytes_whatever_was_asked_before(small):
    again = Simulator(SceneConfig(duration_s=1.0), SMALL)
    again.rgb_at(0.9), again.thermal_at(0.1), again.boxes(0.5, "rgb")
    both = zip(islice(small.frames(), 20), islice(again.frames(), 20), strict=True)
    for (name, frame), (other_name, other) in both:
        assert name == other_name and frame.stamp_ns == other.stamp_ns
        np.testing.assert_array_equal(frame.image, other.image)
    np.testing.assert_array_equal(small.thermal_at(0.36), again.thermal_at(0.36))


def test_another_seed_is_another_street(small):
    other = Simulator(SceneConfig(seed=1), SMALL)
    assert np.abs(other.rgb_at(0.5).astype(float) - small.rgb_at(0.5)).mean() > 3
    assert np.abs(other.thermal_at(0.5).astype(float) - small.thermal_at(0.5)).mean() > 20
    assert other.boxes(0.5, "rgb") != small.boxes(0.5, "rgb")


def test_frames_come_in_order_at_their_rates(small):
    names, frames = zip(*small.frames(), strict=True)
    assert names.count("rgb") == 30 and names.count("thermal") == 25
    for camera, offset_ms, dtype, frame_id in (
        ("rgb", 0.0, np.uint8, "rgb_optical_frame"),
        ("thermal", 8.0, np.uint16, "thermal_optical_frame"),
    ):
        own = [frame for name, frame in zip(names, frames, strict=True) if name == camera]
        stamps = np.array([frame.stamp_ns - 1_700_000_000_000_000_000 for frame in own]) / 1e6
        nominal = np.arange(len(own)) * 1000 / len(own)
        assert np.abs(stamps - nominal - offset_ms).max() <= 3.1
        assert (np.diff(stamps) > 0).all()
        assert all(f.image.dtype == dtype and f.frame_id == frame_id for f in own)
    arrival = [
        frame.stamp_ns - (8_000_000 if name == "thermal" else 0)
        for name, frame in zip(names, frames, strict=True)
    ]
    assert np.diff(arrival).min() > -7_000_000  # only jitter disturbs the order


def test_stamps_have_the_stated_offset_and_jitter():
    times = np.arange(2000) / 25
    errors = np.array([stamp_ns(0, t, 8.0, 1.0, 3, "thermal") - t * 1e9 for t in times]) / 1e6
    assert errors.mean() == pytest.approx(8.0, abs=0.08)
    assert errors.std() == pytest.approx(1.0, rel=0.06)
    assert np.abs(errors - 8).max() <= 3.001
    assert abs(np.corrcoef(errors[1:], errors[:-1])[0, 1]) < 0.08
    assert stamp_ns(5, 2.0, 0.0, 0.0, 0, "rgb") == 2_000_000_005


def test_shutter_repeats_the_last_image_under_new_stamps():
    thermal = replace(SMALL.thermal, shutter_interval_s=0.6, shutter_length_s=0.2)
    sim = Simulator(SceneConfig(duration_s=1.0), replace(SMALL, thermal=thermal))
    frames = [frame for name, frame in sim.frames() if name == "thermal"]
    # Exposures at multiples of 40 ms: 0.56 is the last before 0.6, 0.8 the first after the event.
    frozen = [i for i in range(1, 25) if np.array_equal(frames[i].image, frames[i - 1].image)]
    assert frozen == [15, 16, 17, 18, 19]
    assert np.array_equal(frames[19].image, frames[14].image)
    assert len({frame.stamp_ns for frame in frames}) == 25


def test_drift_rises_and_the_shutter_zeroes_it():
    thermal = replace(SMALL.thermal, drift_counts_per_s=100.0, shutter_interval_s=3.0, shutter_length_s=0.5)
    sim = Simulator(STILL, replace(SMALL, thermal=thermal))
    mean = {t: float(sim.thermal_at(t).mean()) for t in (0.0, 1.0, 2.92, 3.5, 4.5)}
    assert mean[1.0] - mean[0.0] == pytest.approx(100, abs=1)
    assert mean[2.92] - mean[0.0] == pytest.approx(292, abs=1)
    assert mean[3.5] - mean[0.0] == pytest.approx(0, abs=1)
    assert mean[4.5] - mean[0.0] == pytest.approx(100, abs=1)


def test_noise_is_as_strong_as_stated(still):
    thermal = [still.thermal_at(t).astype(float) for t in (0.0, 0.04)]
    assert (thermal[1] - thermal[0]).std() / np.sqrt(2) == pytest.approx(5.0, rel=0.05)
    quiet = Simulator(STILL, replace(SMALL, thermal=replace(SMALL.thermal, noise_counts=0.0)))
    pattern = replace(SMALL.thermal, noise_counts=0.0, pattern_counts=0.0)
    clean = Simulator(STILL, replace(SMALL, thermal=pattern))
    fixed = quiet.thermal_at(0.0).astype(float) - clean.thermal_at(0.0)
    assert fixed.std() == pytest.approx(4.0, rel=0.15)
    columns = fixed.mean(axis=0).std()
    assert columns > 3 * fixed.mean(axis=1).std()  # mostly columns
    sky = np.s_[:20, 70:90]
    rgb = [still.rgb_at(t)[sky].astype(float) for t in (0.0, 0.1, 0.2, 0.3)]
    assert np.std(rgb, axis=0, ddof=1).mean() == pytest.approx(4.0, rel=0.15)


def test_thermal_counts_are_centikelvins(full):
    image = full.thermal_at(2.0)
    assert image.dtype == np.uint16 and image.shape == (512, 640)
    kelvin = image * 0.01
    assert 268 < kelvin.min() < 276  # sky
    assert 283 < np.median(kelvin) < 288  # walls and road, a little above the air of 10 C
    assert 304 < kelvin.max() < 325  # faces, exhausts


def test_night_hides_people_from_rgb_not_from_thermal(full):
    """Their contrast to what surrounds them, relative to the picture's own spread."""
    contrast = {"thermal": [], "rgb": []}
    for time_s in TIMES[:4]:
        for camera, image in (
            ("thermal", full.thermal_at(time_s)),
            ("rgb", full.rgb_at(time_s).mean(axis=2)),
        ):
            low, high = np.percentile(image, (1, 99.5))
            grey = np.clip((image - low) / (high - low), 0, 1)
            depth = full.depth(time_s, camera)
            for item in lone_people(full, time_s, camera):
                x0, y0, x1, y1 = (int(value) for value in item.box_xyxy)
                body = np.abs(depth[y0:y1, x0:x1] - item.depth_m) < 0.05
                part = grey[y0:y1, x0:x1]
                contrast[camera].append(part[body].mean() - part[~body].mean())
    assert min(contrast["thermal"]) > 0.3
    assert np.abs(contrast["rgb"]).mean() < 0.15


def test_hours_differ_in_light(small):
    day = Simulator(SceneConfig(illumination="day"), SMALL).rgb_at(1.0)
    dusk = Simulator(SceneConfig(illumination="dusk"), SMALL).rgb_at(1.0)
    assert day.mean() > dusk.mean() + 20 > small.rgb_at(1.0).mean() + 35
    assert day[5, 80, 2] > day[5, 80, 0] + 20  # blue sky


def test_fog_veils_rgb_with_distance_and_leaves_thermal_alone(still):
    scene = replace(STILL, illumination="day")
    clear, foggy = Simulator(scene, SMALL), Simulator(replace(scene, fog_per_m=0.05), SMALL)
    near, far = np.s_[95:118, 10:60], np.s_[50:66, 82:100]
    ratio = [foggy.rgb_at(0.0)[s].std() / clear.rgb_at(0.0)[s].std() for s in (near, far)]
    assert ratio[1] < 0.35 < 0.6 < ratio[0]
    np.testing.assert_array_equal(foggy.thermal_at(0.0), clear.thermal_at(0.0))


def test_a_crowd_in_fog_gives_clean_pictures():
    scene = SceneConfig(seed=4, people=20, cars=12, fog_per_m=0.02, glare=2.0)
    sim = Simulator(scene, SMALL)
    with np.errstate(all="raise"):
        images = [sim.rgb_at(time_s) for time_s in np.arange(0, 30, 2.3)]
    assert min(image.mean() for image in images) > 20
    assert len(sim.boxes(5.0, "rgb")) > 15


def test_headlights_glare(small):
    without = Simulator(SceneConfig(glare=0.0), SMALL).rgb_at(7.0).astype(float)
    more = small.rgb_at(7.0).astype(float) - without
    car = next(item for item in small.boxes(7.0, "rgb") if item.identity == 10)
    x0, y0, x1, y1 = (int(value) for value in car.box_xyxy)
    assert more[y0:y1, max(x0, 0) : x1].mean() > 8
    assert np.abs(more[:, 110:]).mean() < 0.5


def test_auto_exposure_draws_brightness_to_the_middle():
    for level in (40.0, 180.0):
        picture = np.full((120, 160, 3), level, np.float32)
        fixed = RgbSensor(SMALL.rgb, 0, gain=1.0).expose(picture, 0.0)
        automatic = RgbSensor(replace(SMALL.rgb, auto_exposure=True), 0, gain=1.0).expose(picture, 0.0)
        assert fixed.mean() == pytest.approx(level, abs=0.3)
        assert abs(automatic.mean() - 105) < abs(level - 105) - 15


def test_a_frame_is_fast(full):
    """Generous: 15 ms each on one free core; a busy one takes longer."""
    full.rgb_at(2.0), full.thermal_at(2.0)
    spent = []
    for index in range(6):
        start = time.process_time()
        full.rgb_at(2.0 + index / 100), full.thermal_at(2.0 + index / 100)
        spent.append((time.process_time() - start) / 2)
    assert min(spent) < 0.06


# --- wrong configurations -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SceneConfig(illumination="noon"), "'noon', expected one of day, dusk, night"),
        (lambda: SceneConfig(people=31), "people is 31, expected 0 to 30"),
        (lambda: RgbConfig(hfov_deg=170), "hfov_deg is 170, expected 5 to 90"),
        (lambda: ThermalCameraConfig(jitter_ms=30), "jitter_ms is 30"),
        (lambda: ThermalCameraConfig(shutter_interval_s=0.5), "at least twice"),
        (lambda: ThermalCameraConfig(position_m=(9, 0, 0)), "at most 2 m"),
        (lambda: RigConfig(camera_height_m=0), "camera_height_m is 0"),
        (lambda: make_cameras(RigConfig(rgb=RgbConfig(distortion=(-1.5, 0)))), "folds the image back"),
    ],
)
def test_wrong_values_are_named(make, message):
    with pytest.raises(ConfigError, match=message):
        make()
