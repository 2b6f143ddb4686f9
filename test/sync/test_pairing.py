from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ivfusion_ros.config.pipeline import PairingConfig
from ivfusion_ros.sync.pairing import Pairer

MS = 1_000_000
SECOND = 1000 * MS


@dataclass(frozen=True, eq=False)
class Stamped:
    """The only thing that pairing may look at."""

    stamp_ns: int


def frames(*stamps_ms):
    return [Stamped(round(stamp * MS)) for stamp in stamps_ms]


def feed(pairer, arrivals):
    """Arrivals are (camera, frame); returns the pairs."""
    return [pair for camera, frame in arrivals for pair in pairer.add(camera, frame)]


def in_time_order(thermals, rgbs, thermal_delay_ms=0):
    arrivals = [("thermal", frame, frame.stamp_ns + thermal_delay_ms * MS) for frame in thermals]
    arrivals += [("rgb", frame, frame.stamp_ns) for frame in rgbs]
    return [arrival[:2] for arrival in sorted(arrivals, key=lambda arrival: arrival[2])]


def run(arrivals, config=None):
    pairer = Pairer(config or PairingConfig())
    return pairer, feed(pairer, arrivals) + pairer.flush()


def stamps_ms(pairs):
    return [(pair.thermal.stamp_ns / MS, pair.rgb.stamp_ns / MS) for pair in pairs]


def regular(rate_hz, seconds, phase_ms=0.0, jitter=0.0, seed=0):
    """Frames of a camera; jitter is the largest shift of a stamp in periods."""
    count = int(rate_hz * seconds)
    shifts = np.random.default_rng(seed).uniform(-jitter, jitter, count)
    return frames(*(phase_ms + (np.arange(count) + shifts) * 1000 / rate_hz))


def most_pairs(thermals, rgbs, max_skew_ns):
    """The largest number of pairs within the limit of which none crosses another, by trying all of them."""
    above = [0] * (len(rgbs) + 1)
    for thermal in thermals:
        row = [0]
        for place, rgb in enumerate(rgbs):
            fits = abs(thermal.stamp_ns - rgb.stamp_ns) <= max_skew_ns
            row.append(max(above[place + 1], row[place], above[place] + fits))
        above = row
    return above[-1]


def closest_first(thermals, rgbs, max_skew_ns):
    """How many pairs there are if the nearest frames are taken first, then the next that cross no pair."""
    candidates = sorted(
        (abs(thermal.stamp_ns - rgb.stamp_ns), i, j)
        for i, thermal in enumerate(thermals)
        for j, rgb in enumerate(rgbs)
        if abs(thermal.stamp_ns - rgb.stamp_ns) <= max_skew_ns
    )
    chosen = []
    for _, i, j in candidates:
        if all((i - m) * (j - n) > 0 for m, n in chosen):
            chosen.append((i, j))
    return len(chosen)


def neighbours_both_dropped(thermals, rgbs, pairs, max_skew_ns):
    """Pairs of frames next to each other in time, within the limit, of which neither was used."""
    used = {id(frame) for pair in pairs for frame in (pair.thermal, pair.rgb)}
    both = [(t.stamp_ns, 0, t) for t in thermals] + [(r.stamp_ns, 1, r) for r in rgbs]
    ordered = sorted(both, key=lambda item: item[:2])
    return [
        (first[0], second[0])
        for first, second in pairwise(ordered)
        if first[1] != second[1]
        and second[0] - first[0] <= max_skew_ns
        and id(first[2]) not in used
        and id(second[2]) not in used
    ]


def drop_every(items, every):
    return items if every == 0 else [item for number, item in enumerate(items) if number % every != 3]


@st.composite
def camera(draw):
    rate = draw(st.sampled_from([7.5, 9, 15, 25, 29.97, 30, 60]))
    items = regular(
        rate,
        seconds=draw(st.floats(0.1, 2.0)),
        phase_ms=draw(st.floats(0, 200)),
        jitter=draw(st.sampled_from([0.0, 0.01, 0.05])),
        seed=draw(st.integers(0, 99)),
    )
    return drop_every(items, draw(st.sampled_from([0, 4, 7])))


