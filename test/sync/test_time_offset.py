"""Clock offsets against recordings whose offset is known."""

import threading
import time
import weakref
from collections import Counter
from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from moving_rig import START_NS, Recording, small_simulator

from ivfusion_ros.sync.time_offset import (
    TimeOffset,
    TimeOffsetMonitor,
    TimeOffsetWatch,
    estimate_time_offset,
    time_offset_advice,
)
from ivfusion_ros.sync.time_offset.shift import Reference
from ivfusion_ros.types import Frame

GOAL_NS = 5_000_000


@pytest.fixture(scope="module")
def still():
    return small_simulator(traffic=False)


@pytest.fixture(scope="module")
def recorded(still):
    """30 and 9 Hz; the thermal clock is 47 ms late."""
    return Recording(clock_ms=-47.0).frames(still)


def check(offset, clock_ms, tolerance_ns=GOAL_NS):
    assert offset.reason == ""
    error_ns = offset.offset_ns + clock_ms * 1e6
    assert abs(error_ns) < tolerance_ns
    # Sampling and pixel locking add up to 2 ms that repeat in every stretch of a recording.
    assert abs(error_ns) < 4 * offset.standard_error_ns + 2e6
    assert 0.9 < offset.agreement <= 1.0


@pytest.mark.parametrize(
    ("clock_ms", "rates_hz"),
    [(-80, (9, 30)), (-13, (25, 30)), (0, (30, 30)), (21, (60, 15)), (47, (30, 10)), (80, (9, 15))],
)
def test_offset_is_found_whatever_the_rates(still, clock_ms, rates_hz):
    thermal_hz, rgb_hz = rates_hz
    recording = Recording(thermal_hz=thermal_hz, rgb_hz=rgb_hz, clock_ms=clock_ms)
    check(estimate_time_offset(*recording.frames(still)), clock_ms)


def test_a_quarter_of_a_degree_is_enough(still):
    recording = Recording(clock_ms=33.0, amplitude=0.005, thermal_hz=25.0)
    check(estimate_time_offset(*recording.frames(still)), 33.0)


@pytest.mark.parametrize("illumination", ["day", "night"])
def test_traffic_does_not_mislead(illumination):
    recording = Recording(clock_ms=-21.0, seconds=5.0, still=False)
    check(estimate_time_offset(*recording.frames(small_simulator(illumination))), -21.0)


def test_added_to_the_thermal_stamps_nothing_is_left(recorded):
    thermal, rgb = recorded
    offset = estimate_time_offset(thermal, rgb)
    shifted = [replace(frame, stamp_ns=frame.stamp_ns + offset.offset_ns) for frame in thermal]
    assert abs(estimate_time_offset(shifted, rgb).offset_ns) < 200_000


def test_exchanged_cameras_have_the_opposite_offset(recorded):
    thermal, rgb = recorded
    forth, back = estimate_time_offset(thermal, rgb), estimate_time_offset(rgb, thermal)
    assert abs(forth.offset_ns + back.offset_ns) < 100


@settings(max_examples=4, deadline=None)
@given(st.integers(-300, 300))
def test_offset_follows_the_stamps(recorded, delay_ms):
    thermal, rgb = recorded
    moved = [replace(frame, stamp_ns=frame.stamp_ns + delay_ms * 1_000_000) for frame in thermal]
    check(estimate_time_offset(moved, rgb), -47.0 + delay_ms)


def test_a_driver_that_repeats_images_changes_nothing(recorded):
    thermal, rgb = recorded
    repeated = [
        replace(frame, stamp_ns=frame.stamp_ns + delay_ns)
        for frame in thermal
        for delay_ns in (0, 33_000_000, 66_000_000)
    ]
    found, expected = estimate_time_offset(repeated, rgb), estimate_time_offset(thermal, rgb)
    assert found.offset_ns is not None and expected.offset_ns is not None
    # The last digits of a sum depend on where its terms lie in memory.
    assert abs(found.offset_ns - expected.offset_ns) <= 1000
    assert found.agreement == pytest.approx(expected.agreement, rel=1e-6)


# --- when it is not known -------------------------------------------------------------------------


@pytest.mark.parametrize("traffic", [True, False])
def test_a_still_rig_is_said_to_be_still(traffic):
    recording = Recording(clock_ms=30.0, amplitude=0.0, seconds=4.0, rgb_hz=15.0, still=not traffic)
    offset = estimate_time_offset(*recording.frames(small_simulator(traffic=traffic)))
    assert offset.offset_ns is None and offset.standard_error_ns is None
    assert "motion" in offset.reason and "turn the rig" in offset.reason


