"""What the simulator's images show: noise, temperatures, light, fog and glare."""

from dataclasses import replace

import numpy as np
import pytest
from simulator_samples import SMALL, STILL, TIMES, lone_people

from ivfusion_ros.simulate import SceneConfig, Simulator
from ivfusion_ros.simulate.sensor import RgbSensor


def test_noise_is_as_strong_as_stated(empty_street):
    thermal = [empty_street.thermal_at(t).astype(float) for t in (0.0, 0.04)]
    assert (thermal[1] - thermal[0]).std() / np.sqrt(2) == pytest.approx(5.0, rel=0.05)
    quiet = Simulator(STILL, replace(SMALL, thermal=replace(SMALL.thermal, noise_counts=0.0)))
    pattern = replace(SMALL.thermal, noise_counts=0.0, pattern_counts=0.0)
    clean = Simulator(STILL, replace(SMALL, thermal=pattern))
    fixed = quiet.thermal_at(0.0).astype(float) - clean.thermal_at(0.0)
    assert fixed.std() == pytest.approx(4.0, rel=0.15)
    columns = fixed.mean(axis=0).std()
    assert columns > 3 * fixed.mean(axis=1).std()  # mostly columns
    sky = np.s_[:20, 70:90]
    rgb = [empty_street.rgb_at(t)[sky].astype(float) for t in (0.0, 0.1, 0.2, 0.3)]
    assert np.std(rgb, axis=0, ddof=1).mean() == pytest.approx(4.0, rel=0.15)


def test_thermal_counts_are_centikelvins(demo_street):
    image = demo_street.thermal_at(2.0)
    assert image.dtype == np.uint16 and image.shape == (512, 640)
    kelvin = image * 0.01
    assert 268 < kelvin.min() < 276  # sky
    assert 283 < np.median(kelvin) < 288  # walls and road, a little above the air of 10 C
    assert 304 < kelvin.max() < 325  # faces, exhausts


def test_night_hides_people_from_rgb_not_from_thermal(demo_street):
    """Their contrast to what surrounds them, relative to the picture's own spread."""
    contrast = {"thermal": [], "rgb": []}
    for time_s in TIMES[:4]:
        for camera, image in (
            ("thermal", demo_street.thermal_at(time_s)),
            ("rgb", demo_street.rgb_at(time_s).mean(axis=2)),
        ):
            low, high = np.percentile(image, (1, 99.5))
            grey = np.clip((image - low) / (high - low), 0, 1)
            depth = demo_street.depth(time_s, camera)
            for item in lone_people(demo_street, time_s, camera):
                x0, y0, x1, y1 = (int(value) for value in item.box_xyxy)
                body = np.abs(depth[y0:y1, x0:x1] - item.depth_m) < 0.05
                part = grey[y0:y1, x0:x1]
                contrast[camera].append(part[body].mean() - part[~body].mean())
    assert min(contrast["thermal"]) > 0.3
    assert np.abs(contrast["rgb"]).mean() < 0.15


def test_hours_differ_in_light(small_street):
    day = Simulator(SceneConfig(illumination="day"), SMALL).rgb_at(1.0)
    dusk = Simulator(SceneConfig(illumination="dusk"), SMALL).rgb_at(1.0)
    assert day.mean() > dusk.mean() + 20 > small_street.rgb_at(1.0).mean() + 35
    assert day[5, 80, 2] > day[5, 80, 0] + 20  # blue sky


def test_fog_veils_rgb_with_distance_and_leaves_thermal_alone(empty_street):
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


def test_headlights_glare(small_street):
    without = Simulator(SceneConfig(glare=0.0), SMALL).rgb_at(7.0).astype(float)
    more = small_street.rgb_at(7.0).astype(float) - without
    car = next(item for item in small_street.boxes(7.0, "rgb") if item.identity == 10)
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
