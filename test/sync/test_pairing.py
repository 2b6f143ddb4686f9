from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pairing_samples import MS, Stamped, feed, frames, in_time_order, regular, run, stamps_ms

from ivfusion_ros.config.pipeline import PairingConfig
from ivfusion_ros.sync.pairing import Pairer, Patience
from ivfusion_ros.types import Frame

SECOND = 1000 * MS


@st.composite
def troubled_camera(draw):
    """Irregular stamps with holes, disorder, duplicates, late frames and jumps, in order of arrival."""
    gaps = draw(st.lists(st.sampled_from([1, 20, 33, 40, 40, 40, 41, 80, 200, 900]), max_size=25))
    stamps = list(np.cumsum([draw(st.integers(-50, 50)), *gaps]))
    for _ in range(draw(st.integers(0, 5))):
        at = draw(st.integers(0, len(stamps) - 1))
        trouble = draw(st.sampled_from(["swap", "copy", "late", "loop", "future"]))
        if trouble == "swap":
            stamps[at : at + 2] = stamps[at : at + 2][::-1]
        elif trouble == "copy":
            stamps.insert(draw(st.integers(0, len(stamps))), stamps[at])
        elif trouble == "late":
            stamps.append(stamps.pop(at))
        elif trouble == "loop":
            stamps = stamps + stamps[at:]
        else:
            stamps[at] += 3_600_000
    return frames(*stamps)


@st.composite
def interleaving(draw, thermals, rgbs):
    """The cameras' arrivals, each in its own order, mixed at random or one camera after the other."""
    order = ["thermal"] * len(thermals) + ["rgb"] * len(rgbs)
    order = draw(st.one_of(st.permutations(order), st.just(order), st.just(order[::-1])))
    sources = {"thermal": iter(thermals), "rgb": iter(rgbs)}
    return [(name, next(sources[name])) for name in order]


@settings(max_examples=300, deadline=None)
@given(data=st.data(), thermals=troubled_camera(), rgbs=troubled_camera())
def test_interleaving_changes_nothing(data, thermals, rgbs):
    config = PairingConfig(queue_size=1000, thermal_time_offset_ms=7.0)
    outcomes = []
    for _ in range(3):
        pairer, pairs = run(data.draw(interleaving(thermals, rgbs)), config)
        ids = [(id(pair.thermal), id(pair.rgb), pair.skew_ns) for pair in pairs]
        outcomes.append((ids, pairer.drops, pairer.restarts))
    assert outcomes[0] == outcomes[1] == outcomes[2]


@settings(max_examples=200, deadline=None)
@given(data=st.data(), thermals=troubled_camera(), rgbs=troubled_camera(), queue_size=st.integers(1, 40))
def test_what_holds_for_any_input(data, thermals, rgbs, queue_size):
    config = PairingConfig(queue_size=queue_size, thermal_time_offset_ms=-3.0)
    pairer = Pairer(config)
    added = {"thermal": 0, "rgb": 0}
    pairs = []
    for name, frame in data.draw(interleaving(thermals, rgbs)):
        pairs += feed(pairer, [(name, frame)])
        added[name] += 1
        assert max(pairer.pending) <= queue_size
        assert_all_accounted_for(pairer, added)
    pairs += pairer.flush()
    assert pairer.pending == (0, 0)
    assert_all_accounted_for(pairer, added)
    assert pairer.pairs == len(pairs)
    for side in ("thermal", "rgb"):
        used = [id(getattr(pair, side)) for pair in pairs]
        assert len(used) == len(set(used))
    for pair in pairs:
        assert pair.skew_ns == pair.thermal.stamp_ns - 3 * MS - pair.rgb.stamp_ns
        assert abs(pair.skew_ns) <= 25 * MS
    backward = sum(b.rgb.stamp_ns <= a.rgb.stamp_ns for a, b in pairwise(pairs))
    assert backward <= pairer.restarts


def assert_all_accounted_for(pairer, added):
    for name, pending in zip(("thermal", "rgb"), pairer.pending, strict=True):
        dropped = sum(count for key, count in pairer.drops.items() if key.startswith(f"{name}_"))
        assert pairer.pairs + dropped + pending == added[name]