def test_pictures_without_noise_that_never_change_are_no_short_recording(still):
    """30 s of a clean sensor in front of a wall: more of it would not help."""
    images = still.thermal_at(0.0), still.rgb_at(0.0)
    thermal, rgb = (
        [Frame(image, START_NS + index * 100_000_000) for index in range(300)] for image in images
    )
    reason = estimate_time_offset(thermal, rgb).reason
    assert "299 of 300 thermal frames repeat" in reason and "turn the rig" in reason


def test_a_rig_that_does_not_turn_is_told_so_within_30_s(still, watch, monkeypatch):
    """Twenty seconds of noisy frames are enough for the node's watch, whatever the wall clock says."""
    recording = Recording(amplitude=0.0, seconds=20.0, rgb_hz=10.0, thermal_hz=9.0, shutter=False)
    thermal, rgb = recording.frames(still)
    node = watch(share=1.0, watch_s=1.0)
    frames = [("thermal", frame) for frame in thermal] + [("rgb", frame) for frame in rgb]
    for camera, frame in sorted(frames, key=lambda item: item[1].stamp_ns):
        poll(lambda: len(node._waiting) < 4, "room")
        node.add(camera, frame)
    poll(lambda: "turn the rig" in node.latest.reason, "advice")
    assert time_offset_advice(node.latest, 0)[1].startswith("not known: the cameras see too little")


@pytest.mark.parametrize("lag_ms", [8.0, 12.0])
def test_a_microbolometers_lag_is_part_of_the_offset(still, lag_ms):
    """Its pixels warm up and cool down exponentially: what it shows is that much older than its stamp."""
    recording = Recording(clock_ms=20.0, thermal_hz=25.0, amplitude=0.02, seconds=8.0, shutter=False)
    thermal, rgb = recording.frames(still)
    lagging = recording.lagging_thermal(still, lag_ms)
    sharp, late = (estimate_time_offset(frames, rgb) for frames in (thermal, lagging))
    assert (sharp.offset_ns - late.offset_ns) / 1e6 == pytest.approx(lag_ms, abs=2.0)


def test_a_rolling_shutter_counts_as_the_rows_where_the_edges_are(still):
    """A street has more of them in the upper half: 43% of the readout time."""
    recording = Recording(clock_ms=20.0, thermal_hz=25.0, rgb_hz=25.0, seconds=8.0, shutter=False)
    thermal, rgb = recording.frames(still)
    rolling = recording.rolling_rgb(still, readout_ms=24.0)
    whole, late = (estimate_time_offset(thermal, frames) for frames in (rgb, rolling))
    assert 0.4 * 24.0 < (whole.offset_ns - late.offset_ns) / 1e6 < 0.6 * 24.0


@pytest.mark.parametrize("seed", [1, 3, 5])
def test_slow_motion_does_not_lag(still, seed):
    """Half a pixel of the thumbnails; a descent that stops early stays behind by 1 to 2 ms."""
    clock_ms = 47.0
    thermal, rgb = Recording(clock_ms=clock_ms, amplitude=0.005, seconds=8.0, seed=seed).frames(still)
    offset = estimate_time_offset(thermal, rgb)
    error_ms = offset.offset_ns / 1e6 + clock_ms
    assert abs(error_ms) < 0.8 and abs(error_ms) < 3 * offset.standard_error_ns / 1e6 + 0.2


def test_a_camera_that_turns_alone_gives_nothing(still):
    thermal, _ = Recording(seed=1).frames(still)
    _, rgb = Recording(seed=2).frames(still)
    assert estimate_time_offset(thermal, rgb).offset_ns is None


def test_an_even_swing_is_ambiguous(still, monkeypatch):
    def swing(times_s, _seed, amplitude):
        return amplitude * np.stack([np.sin(2 * np.pi * 3.0 * times_s), 0 * times_s], axis=1)

    monkeypatch.setattr("moving_rig.uneven_path", swing)
    recording = Recording(thermal_hz=30.0, shutter=False, dropped=0.0)
    offset = estimate_time_offset(*recording.frames(still))
    assert offset.offset_ns is None and "repeats itself" in offset.reason


def test_an_offset_beyond_the_search_is_no_offset(recorded):
    thermal, rgb = recorded
    late = [replace(frame, stamp_ns=frame.stamp_ns - 700_000_000) for frame in thermal]
    assert estimate_time_offset(late, rgb).offset_ns is None
    check(estimate_time_offset(late, rgb, max_offset_s=1.0), -747.0)


