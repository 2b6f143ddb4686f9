"""Cameras that are late, early, jittered, stopped or looped; slow networks; simulated time."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any

import harness
import numpy as np
import pytest

from ivfusion_ros.config.pipeline import PairingConfig
from ivfusion_ros.sync.pairing import Pairer
from ivfusion_ros.types import CameraName, Frame

if TYPE_CHECKING:
    from pathlib import Path

SIZE = (16, 24)
PERIOD_NS = 33_333_333
RELIABLE = {
    f"qos_overrides./{camera}/image_raw.subscription.{policy}": value
    for camera in ("rgb", "thermal")
    for policy, value in (("reliability", "reliable"), ("depth", 100))
}
"""So that a busy machine loses no frame, as other frames make other pairs."""


def rgb(stamp_ns: int) -> Any:
    return harness.image(np.full((*SIZE, 3), 50, np.uint8), "rgb8", stamp_ns, "rgb_optical_frame")


def thermal(stamp_ns: int) -> Any:
    return harness.image(np.full(SIZE, 150, np.uint8), "mono8", stamp_ns, "thermal_optical_frame")


@pytest.fixture
def node(probe: Any, blend_model: Path) -> Any:
    return probe.start_active(fusion__model=str(blend_model), **RELIABLE)


@pytest.fixture
def cameras(probe: Any, node: Any) -> Any:
    """Primed: both sides know each other."""
    cameras = harness.Cameras(probe)
    cameras.send(rgb(0), thermal(0))
    return cameras


def publish(cameras: Any, camera: str, stamp_ns: int) -> None:
    if camera == "rgb":
        cameras.rgb.publish(rgb(stamp_ns))
    else:
        cameras.thermal.publish(thermal(stamp_ns))


def add(pairer: Pairer, camera: CameraName, stamp_ns: int) -> list[int]:
    """RGB stamps of the pairs that a frame completes."""
    frame = Frame(np.zeros(SIZE, np.uint8), stamp_ns)
    return [pair.rgb.stamp_ns for pair in pairer.add(camera, frame)]


@pytest.fixture
def twin(cameras: Any) -> Pairer:
    """The core's pairer in the state of the node's: both have seen enough frames to know the period."""
    cameras.step_ns = PERIOD_NS
    first_ns = cameras.now_ns + PERIOD_NS
    for _ in range(12):
        cameras.send(rgb(0), thermal(0))
    pairer = Pairer(PairingConfig())
    for stamp_ns in range(first_ns, cameras.now_ns + 1, PERIOD_NS):
        add(pairer, "rgb", stamp_ns)
        add(pairer, "thermal", stamp_ns)
    return pairer


def play(cameras: Any, twin: Pairer, arrivals: list[tuple[str, int]]) -> tuple[list[int], list[int]]:
    """Publish one after the other, and wait for the image of what the twin pairs at each arrival.

    Returns the RGB stamps of all pairs, and of those that must come: of pairs that are completed at once
    the newest counts.
    """
    pairs: list[int] = []
    certain: list[int] = []
    for camera, stamp_ns in arrivals:
        count = len(cameras.fused.messages)
        publish(cameras, camera, stamp_ns)
        found = add(twin, camera, stamp_ns)
        if found:
            pairs += found
            certain.append(found[-1])
            harness.wait_until(partial(has_come, cameras, count, found[-1]), f"the pair of {found[-1]} ns")
    return pairs, certain


def has_come(cameras: Any, count: int, stamp_ns: int) -> bool:
    return any(harness.stamp_of(item) == stamp_ns for item in cameras.fused.messages[count:])


@pytest.mark.parametrize("delays_ms", [{"rgb": 5, "thermal": 60}, {"rgb": 80, "thermal": 0}])
def test_jittered_late_and_missing_frames_pair_as_in_a_replay(
    cameras: Any, twin: Pairer, delays_ms: dict[str, int]
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
    count = len(cameras.fused.messages)
    pairs, certain = play(cameras, twin, [(camera, stamp) for _, camera, stamp in arrivals])
    stamps = [harness.stamp_of(item) for item in cameras.fused.messages[count:]]
    assert stamps == sorted(set(stamps))
    assert len(certain) > 40 and {*certain} <= {*stamps} <= {*pairs}


def test_a_looped_bag_goes_on_pairing(cameras: Any, twin: Pairer) -> None:
    start_ns = cameras.now_ns + 10**9
    lap = [start_ns + index * PERIOD_NS for index in range(30)]
    arrivals = [
        arrival for stamp in lap for arrival in (("rgb", stamp), ("thermal", stamp + 2 * harness.MS))
    ]
    for _ in range(3):
        count = len(cameras.fused.messages)
        pairs, certain = play(cameras, twin, arrivals)
        stamps = [harness.stamp_of(item) for item in cameras.fused.messages[count:]]
        assert stamps == sorted(set(stamps))
        assert len(certain) >= 28 and {*certain} <= {*stamps} <= {*pairs} == {*lap}


@pytest.mark.parametrize("stopped", ["thermal", "rgb"])
def test_a_silent_camera_is_announced_and_replaced_until_it_returns(
    probe: Any, node: Any, cameras: Any, stopped: str
) -> None:
    statuses = probe.listen(harness.DiagnosticStatus, "/fusion_node/status")
    diagnostics = harness.Diagnostics(probe)
    goes_on = "rgb" if stopped == "thermal" else "thermal"
    mode = f"{goes_on}_only"

    def sends_both() -> Any:
        # The first one after a silence may still be of one camera.
        return cameras.send(rgb(0), thermal(0)).data[0] == 100 and statuses.find(is_fused, 0.5)

    def is_fused(status: Any) -> bool:
        return harness.stamp_of(status) == cameras.now_ns and status.message == "fused"

    def sends_one() -> Any:
        cameras.now_ns += PERIOD_NS
        publish(cameras, goes_on, cameras.now_ns)
        return statuses.find(lambda item: item.message == mode, 0.0)

    harness.wait_until(sends_both, "a status")
    assert harness.status_values(harness.wait_until(sends_one, f"mode {mode}"))["level"] == "WARN"
    statuses.wait_for(lambda item: f"{stopped} camera is silent" in item.message, "the announcement")
    node.wait_for_log(f"the {stopped} camera is silent for more than 1 s: mode {mode}")
    diagnostics.wait("cameras", lambda values: values["level"] == "WARN")
    values = diagnostics.wait(
        "fusion", lambda values: mode in values["message"] or "no" in values["message"]
    )
    assert values["level"] == "WARN"
    value = 50 if goes_on == "rgb" else 150
    last = cameras.fused.wait_for(lambda item: item.data[0] != 100, "an image of one camera")
    assert last.header.frame_id == "rgb_optical_frame" and last.data[0] == value
    harness.wait_until(sends_both, "a pair and its status")
    node.wait_for_log("both cameras publish: mode fused")
    stamps = [harness.stamp_of(item) for item in cameras.fused.messages]
    assert stamps == sorted(set(stamps))


def test_silence_may_be_the_answer_to_silence(probe: Any, node: Any, cameras: Any) -> None:
    assert probe.set(node__when_silent="silence", node__silent_after_s=0.5) == ""
    lone_ns: set[int] = set()

    def is_announced() -> bool:
        cameras.now_ns += PERIOD_NS
        lone_ns.add(cameras.now_ns)
        publish(cameras, "rgb", cameras.now_ns)
        return "the thermal camera is silent for more than 0.5 s: mode silence" in node.log()

    harness.wait_until(is_announced, "the announcement")
    for _ in range(5):
        is_announced()
    cameras.send(rgb(0), thermal(0))
    assert not lone_ns & {harness.stamp_of(item) for item in cameras.fused.messages}


def test_simulated_time(probe: Any, blend_model: Path) -> None:
    node = probe.start_active(fusion__model=str(blend_model), use_sim_time=True)
    diagnostics = harness.Diagnostics(probe)
    diagnostics.wait("fusion", lambda values: "nothing arrives on /clock" in values["clock"])
    cameras = harness.Cameras(probe)
    clock = probe.publisher(harness.Clock, "/clock")
    statuses = probe.listen(harness.DiagnosticStatus, "/fusion_node/status")

    def set_clock(now_ns: int) -> None:
        clock.publish(harness.Clock(clock=harness.Time(sec=now_ns // 10**9, nanosec=now_ns % 10**9)))

    def hears_the_clock(now_s: int, values: dict[str, str]) -> bool:
        set_clock(now_s * 10**9)
        return values["clock"].startswith(f"simulated, {now_s}.")

    def is_young_and_of(start_s: int, status: Any) -> bool:
        values = harness.status_values(status)
        return values.get("stamp", "").startswith(str(start_s)) and 0 < float(values["age_ms"]) < 340

    def sends(start_s: int) -> Any:
        set_clock(cameras.now_ns + 140 * harness.MS)
        time.sleep(0.02)
        cameras.rgb.publish(rgb(cameras.now_ns))
        cameras.thermal.publish(thermal(cameras.now_ns))
        cameras.now_ns += 50 * harness.MS
        return statuses.find(partial(is_young_and_of, start_s), 0.1)

    diagnostics.wait("fusion", partial(hears_the_clock, 999))
    for start_s in (1000, 1003, 500):
        cameras.now_ns = start_s * 10**9
        harness.wait_until(partial(sends, start_s), f"a pair of {start_s} s")
    diagnostics.wait("fusion", partial(hears_the_clock, 510))
    assert node.stop()[0] == 0


def test_a_slow_network_gets_the_newest_pair_and_the_rest_is_counted(
    probe: Any, blend_model: Path, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    gate.touch()
    node = probe.start_active(
        fusion__model=str(blend_model),
        program="sleeping_node.py",
        fusion__backend="sleeping",
        env={"GATE": str(gate)},
        **RELIABLE,
    )
    cameras, diagnostics = harness.Cameras(probe), harness.Diagnostics(probe)
    cameras.send(rgb(0), thermal(0))
    count = len(cameras.fused.messages)
    gate.unlink()
    sent_ns = [cameras.now_ns + index * 100 * harness.MS for index in range(1, 27)]
    for stamp_ns in sent_ns:
        publish(cameras, "rgb", stamp_ns)
        publish(cameras, "thermal", stamp_ns)
        node.wait_for_log("an image is at the gate")
    # What cannot be read is named in its turn, so then all before it has arrived.
    for camera, publisher in (("rgb", cameras.rgb), ("thermal", cameras.thermal)):
        publisher.publish(harness.image(np.zeros((*SIZE, 3), np.uint8), "what8"))
        node.wait_for_log(f"/{camera}/image_raw, stamp 0.")
    gate.touch()
    harness.wait_until(partial(has_come, cameras, count, sent_ns[-1]), "the newest pair")
    assert [harness.stamp_of(item) for item in cameras.fused.messages[count:]] == [sent_ns[0], sent_ns[-1]]
    diagnostics.wait("fusion", lambda values: int(values.get("dropped: superseded", 0)) >= len(sent_ns) - 2)


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


def test_unmatched_qos_is_logged_with_how_to_fix_it(probe: Any, blend_model: Path) -> None:
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
        publish(cameras, "rgb", stamp)
        publish(cameras, "thermal", stamp + 10_000 * harness.MS)
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
