"""Clocks that differ, are none, or only seem to: by stamps and by times of arrival that are known here."""

import logging

import numpy as np
import pytest

from ivfusion_ros.config.parameters import make_config
from ivfusion_ros.config.pipeline import PairingConfig
from ivfusion_ros.sync.clocks import APART_NS, ClockCheck, usual
from ivfusion_ros.types import Frame

S = 1_000_000_000
START_NS = 1_700_000_000 * S
PIXELS = np.zeros((2, 2), np.uint8)


def recording(ahead_ns=0, late_ns=0, thermal_stamp=None, count=6, starts_late=0):
    """Frames at 10 Hz by time of arrival; the thermal clock is ahead, its frames arrive late."""
    frames = []
    for index in range(count):
        taken_ns = START_NS + index * S // 10
        stamp_ns = taken_ns + ahead_ns if thermal_stamp is None else thermal_stamp
        if index >= starts_late:
            frames.append(("thermal", Frame(PIXELS, stamp_ns, received_ns=taken_ns + late_ns + 3)))
        frames.append(("rgb", Frame(PIXELS, taken_ns, received_ns=taken_ns + 2)))
    return sorted(frames, key=lambda item: item[1].received_ns)


def check(frames):
    offsets = []
    checked = ClockCheck(offsets.append)
    return list(checked.frames(frames)), offsets, checked


@pytest.mark.parametrize(
    ("ahead_s", "offset_s"), [(37, -37), (-7200, 7200), (5 - 1_700_000_000, 1699999995)]
)
def test_clocks_apart_give_an_offset_that_pairing_accepts(caplog, ahead_s, offset_s) -> None:
    with caplog.at_level(logging.WARNING):
        passed, offsets, _ = check(recording(ahead_ns=ahead_s * S, late_ns=20_000_000))
    assert [camera for camera, _ in passed].count("thermal") == 6
    (offset_ns,) = offsets
    # The times of arrival are wrong by the link's delay, unless the difference is a usual one.
    assert abs(offset_ns - offset_s * S) <= (20_000_001 if abs(ahead_s) > 7200 else 0)
    config = make_config(PairingConfig, {"thermal_time_offset_ms": offset_ns / 1e6}, "pairing")
    assert f"thermal_time_offset_ms to {config.thermal_time_offset_ms:.1f}" in caplog.text


@pytest.mark.parametrize(
    "same",
    [
        {"late_ns": 2 * S},
        {"late_ns": 20 * S},
        {"ahead_ns": 3 * S},
        {"starts_late": 2},
    ],
    ids=["recorded late", "recorded by another clock", "a small offset", "starts later"],
)
def test_what_only_looks_like_another_clock_stays(same) -> None:
    frames = recording(**same)
    passed, offsets, checked = check(frames)
    assert passed == frames and offsets == []
    assert abs(checked.measured_ns) < 2 * APART_NS + S


def test_a_small_difference_is_told_and_not_used() -> None:
    _, offsets, checked = check(recording(ahead_ns=-4 * S))
    assert offsets == []
    assert "4.0 s behind" in checked.advice() and "thermal_time_offset_ms to 4000.0" in checked.advice()


def test_stamps_of_no_clock_become_the_times_of_arrival(caplog) -> None:
    with caplog.at_level(logging.WARNING):
        passed, offsets, _ = check(recording(thermal_stamp=0))
    assert offsets == [] and "thermal: all stamps are 0 ns" in caplog.text
    assert [frame.stamp_ns for _, frame in passed] == [frame.received_ns for _, frame in passed]


def test_frames_of_one_camera_alone_and_without_arrival_pass() -> None:
    alone = [item for item in recording() if item[0] == "rgb"]
    unknown = [(camera, Frame(PIXELS, frame.stamp_ns)) for camera, frame in recording(ahead_ns=60 * S)]
    for frames in (alone, unknown, []):
        passed, offsets, checked = check(frames)
        assert passed == frames and offsets == [] and checked.advice() == ""


def test_usual_differences_are_taken_exactly() -> None:
    near = 100_000_000
    assert usual(-37 * S + near) == -37 * S and usual(7200 * S - near) == 7200 * S
    assert usual(18 * S + 3 * near) == 18 * S + 3 * near and usual(0) == 0


@pytest.mark.parametrize(
    ("off_s", "told"), [(0.2, "200 ms ahead of"), (-0.2, "200 ms behind"), (0.06, "60 ms ahead of")]
)
def test_a_constant_skew_beyond_half_a_period_is_told(caplog, off_s, told) -> None:
    frames = recording(round(off_s * 1e9), count=40)
    passed, offsets, _ = check(frames)
    assert passed == frames and not offsets
    assert told in caplog.text and f"thermal_time_offset_ms to {-off_s * 1e3:.1f}" in caplog.text
    assert caplog.text.count("paired with a neighbour") == 1


@pytest.mark.parametrize("off_s", [0.0, 0.04])
def test_a_constant_skew_below_half_a_period_is_not_told(caplog, off_s) -> None:
    check(recording(round(off_s * 1e9), count=40))
    assert not caplog.text
