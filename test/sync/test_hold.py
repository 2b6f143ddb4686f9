"""A thermal frame that serves several RGB frames: which, how long, at once, and the same in any order."""

from bisect import bisect_right
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pairing_samples import MS, feed, frames, in_time_order, regular, stamps_ms
from test_pairing import interleaving, troubled_camera

from ivfusion_ros.config.pipeline import PairingConfig, PipelineConfig
from ivfusion_ros.sync.pairing import READ_AHEAD, Pairer
from ivfusion_ros.sync.synchronizer import Synchronizer

SKEW_MS = 25.0


def pairer_of(hold_ms=250.0, patience=None, **config):
    return Pairer(PairingConfig(**config), patience, hold_ns=round(hold_ms * MS))


def run(arrivals, pairer):
    return feed(pairer, arrivals) + pairer.flush()


def expected(thermals, rgbs, hold_ms=250.0):
    """The rule, with all stamps at hand."""
    stamps = [frame.stamp_ns for frame in thermals]
    pairs = []
    for rgb in rgbs:
        place = bisect_right(stamps, rgb.stamp_ns)
        age = rgb.stamp_ns - stamps[place - 1] if place else float("inf")
        ahead = stamps[place] - rgb.stamp_ns if place < len(stamps) else float("inf")
        if ahead <= SKEW_MS * MS and ahead < age:
            pairs.append((stamps[place] / MS, rgb.stamp_ns / MS))
        elif age <= hold_ms * MS:
            pairs.append((stamps[place - 1] / MS, rgb.stamp_ns / MS))
    return pairs


@pytest.mark.parametrize("phase_ms", [0, 2, 9, 16, 27, 38])
@pytest.mark.parametrize("rates", [(9, 30), (8.6, 60), (30, 9), (25, 30), (10, 30)])
def test_each_rgb_frame_gets_the_nearest_that_may_be(rates, phase_ms):
    thermals = regular(rates[0], 4, jitter=0.01, seed=1)
    rgbs = regular(rates[1], 4, phase_ms, jitter=0.01, seed=2)
    pairer = pairer_of()
    found = stamps_ms(run(in_time_order(thermals, rgbs), pairer))
    assert found == expected(thermals, rgbs)
    assert len(found) >= len(rgbs) - 1
    assert pairer.pairs == len(found)


def test_none_waits_long_for_a_slow_camera():
    """Of 30 Hz RGB and 9 Hz thermal at most one RGB frame waits, for less than a third of a period."""
    thermals, rgbs = regular(9, 5, jitter=0.01), regular(30, 5, 3.0, jitter=0.01)
    pairer, delays = pairer_of(), []
    for name, frame in in_time_order(thermals, rgbs):
        pairs = feed(pairer, [(name, frame)])
        delays += [(frame.stamp_ns - pair.rgb.stamp_ns) / MS for pair in pairs]
        if frame.stamp_ns > 1000 * MS:
            assert pairer.pending[1] <= 1
    assert max(delays[30:]) < 35 and sum(delay <= 0 for delay in delays[30:]) > 0.6 * len(delays[30:])


def test_what_is_held_is_told_and_too_old_is_no_partner():
    thermals, rgbs = frames(0, 100, 200, 300, 1000), frames(*range(0, 1100, 50))
    pairer = pairer_of(120.0)
    pairs = run(in_time_order(thermals, rgbs), pairer)
    assert stamps_ms(pairs) == expected(thermals, rgbs, 120.0)
    held = [pair.rgb.stamp_ns / MS for pair in pairs if pair.held]
    assert held == [50, 150, 250, 350, 400, 1050]
    assert [pair.skew_ns / MS for pair in pairs if pair.held] == [-50, -50, -50, -50, -100, -50]
    assert pairer.held == 6
    # 450 to 950.
    assert pairer.drops == {"rgb_no_partner": 11}


def test_off_by_default_and_on_by_the_configuration():
    thermals, rgbs = frames(0, 100, 200), frames(0, 50, 100, 150, 200)
    for hold_ms, count in ((0.0, 3), (100.0, 5)):
        synchronizer = Synchronizer(PipelineConfig(PairingConfig(hold_thermal_ms=hold_ms)))
        arrivals = in_time_order(thermals, rgbs)
        pairs = [pair for name, frame in arrivals for pair in synchronizer.add(name, frame)]
        assert len(pairs + synchronizer.flush()) == count