def test_too_few_frames_and_missing_cameras_are_named(recorded):
    thermal, rgb = recorded
    assert "no thermal frame" in estimate_time_offset([], rgb).reason
    assert "no RGB frame" in estimate_time_offset(thermal, []).reason
    few = estimate_time_offset(thermal[:23], rgb).reason
    assert "the thermal camera gave 23 different frames, expected at least 24" in few


def test_enough_frames_in_too_short_a_time_are_not_called_too_few(recorded):
    thermal, rgb = recorded
    reason = estimate_time_offset(thermal, rgb[:33]).reason
    assert reason == (
        "the RGB camera's frames lie within 1.1 s, expected at least 3 s: more of them are needed"
    )


def test_repetitions_are_those_of_the_window(recorded):
    """A camera that hung and runs again is not told to hang for ever."""
    thermal, rgb = recorded
    monitor = TimeOffsetMonitor(window_s=10.0)
    first_ns = thermal[0].stamp_ns
    for index in range(100):
        monitor.add("thermal", replace(thermal[0], stamp_ns=first_ns - (110 - index) * 1_000_000_000))
    for camera, frames in (("thermal", thermal[1:20]), ("rgb", rgb)):
        for frame in frames:
            monitor.add(camera, frame)
    assert "the thermal camera gave 19 different frames" in monitor.estimate().reason


def test_recordings_of_different_times_give_nothing(recorded):
    thermal, rgb = recorded
    later = [replace(frame, stamp_ns=frame.stamp_ns + 3_600_000_000_000) for frame in thermal]
    assert estimate_time_offset(later, rgb).offset_ns is None


# --- online ---------------------------------------------------------------------------------------


def test_the_monitor_keeps_a_window(still):
    thermal, rgb = Recording(clock_ms=12.0, thermal_hz=25.0).frames(still)
    monitor = TimeOffsetMonitor(window_s=5.0)
    # What came before the window had another clock.
    begin_ns = thermal[-1].stamp_ns - 5_000_000_000
    for frame in thermal:
        early = frame.stamp_ns < begin_ns
        monitor.add("thermal", replace(frame, stamp_ns=frame.stamp_ns - early * 200_000_000))
    for rgb_frame in rgb:
        monitor.add("rgb", rgb_frame)
    check(monitor.estimate(), 12.0)


def test_a_jump_back_in_time_starts_afresh(recorded):
    thermal, rgb = recorded
    monitor = TimeOffsetMonitor()
    for frame in rgb:
        monitor.add("rgb", frame)
    monitor.add("thermal", thermal[-1])
    monitor.add("rgb", rgb[0])
    assert "no thermal frame" in monitor.estimate().reason


# --- in a node ------------------------------------------------------------------------------------


@pytest.fixture
def watch():
    """A function that makes one; a defect of it fails the test."""
    made, defects = [], []

    def make(**options):
        made.append(TimeOffsetWatch(defects.append, **options))
        return made[-1]

    yield make
    for item in made:
        item.close()
        # Where the machine is too busy for close() to see its end.
        item._thread.join(60)
    assert "time offset" not in [thread.name for thread in threading.enumerate()]
    assert defects == []


def poll(condition, what):
    for _ in range(6000):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError(f"{what}: not within 60 s")


def test_the_watch_finds_the_offset_from_a_part_of_the_frames(recorded, watch, monkeypatch):
    thermal, rgb = recorded
    followed, add = Counter(), TimeOffsetMonitor.add

    def count(monitor, camera, frame):
        followed[camera] += 1
        add(monitor, camera, frame)

    monkeypatch.setattr(TimeOffsetMonitor, "add", count)
    node = watch(share=1.0, watch_s=1.0)
    frames = [("thermal", frame) for frame in thermal] + [("rgb", frame) for frame in rgb]
    for camera, frame in sorted(frames, key=lambda item: item[1].stamp_ns):
        poll(lambda: len(node._waiting) < 4, "room")
        node.add(camera, frame)
    poll(lambda: node.latest.offset_ns is not None, "an estimate")
    check(node.latest, -47.0)
    # Every second frame of 30 Hz, every one of 9 Hz.
    assert followed["rgb"] <= len(rgb) / 2 + 5 and followed["thermal"] > 0.8 * len(thermal)


def test_the_watch_rests_when_it_has_used_its_share(recorded, watch):
    _, rgb = recorded
    node = watch(share=1e-6, watch_s=0.2)

    def rests():
        node.add("rgb", rgb[0])
        return node._resting

    poll(rests, "a rest")
    assert "no thermal frame" in node.latest.reason
    node.add("rgb", rgb[-1])
    assert not node._waiting


