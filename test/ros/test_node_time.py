"""Cameras that are late, early, jittered, stopped or looped; slow networks; simulated time."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import Any

import harness
import numpy as np
import pytest

from ivfusion_ros.config import PairingConfig
from ivfusion_ros.pairing import Pairer
from ivfusion_ros.types import Frame

SIZE = (16, 24)
PERIOD_NS = 33_333_333


def rgb(stamp_ns: int) -> Any:
    return harness.image(np.full((*SIZE, 3), 50, np.uint8), "rgb8", stamp_ns, "rgb_optical_frame")


def thermal(stamp_ns: int) -> Any:
    return harness.image(np.full(SIZE, 150, np.uint8), "mono8", stamp_ns, "thermal_optical_frame")


@pytest.fixture
def node(probe: Any, blend_model: Path) -> Any:
    return probe.start_active(fusion__model=str(blend_model))


@pytest.fixture
def cameras(probe: Any, node: Any) -> Any:
    """Primed: both sides know each other."""
    cameras = harness.Cameras(probe)
    cameras.send(rgb(0), thermal(0))
    return cameras


def send(cameras: Any, camera: str, stamp_ns: int, pause_s: float = 0.02) -> None:
    """Publish, slowly enough that every pair is processed."""
    if camera == "rgb":
        cameras.rgb.publish(rgb(stamp_ns))
    else:
        cameras.thermal.publish(thermal(stamp_ns))
    time.sleep(pause_s)


def expected_pairs(arrivals: list[tuple[str, int]]) -> list[list[int]]:
    """RGB stamps of the pairs that the core makes at each arrival that completes any."""
    pairer, found = Pairer(PairingConfig()), []
    for camera, stamp_ns in arrivals:
        frame = Frame(np.zeros(SIZE, np.uint8), stamp_ns)
        pairs = pairer.add_rgb(frame) if camera == "rgb" else pairer.add_thermal(frame)
        found.append([pair.rgb.stamp_ns for pair in pairs])
    return [stamps for stamps in found if stamps]


@pytest.mark.parametrize("delays_ms", [{"rgb": 5, "thermal": 60}, {"rgb": 80, "thermal": 0}])
def test_jittered_late_and_missing_frames_pair_as_in_a_replay(
    cameras: Any, delays_ms: dict[str, int]
) -> None:
    random = np.random.default_rng(3)
    start_ns = cameras.now_ns + 10**9
    arrivals: list[tuple[int, str, int]] = []
    for index in range(60):
        moment = start_ns + index * PERIOD_NS
        for camera, delay in delays_ms.items():
            if random.random() < 0.08:
                continue
            stamp = moment + int(random.normal(0, 2e6))
            arrivals.append((stamp + delay * harness.MS, camera, stamp))
    arrivals.sort()
    sequence = [(camera, stamp) for _, camera, stamp in arrivals]
    # The period that the pairer knows from priming is another one, so the first pairs may differ.
    before = [("rgb", cameras.now_ns), ("thermal", cameras.now_ns)]
    bursts = expected_pairs(before + sequence)[15:]
    for camera, stamp in sequence:
        send(cameras, camera, stamp)
    wanted = {burst[-1] for burst in bursts}
    harness.wait_until(lambda: harness.stamp_of(cameras.fused.messages[-1]) == max(wanted), "the last pair")
    stamps = [harness.stamp_of(item) for item in cameras.fused.messages]
    assert stamps == sorted(set(stamps))
    assert {stamp for stamp in stamps if stamp >= min(wanted)} <= {
        stamp for burst in bursts for stamp in burst
    }
    # Of pairs that are completed at once the newest counts; a busy machine may miss others.
    assert len(wanted) > 25 and len(wanted - {*stamps}) <= 3


def test_a_looped_bag_goes_on_pairing(cameras: Any, probe: Any) -> None:
    start_ns = cameras.now_ns + 10**9
    lap = [start_ns + index * PERIOD_NS for index in range(30)]
    for _ in range(3):
        count = len(cameras.fused.messages)
        for stamp in lap:
            send(cameras, "rgb", stamp)
            send(cameras, "thermal", stamp + 2 * harness.MS)
        stamps = {harness.stamp_of(item) for item in cameras.fused.wait(count + 20)[count:]}
        assert stamps <= {*lap} and len(stamps) >= 20


@pytest.mark.parametrize("stopped", ["thermal", "rgb"])
def test_a_silent_camera_is_announced_and_replaced_until_it_returns(
    probe: Any, node: Any, cameras: Any, stopped: str
) -> None:
    statuses = probe.listen(harness.DiagnosticStatus, "/fusion_node/status")
    diagnostics = harness.Diagnostics(probe)
    goes_on = "rgb" if stopped == "thermal" else "thermal"
    mode = f"{goes_on}_only"
    stamp = cameras.now_ns
    for _ in range(60):
        stamp += PERIOD_NS
        send(cameras, goes_on, stamp)
    single = statuses.wait_for(lambda item: item.message == mode, f"mode {mode}")
    assert harness.status_values(single)["level"] == "WARN"
    statuses.wait_for(lambda item: f"{stopped} camera is silent" in item.message, "the announcement")
    node.wait_for_log(f"the {stopped} camera is silent for more than 1 s: mode {mode}")
    diagnostics.wait("cameras", lambda values: values["level"] == "WARN")
    values = diagnostics.wait(
        "fusion", lambda values: mode in values["message"] or "no" in values["message"]
    )
    assert values["level"] == "WARN"
    last = cameras.fused.messages[-1]
    assert last.header.frame_id == "rgb_optical_frame" and last.data[0] == (50 if goes_on == "rgb" else 150)
    for _ in range(20):
        stamp += PERIOD_NS
        send(cameras, "rgb", stamp)
        send(cameras, "thermal", stamp)
    node.wait_for_log("both cameras send: mode fused")
    harness.wait_until(lambda: statuses.messages[-1].message == "fused", "mode fused")
    assert cameras.fused.messages[-1].data[0] == 100
    stamps = [harness.stamp_of(item) for item in cameras.fused.messages]
    assert stamps == sorted(set(stamps))


def test_silence_may_be_the_answer_to_silence(probe: Any, node: Any, cameras: Any) -> None:
    assert probe.set(node__when_silent="silence", node__silent_after_s=0.5) == ""
    time.sleep(0.3)
    count, stamp = len(cameras.fused.messages), cameras.now_ns
    for _ in range(40):
        stamp += PERIOD_NS
        send(cameras, "rgb", stamp)
    node.wait_for_log("the thermal camera is silent for more than 0.5 s: mode silence")
    assert len(cameras.fused.messages) == count


def test_simulated_time(probe: Any, blend_model: Path) -> None:
    node = probe.start_active(fusion__model=str(blend_model), use_sim_time=True)
    diagnostics = harness.Diagnostics(probe)
    diagnostics.wait("fusion", lambda values: "nothing comes on /clock" in values["clock"])
    cameras = harness.Cameras(probe)
    clock = probe.publisher(harness.Clock, "/clock")
    statuses = probe.listen(harness.DiagnosticStatus, "/fusion_node/status")

    def set_clock(now_ns: int) -> None:
        clock.publish(harness.Clock(clock=harness.Time(sec=now_ns // 10**9, nanosec=now_ns % 10**9)))

    def hears_the_clock(values: dict[str, str]) -> bool:
        set_clock(999 * 10**9)
        return values["clock"].startswith("simulated, 999")

    def is_young_and_of(start_s: int, status: Any) -> bool:
        values = harness.status_values(status)
        return values.get("stamp", "").startswith(str(start_s)) and 0 < float(values["age_ms"]) < 340

    diagnostics.wait("fusion", hears_the_clock)
    for start_s in (1000, 1003, 500):
        for index in range(10):
            cameras.now_ns = start_s * 10**9 + index * 100 * harness.MS
            set_clock(cameras.now_ns + 140 * harness.MS)
            time.sleep(0.02)
            cameras.rgb.publish(rgb(cameras.now_ns))
            cameras.thermal.publish(thermal(cameras.now_ns))
            time.sleep(0.02)
        statuses.wait_for(partial(is_young_and_of, start_s), f"a pair of {start_s} s")
    diagnostics.wait("fusion", lambda values: values["clock"].startswith("simulated, 501"))
    assert node.stop()[0] == 0


def test_a_slow_network_gets_the_newest_pair_and_the_rest_is_counted(probe: Any, blend_model: Path) -> None:
    probe.start_active(
        fusion__model=str(blend_model),
        program="sleeping_node.py",
        fusion__backend="sleeping",
        env={"SLEEP_S": "0.06"},
    )
    cameras, diagnostics = harness.Cameras(probe), harness.Diagnostics(probe)
    cameras.send(rgb(0), thermal(0))
    count = len(cameras.fused.messages)
    begin_s, begin_ns = time.monotonic(), cameras.now_ns + 10**9
    for index in range(240):
        due_s = begin_s + index * PERIOD_NS / 1e9
        time.sleep(max(0.0, due_s - time.monotonic()))
        stamp = begin_ns + index * PERIOD_NS
        cameras.rgb.publish(rgb(stamp))
        cameras.thermal.publish(thermal(stamp))
    time.sleep(0.5)
    outputs = list(zip(cameras.fused.messages[count:], cameras.fused.times_s[count:], strict=True))
    ages = [at_s - begin_s - (harness.stamp_of(item) - begin_ns) / 1e9 for item, at_s in outputs]
    assert 60 < len(outputs) < 200
    # Were pairs queued, the last would be seconds old: 240 of 60 ms take 14 s, and 8 s are played.
    assert np.median(ages) < 0.5 and np.median(ages[-20:]) < 0.5
    values = diagnostics.wait("fusion", lambda values: int(values.get("dropped: superseded", 0)) > 20)
    assert values["message"] == "fused"


@pytest.mark.parametrize("end", ["/rgb/image_raw.subscription", "/fused/image_raw.publisher"])
def test_a_qos_override_that_cannot_be_is_named(probe: Any, blend_model: Path, end: str) -> None:
    node = probe.start(
        fusion__model=str(blend_model),
        node__autostart=True,
        **{f"qos_overrides.{end}.reliability": "besteffort"},
    )
    node.wait_for_log(f"qos_overrides of {end.partition('.')[0]}")
    assert "besteffort" in node.log() and "Traceback" not in node.log()
    assert probe.state() == ("inactive" if "subscription" in end else "unconfigured")
    assert node.stop()[0] == 0


def test_unmatched_qos_is_logged_with_its_mend(probe: Any, blend_model: Path) -> None:
    node = probe.start(
        fusion__model=str(blend_model),
        node__autostart=True,
        **{"qos_overrides./rgb/image_raw.subscription.reliability": "reliable"},
    )
    node.wait_for_log("active, listening")
    best_effort = harness.profile(5, reliable=False)
    publisher = probe.node.create_publisher(harness.Image, "/rgb/image_raw", best_effort)
    node.wait_for_log("qos_overrides./rgb/image_raw.subscription.reliability")
    assert "best_effort" in node.log() and publisher.get_subscription_count() == 0


def test_diagnostics_tell_why_nothing_pairs(probe: Any, node: Any, cameras: Any) -> None:
    diagnostics = harness.Diagnostics(probe)
    stamp = cameras.now_ns + 10**9

    def apart(values: dict[str, str]) -> bool:
        nonlocal stamp
        stamp += PERIOD_NS
        send(cameras, "rgb", stamp)
        send(cameras, "thermal", stamp + 10_000 * harness.MS)
        return "pairing.thermal_time_offset_ms" in values["message"]

    values = diagnostics.wait("cameras", apart)
    assert values["level"] == "WARN" and int(values["dropped: rgb_no_partner"]) > 0
    diagnostics.wait("cameras", lambda values: "/rgb/image_raw (1 publishers)" in values["message"])


def test_rates_are_taken_over_the_last_seconds_and_survive_new_counters() -> None:
    from ivfusion_ros.ros.diagnostics import Rates

    rates = Rates()
    assert rates.update(0.0, {"rgb": 100}) == {"rgb": 0.0}
    assert rates.update(1.0, {"rgb": 130}) == {"rgb": 30.0}
    found = [
        rates.update(float(second), {"rgb": 130 + 10 * (second - 1)})["rgb"] for second in range(2, 20)
    ]
    assert found[-1] == pytest.approx(10.0) and found == sorted(found, reverse=True)
    assert rates.update(20.0, {"rgb": 3}) == {"rgb": 0.0}
    assert rates.update(21.0, {"rgb": 8}) == {"rgb": 5.0}