@settings(max_examples=60, deadline=None)
@given(thermals=camera(), rgbs=camera(), max_skew_ms=st.sampled_from([0.0, 5.0, 25.0]))
def test_real_streams_lose_few_pairs(thermals, rgbs, max_skew_ms):
    _, pairs = run(in_time_order(thermals, rgbs), PairingConfig(max_skew_ms=max_skew_ms, queue_size=1000))
    limit_ns = round(max_skew_ms * MS)
    assert not neighbours_both_dropped(thermals, rgbs, pairs, limit_ns)
    assert all(abs(pair.skew_ns) <= limit_ns for pair in pairs)
    # Choosing the nearer of two may cost a pair at the start and after each hole that was cut in.
    assert len(pairs) >= 0.9 * most_pairs(thermals, rgbs, limit_ns) - 1


@settings(max_examples=200, deadline=None)
@given(*[st.sets(st.integers(0, 90), max_size=4)] * 2)
def test_any_few_stamps_pair_at_least_as_often_as_closest_first(thermals, rgbs):
    thermals, rgbs = frames(*sorted(thermals)), frames(*sorted(rgbs))
    _, pairs = run(in_time_order(thermals, rgbs))
    assert len(pairs) >= closest_first(thermals, rgbs, 25 * MS)
    assert not neighbours_both_dropped(thermals, rgbs, pairs, 25 * MS)


@pytest.mark.parametrize("jitter_ms", [0, 0.5, 1, 2])
@pytest.mark.parametrize("phase", [0, 0.2, 0.4, 0.45, 0.49, 0.5, 0.51, 0.55, 0.6, 0.8])
def test_no_phase_and_no_jitter_costs_more_than_two_percent(phase, jitter_ms):
    thermals = regular(30, 10, jitter=jitter_ms * 0.03, seed=1)
    rgbs = regular(30, 10, phase * 1000 / 30, jitter=jitter_ms * 0.03, seed=2)
    _, pairs = run(in_time_order(thermals, rgbs))
    assert len(pairs) >= 0.98 * most_pairs(thermals, rgbs, 25 * MS)
    assert len(pairs) >= closest_first(thermals, rgbs, 25 * MS)
    assert not neighbours_both_dropped(thermals, rgbs, pairs, 25 * MS)


@pytest.mark.parametrize("max_skew_ms", [25.0, 80.0])
@pytest.mark.parametrize("rates", [(25, 30), (30, 25), (9, 30), (30, 10), (15, 60)])
def test_each_frame_of_the_slower_camera_gets_the_nearest_of_the_faster(rates, max_skew_ms):
    thermals, rgbs = regular(rates[0], 4, jitter=0.01), regular(rates[1], 4, 3, jitter=0.01, seed=1)
    _, pairs = run(in_time_order(thermals, rgbs), PairingConfig(max_skew_ms=max_skew_ms))
    slower, faster = ("thermal", "rgb") if rates[0] < rates[1] else ("rgb", "thermal")
    choices = np.array([frame.stamp_ns for frame in (rgbs if faster == "rgb" else thermals)])
    assert len(pairs) == 4 * min(rates)
    for pair in pairs[5:-1]:
        nearest = choices[np.abs(choices - getattr(pair, slower).stamp_ns).argmin()]
        assert getattr(pair, faster).stamp_ns == nearest


def test_a_nearer_partner_is_worth_a_pair_once_it_is_nearer_by_three_periods_in_all():
    """The thermal clock is set forward by 8 ms: from then on the next RGB frame is nearer by 6 of 30 ms."""
    thermals = regular(100 / 3, 1.8, phase_ms=10)[:30] + regular(100 / 3, 1.8, phase_ms=18)[30:]
    rgbs = regular(100 / 3, 1.8)
    pairer, pairs = run(in_time_order(thermals, rgbs))
    skews = [pair.skew_ns for pair in pairs]
    # 15 times 6 ms are the price, 90 ms; the 16th time is above it.
    assert skews == [10 * MS] * 30 + [18 * MS] * 15 + [-12 * MS] * 14
    assert pairer.drops == {"rgb_no_partner": 1, "thermal_no_partner": 1}


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