def test_an_estimate_gives_up_when_it_is_told_to(recorded):
    monitor, asked = TimeOffsetMonitor(None), []
    for camera, frames in zip(("thermal", "rgb"), recorded, strict=True):
        for frame in frames:
            monitor.add(camera, frame)

    def stopped():
        asked.append(None)
        return len(asked) == 3

    with pytest.raises(InterruptedError):
        monitor.estimate(stopped)
    assert len(asked) == 3
    check(monitor.estimate(), -47.0)


def test_close_ends_an_estimate(recorded, watch, monkeypatch):
    _, rgb = recorded
    began = threading.Event()

    def endless(monitor, stopped):
        began.set()
        while not stopped():
            time.sleep(0.001)
        raise InterruptedError

    monkeypatch.setattr(TimeOffsetMonitor, "estimate", endless)
    node = watch(share=1.0, watch_s=0.2)

    def estimates():
        node.add("rgb", rgb[0])
        return began.is_set()

    poll(estimates, "an estimate")
    node.close()


def test_a_defect_ends_the_watching_and_is_told(monkeypatch):
    def fail(monitor, camera, frame):
        raise ZeroDivisionError("a defect")

    monkeypatch.setattr(TimeOffsetMonitor, "add", fail)
    defects = []
    node = TimeOffsetWatch(defects.append)
    node.add("rgb", Frame(np.zeros((20, 30), np.uint8), START_NS))
    poll(lambda: defects, "the defect")
    assert "a defect" in str(defects[0])
    kept = []
    for index in range(20):
        image = np.zeros((20, 30), np.uint8)
        kept.append(weakref.ref(image))
        node.add("rgb", Frame(image, START_NS + index * 10**9))
    del image
    assert sum(image() is not None for image in kept) <= 8
    node.close()


@pytest.mark.parametrize(
    ("found_ms", "error_ms", "configured_ms", "wrong"),
    [
        (-8.0, 0.1, 0.0, True),
        (4.9, 0.1, 0.0, False),
        (8.0, 0.1, 8.0, False),
        (8.0, 3.0, 0.0, False),
        (20.0, 3.0, 0.0, True),
        (20.0, 0.1, 14.0, True),
    ],
)
def test_an_offset_is_wrong_beyond_3_errors_and_5_ms(found_ms, error_ms, configured_ms, wrong):
    offset = TimeOffset(round(found_ms * 1e6), round(error_ms * 1e6), 0.95)
    is_wrong, text = time_offset_advice(offset, round(configured_ms * 1e6))
    assert is_wrong == wrong
    assert f"{abs(found_ms):.1f} ms {'behind' if found_ms > 0 else 'ahead'}" in text
    value = f"set pairing.thermal_time_offset_ms to {found_ms:.1f}, it is {configured_ms:g}"
    assert (value in text) == wrong


def test_an_unknown_offset_is_no_warning():
    assert time_offset_advice(TimeOffset(None, None, 0.0, "too little motion"), 0) == (
        False,
        "not known: too little motion",
    )


@settings(max_examples=25, deadline=None)
@given(st.floats(-12, 12), st.floats(-9, 9), st.floats(0.7, 1.3))
def test_shifts_are_exact(still, shift_x, shift_y, gain):
    street = cv2.resize(still.rgb_at(0.0)[:, :, 1], (120, 96), interpolation=cv2.INTER_AREA)
    street = cv2.GaussianBlur(street.astype(np.float32), (5, 5), 1.2)

    def seen(x, y):
        matrix = np.array([[1, 0, 12 - x], [0, 1, 12 - y]], np.float32)
        flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
        return cv2.warpAffine(street, matrix, (96, 72), flags=flags)

    found = Reference(seen(0, 0)).shift(gain * seen(shift_x, shift_y) + 3.0, np.zeros(2))
    # Pixel locking; a change of brightness that is no mere offset costs more.
    tolerance = 0.1 + 0.5 * abs(gain - 1)
    np.testing.assert_allclose(found, [shift_x, shift_y], atol=tolerance)


def test_images_of_any_size_and_colour(still):
    monitor = TimeOffsetMonitor()
    for size, stamp_ns in (((20, 9), 0), ((20, 9), 10), ((700, 30), 20), ((1280, 1024), 30)):
        monitor.add("rgb", Frame(np.full((*size[::-1], 3), 7, np.uint8), START_NS + stamp_ns))
        monitor.add("thermal", Frame(np.full(size[::-1], 7, np.uint16), START_NS + stamp_ns))
    assert monitor.estimate().offset_ns is None