def test_equal_stamps_go_out_at_once_from_the_first_frame_on():
    pairer = Pairer(PairingConfig())
    for stamp in (0, 40, 80):
        assert pairer.add("thermal", Stamped(stamp * MS)) == []
        assert stamps_ms(pairer.add("rgb", Stamped(stamp * MS))) == [(stamp, stamp)]


@pytest.mark.parametrize("lag_ms", [-14, -3, 3, 14])
def test_a_known_rate_lets_near_frames_go_out_at_once(lag_ms):
    pairer = Pairer(PairingConfig())
    thermals, rgbs = regular(25, 1), regular(25, 1, phase_ms=lag_ms)
    waiting = []
    for arrival in in_time_order(thermals, rgbs):
        feed(pairer, [arrival])
        waiting.append(sum(pairer.pending))
    assert max(waiting[10:]) == 1


@pytest.mark.parametrize("phase_ms", [2, 9, 16, 19.9, 27, 38])
@pytest.mark.parametrize("rates", [(25, 30), (30, 25), (9, 30), (25, 25)])
def test_a_pair_waits_for_at_most_the_next_frame(rates, phase_ms):
    thermals = regular(rates[0], 3, jitter=0.02, seed=1)
    rgbs = regular(rates[1], 3, phase_ms, jitter=0.02, seed=2)
    pairer = Pairer(PairingConfig())
    following = {"thermal": dict(pairwise(thermals))}
    following["rgb"] = dict(pairwise(rgbs))
    for name, frame in in_time_order(thermals, rgbs):
        for pair in feed(pairer, [(name, frame)]):
            earlier = "thermal" if pair.skew_ns < 0 else "rgb"
            # Before the periods are known, the other camera's next frame may have to be seen too.
            awaited = (earlier,) if pairer.pairs > 4 else ("thermal", "rgb")
            awaited_frames = [following[camera].get(getattr(pair, camera), frame) for camera in awaited]
            latest = max(item.stamp_ns for item in (pair.thermal, pair.rgb, *awaited_frames))
            assert frame.stamp_ns <= latest
    assert pairer.pairs > 0


def test_the_nearest_frame_wins_over_the_first_in_reach():
    _, pairs = run(in_time_order(frames(0, 20), frames(18, 60)))
    assert stamps_ms(pairs) == [(20, 18)]


def test_different_rates():
    pairer, pairs = run(in_time_order(regular(10, 2), regular(30, 2, phase_ms=4)))
    assert [pair.thermal.stamp_ns for pair in pairs] == [n * 100 * MS for n in range(20)]
    assert {pair.skew_ns for pair in pairs} == {-4 * MS}
    assert pairer.drops == {"rgb_no_partner": 40}


def test_delay_of_a_camera_does_not_matter():
    thermals, rgbs = regular(25, 4, jitter=0.04), regular(30, 4, 11, jitter=0.04, seed=5)
    prompt = run(in_time_order(thermals, rgbs))[1]
    delayed = run(in_time_order(thermals, rgbs, thermal_delay_ms=400))[1]
    assert len(prompt) > 70
    assert stamps_ms(prompt) == stamps_ms(delayed)


def test_offset_between_clocks():
    thermals, rgbs = regular(25, 1, phase_ms=1000), regular(25, 1)
    config = PairingConfig(thermal_time_offset_ms=-1000.0)
    pairer, pairs = run(in_time_order(thermals, rgbs), config)
    assert pairer.pairs == 25 and {pair.skew_ns for pair in pairs} == {0}
    assert run(in_time_order(thermals, rgbs))[0].pairs == 0


def test_skew_limit_is_inclusive():
    assert run(in_time_order(frames(0), frames(25)))[0].pairs == 1
    pairer, pairs = run([("thermal", Stamped(0)), ("rgb", Stamped(25 * MS + 1))])
    assert pairs == []
    assert pairer.drops == {"thermal_no_partner": 1, "rgb_no_partner": 1}


def test_duplicates_are_dropped():
    arrivals = [("thermal", frame) for frame in frames(0, 40, 40, 0)]
    arrivals += [("rgb", frame) for frame in frames(0, 0, 40)]
    pairer, pairs = run(arrivals)
    assert stamps_ms(pairs) == [(0, 0), (40, 40)]
    assert pairer.drops == {"thermal_duplicate": 2, "rgb_duplicate": 1}