@settings(max_examples=300, deadline=None)
@given(data=st.data(), thermals=troubled_camera(), rgbs=troubled_camera())
def test_interleaving_changes_nothing_in_a_replay(data, thermals, rgbs):
    outcomes = []
    for _ in range(3):
        pairer = pairer_of(200.0, READ_AHEAD, queue_size=1000, thermal_time_offset_ms=7.0)
        pairs = run(data.draw(interleaving(thermals, rgbs)), pairer)
        ids = [(id(pair.thermal), id(pair.rgb), pair.skew_ns, pair.held) for pair in pairs]
        outcomes.append((ids, pairer.drops, pairer.restarts))
    assert outcomes[0] == outcomes[1] == outcomes[2]


@settings(max_examples=200, deadline=None)
@given(data=st.data(), thermals=troubled_camera(), rgbs=troubled_camera(), queue_size=st.integers(1, 40))
def test_what_holds_for_any_input(data, thermals, rgbs, queue_size):
    pairer, pairs = pairer_of(200.0, queue_size=queue_size), []
    for name, frame in data.draw(interleaving(thermals, rgbs)):
        pairs += feed(pairer, [(name, frame)])
        assert max(pairer.pending) <= queue_size
    pairs += pairer.flush()
    assert pairer.pending == (0, 0) and pairer.pairs == len(pairs)
    dropped = {
        name: sum(count for key, count in pairer.drops.items() if key.startswith(name))
        for name in ("thermal", "rgb")
    }
    assert len(pairs) + dropped["rgb"] == len(rgbs)
    assert len({id(pair.thermal) for pair in pairs}) + dropped["thermal"] == len(thermals)
    assert len({id(pair.rgb) for pair in pairs}) == len(pairs)
    assert all(-200 * MS <= pair.skew_ns <= SKEW_MS * MS for pair in pairs)
    backward = sum(b.rgb.stamp_ns <= a.rgb.stamp_ns for a, b in pairwise(pairs))
    assert backward <= pairer.restarts


@pytest.mark.parametrize("delay_ms", [0, 30, 90])
def test_live_and_replay_agree_through_a_shutter_event(delay_ms):
    """The thermal camera pauses for 0.8 s, and its images are under way for up to 90 ms longer."""
    thermals = [frame for frame in regular(9, 6, jitter=0.01) if not 2000 < frame.stamp_ns / MS < 2800]
    rgbs = regular(30, 6, 5.0, jitter=0.01)
    arrivals = in_time_order(thermals, rgbs, delay_ms)
    live = [stamps_ms(feed(pairer_of(1000.0), arrivals))]
    replay = stamps_ms(run(arrivals, pairer_of(1000.0, READ_AHEAD)))
    (found,) = live
    # The last ones still wait.
    assert found == replay[: len(found)] and len(found) >= len(replay) - 8
    assert replay == expected(thermals, rgbs, 1000.0)


def test_live_frames_do_not_wait_for_the_end_of_a_pause():
    thermals, rgbs = frames(*range(0, 1000, 100)), frames(*range(0, 3000, 33))
    pairer = pairer_of(600.0)
    last = 0
    for name, frame in in_time_order(thermals, rgbs):
        for pair in feed(pairer, [(name, frame)]):
            last = pair.rgb.stamp_ns / MS
        if frame.stamp_ns / MS > 700 and name == "rgb" and last < 1450:
            assert frame.stamp_ns / MS - last <= 300
    assert 1450 <= last <= 1500 and pairer.drops["rgb_no_partner"] > 0


def test_a_looped_bag_starts_over():
    thermals, rgbs = regular(9, 3), regular(30, 3, 4.0)
    lap = in_time_order(thermals, rgbs)
    pairer = pairer_of()
    found = stamps_ms(run(lap + lap + lap, pairer))
    assert len(found) >= 3 * len(rgbs) - 8 and set(found) == set(expected(thermals, rgbs))


def test_a_long_recording_of_one_camera_keeps_what_was_held():
    """RGB frames that wait in vain in a replay get what they would have got live."""
    image = np.zeros((1024, 1024), np.uint8)

    class Large:
        def __init__(self, stamp_ns):
            self.stamp_ns, self.image = stamp_ns, image

    arrivals = [("thermal", Large(stamp * 100 * MS)) for stamp in range(5)]
    arrivals += [("rgb", Large(stamp * 33 * MS)) for stamp in range(700)]
    pairer = pairer_of(1000.0, READ_AHEAD)
    pairs = feed(pairer, arrivals)
    assert len(pairs) >= (400 + 1000) // 33 and pairer.drops["rgb_overflow"] == 0
