"""The simulator's streams: seeds, order, stamps and the shutter, and configurations that are wrong."""

from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
from simulator_samples import SMALL, STILL

from ivfusion_ros.errors import ConfigError
from ivfusion_ros.simulate import RgbConfig, RigConfig, SceneConfig, Simulator, ThermalCameraConfig
from ivfusion_ros.simulate.camera import make_cameras
from ivfusion_ros.simulate.sensor import stamp_ns


def test_same_seed_same_bytes_whatever_was_asked_before(small_street):
    again = Simulator(SceneConfig(duration_s=1.0), SMALL)
    again.rgb_at(0.9), again.thermal_at(0.1), again.boxes(0.5, "rgb")
    both = zip(islice(small_street.frames(), 20), islice(again.frames(), 20), strict=True)
    for (name, frame), (other_name, other) in both:
        assert name == other_name and frame.stamp_ns == other.stamp_ns
        np.testing.assert_array_equal(frame.image, other.image)
    np.testing.assert_array_equal(small_street.thermal_at(0.36), again.thermal_at(0.36))


def test_another_seed_is_another_street(small_street):
    other = Simulator(SceneConfig(seed=1), SMALL)
    assert np.abs(other.rgb_at(0.5).astype(float) - small_street.rgb_at(0.5)).mean() > 3
    assert np.abs(other.thermal_at(0.5).astype(float) - small_street.thermal_at(0.5)).mean() > 20
    assert other.boxes(0.5, "rgb") != small_street.boxes(0.5, "rgb")


def test_frames_come_in_order_at_their_rates(small_street):
    names, frames = zip(*small_street.frames(), strict=True)
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