@pytest.mark.parametrize("order", ["thermal first", "rgb first", "by time"])
def test_a_frame_that_was_overtaken_is_put_in_its_place(order):
    thermals = frames(0, 40, 80, 120, 160, 240, 200, 280)
    rgbs = frames(*range(0, 320, 40))
    first, second = [("thermal", frame) for frame in thermals], [("rgb", frame) for frame in rgbs]
    arrivals = {
        "thermal first": first + second,
        "rgb first": second + first,
        "by time": [item for both in zip(first, second, strict=True) for item in both],
    }[order]
    pairer, pairs = run(arrivals)
    assert stamps_ms(pairs) == [(stamp, stamp) for stamp in range(0, 320, 40)]
    assert not pairer.drops


def test_a_late_frame_is_dropped():
    thermals = frames(0, 40, 80, 120, 160, 60, 200)
    pairer, pairs = run([("thermal", f) for f in thermals] + [("rgb", f) for f in frames(60, 200)])
    assert (60, 60) not in stamps_ms(pairs)
    assert pairer.drops["thermal_late"] == 1


def test_queue_is_bounded_and_drops_the_oldest():
    pairer = Pairer(PairingConfig(queue_size=5))
    feed(pairer, [("thermal", frame) for frame in regular(25, 4)])
    assert pairer.pending == (5, 0)
    assert pairer.drops == {"thermal_overflow": 95}
    assert stamps_ms(pairer.add("rgb", Stamped(3920 * MS))) == [(3920, 3920)]


def test_a_recording_is_read_ahead_by_time_and_size():
    images = [Frame(np.zeros((10, 10), np.uint8), frame.stamp_ns) for frame in regular(25, 4)]
    thermals = [Frame(image.image, image.stamp_ns) for image in images]
    late = [("thermal", frame) for frame in thermals] + [("rgb", frame) for frame in images]
    for patience, dropped in (
        (Patience(4 * 10**9, 10**6), 0),
        (Patience(2 * 10**9, 10**6), 49),
        (Patience(4 * 10**9, 6000), 40),
        (None, 95),
    ):
        pairer = Pairer(PairingConfig(queue_size=5), patience)
        pairs = feed(pairer, late)
        assert pairer.drops["thermal_overflow"] == dropped
        assert len(pairs) + len(pairer.flush()) == 100 - dropped


def test_a_looped_bag_pairs_in_every_loop():
    thermals, rgbs = regular(25, 2), regular(30, 2, phase_ms=3)
    once = in_time_order(thermals, rgbs)
    pairer, pairs = run(once * 12, PairingConfig(queue_size=6))
    first_loop = stamps_ms(run(once)[1])
    assert len(first_loop) > 40
    assert pairer.restarts == 22
    found = stamps_ms(pairs)
    assert [found.count(expected) for expected in first_loop[2:-2]] == [12] * (len(first_loop) - 4)
    assert not pairer.drops["thermal_overflow"] and not pairer.drops["rgb_overflow"]


def test_a_frame_held_at_the_end_of_a_loop_is_not_lost():
    stamps = [*range(0, 720, 40), 800]
    pairer, pairs = run(in_time_order(frames(*stamps), frames(*stamps)) * 2)
    assert stamps_ms(pairs) == [(stamp, stamp) for stamp in stamps] * 2
    assert not pairer.drops


def test_a_loop_over_cameras_that_end_at_different_times():
    once = in_time_order(regular(25, 2), regular(25, 6))
    pairer, pairs = run(once * 4)
    assert len(pairs) == 4 * 50
    assert pairer.restarts == 6


def test_frames_from_before_a_restart_are_counted():
    pairer = Pairer(PairingConfig())
    feed(pairer, [("rgb", frame) for frame in frames(9900, 9933, 9966, 10000)])
    feed(pairer, [("thermal", frame) for frame in frames(9000, 0, 40)])
    assert pairer.restarts == 1
    assert pairer.drops == {"thermal_no_partner": 1, "rgb_reset": 4}
    assert stamps_ms(feed(pairer, [("rgb", frame) for frame in frames(0, 40)])) == [(0, 0), (40, 40)]


def test_small_steps_back_are_no_restart():
    pairer, _ = run([("rgb", frame) for frame in frames(0, 400, 800, 301)])
    assert pairer.restarts == 0 and pairer.drops["rgb_late"] == 1


@pytest.mark.parametrize("outlier_ms", [-3_600_000, 3_600_000])
def test_a_single_wrong_stamp_costs_one_frame(outlier_ms):
    thermals, rgbs = regular(25, 4), regular(25, 4)
    thermals[50] = Stamped(thermals[50].stamp_ns + outlier_ms * MS)
    arrivals = [
        item
        for thermal, rgb in zip(thermals, rgbs, strict=True)
        for item in (("thermal", thermal), ("rgb", rgb))
    ]
    pairer, pairs = run(arrivals)
    assert len(pairs) == 99
    assert pairer.restarts == 0


@pytest.mark.parametrize("wrong_ms", [2_000, 3_600_000])
def test_a_clock_that_was_ahead_and_is_set_right_pairs_again(wrong_ms):
    ahead = [Stamped(frame.stamp_ns + wrong_ms * MS) for frame in regular(25, 4)]
    right, rgbs = regular(25, 8)[100:], regular(30, 8, phase_ms=2)
    by_arrival = [("thermal", frame, n * 40) for n, frame in enumerate(ahead + right)]
    by_arrival += [("rgb", frame, frame.stamp_ns / MS) for frame in rgbs]
    pairer, pairs = run([item[:2] for item in sorted(by_arrival, key=lambda item: item[2])])
    assert pairer.restarts == 1
    # A second to push out what waited, a second to see that RGB does not restart, then every frame.
    assert {frame.stamp_ns for frame in right[60:]} <= {pair.thermal.stamp_ns for pair in pairs}


def test_a_gap_forward_just_flows():
    thermals = regular(25, 1) + regular(25, 1, phase_ms=60_000)
    rgbs = regular(25, 1, 1) + regular(25, 1, phase_ms=60_001)
    pairer, pairs = run(in_time_order(thermals, rgbs))
    assert len(pairs) == 50 and pairer.restarts == 0


def test_reset_drops_what_waits_and_starts_afresh():
    pairer = Pairer(PairingConfig())
    feed(pairer, [("thermal", frame) for frame in frames(1000, 1040)])
    pairer.reset()
    assert pairer.pending == (0, 0) and pairer.drops == {"thermal_reset": 2}
    assert stamps_ms(feed(pairer, in_time_order(frames(0), frames(0)))) == [(0, 0)]
    assert pairer.restarts == 0


def test_live_change_of_parameters():
    pairer = Pairer(PairingConfig(max_skew_ms=5.0))
    thermals, rgbs = regular(25, 2), regular(25, 2, phase_ms=10)
    arrivals = in_time_order(thermals, rgbs)
    assert feed(pairer, arrivals[:50]) == []
    pairer.set_config(PairingConfig(max_skew_ms=12.0))
    assert {pair.skew_ns for pair in feed(pairer, arrivals[50:])} == {-10 * MS}
    assert pairer.pairs >= 24


@pytest.mark.parametrize("base", [-(2**63), 2**63 - 1 - 400 * MS, 1_700_000_000 * SECOND])
def test_any_int64_stamp(base):
    config = replace(PairingConfig(), thermal_time_offset_ms=-10_000.0)
    pairer = Pairer(config)
    pairs = []
    for number in range(10):
        stamp = np.int64(base + number * 40 * MS)
        pairs += pairer.add("rgb", Stamped(stamp))
        pairs += pairer.add("thermal", Stamped(stamp))
    assert pairs == []
    pairer.set_config(PairingConfig())
    pairer.reset()
    for number in range(10):
        stamp = np.int64(base + number * 40 * MS)
        pairs += pairer.add("rgb", Stamped(stamp)) + pairer.add("thermal", Stamped(stamp))
    assert len(pairs) == 10
    assert all(type(pair.skew_ns) is int and pair.skew_ns == 0 for pair in pairs)
