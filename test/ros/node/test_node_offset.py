"""The offset between the cameras' clocks on /diagnostics and ~/status."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import harness
import numpy as np
import pytest
from moving_rig import Recording, small_simulator

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CLOCK_MS = -47.0
SECONDS = 6.0


@pytest.fixture(scope="module")
def moments() -> list[tuple[str, Any]]:
    """A turning rig: 15 Hz and 9 Hz, in the order of stamps, the thermal clock 47 ms late."""
    recording = Recording(rgb_hz=15.0, clock_ms=CLOCK_MS, seconds=SECONDS, shutter=False, dropped=0.0)
    thermal, rgb = recording.frames(small_simulator(traffic=False))
    frames = [("thermal", frame) for frame in thermal] + [("rgb", frame) for frame in rgb]
    return sorted(frames, key=lambda item: item[1].stamp_ns)


class Player:
    """Plays frames again and again, in their pace, with stamps that go on."""

    def __init__(self, cameras: Any, moments: list[tuple[str, Any]]) -> None:
        self._cameras = cameras
        self._moments = moments
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._play, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._end.set()
        self._thread.join()

    def _play(self) -> None:
        lap = 0
        while True:
            before = self._moments[0][1].stamp_ns
            # A second between the laps, in which the picture jumps to the first one again.
            shift_ns = lap * round((SECONDS + 1) * 1e9)
            for camera, frame in self._moments:
                if self._end.wait((frame.stamp_ns - before) / 1e9):
                    return
                before = frame.stamp_ns
                encoding = "rgb8" if camera == "rgb" else "mono16"
                message = harness.image(frame.image, encoding, frame.stamp_ns + shift_ns, camera)
                getattr(self._cameras, camera).publish(message)
            lap += 1
            if self._end.wait(1.0):
                return


@pytest.fixture
def play(moments: list[tuple[str, Any]]) -> Iterator[Any]:
    players = []

    def start(cameras: Any) -> None:
        players.append(Player(cameras, moments))

    yield start
    for player in players:
        player.close()


def test_a_wrong_offset_is_a_warning_with_the_value_to_set(
    probe: Any, blend_model: Path, play: Any
) -> None:
    probe.start_active(fusion__model=str(blend_model), pairing__max_skew_ms=100.0)
    cameras, diagnostics = harness.Cameras(probe), harness.Diagnostics(probe)
    statuses = probe.listen(harness.DiagnosticStatus, "/fusion_node/status")
    play(cameras)
    values = diagnostics.wait("time offset", lambda values: "estimated offset" in values)
    assert values["level"] == "WARN" and values["configured offset"] == "0 ms"
    found_ms = float(values["estimated offset"].removesuffix(" ms"))
    assert abs(found_ms + CLOCK_MS) < 5.0 and float(values["standard error"].removesuffix(" ms")) < 10
    assert f"set pairing.thermal_time_offset_ms to {found_ms:.1f}, it is 0" in values["message"]
    status = statuses.wait_for(
        lambda item: "time_offset_ms" in harness.status_values(item), "a status with the offset"
    )
    assert abs(float(harness.status_values(status)["time_offset_ms"]) + CLOCK_MS) < 5.0
    assert probe.set(pairing__thermal_time_offset_ms=-CLOCK_MS) == ""
    values = diagnostics.wait("time offset", lambda values: values["level"] == "OK")
    assert "as configured" in values["message"] and values["configured offset"] == "47 ms"


def test_a_still_rig_is_no_warning_and_the_watching_can_be_off(probe: Any, blend_model: Path) -> None:
    still = harness.image(np.full((48, 64), 100, np.uint8), "mono8")
    colour = harness.image(np.full((48, 64, 3), 100, np.uint8), "rgb8")
    probe.start_active(fusion__model=str(blend_model))
    cameras, diagnostics = harness.Cameras(probe), harness.Diagnostics(probe)

    def knows_why(values: dict[str, str]) -> bool:
        cameras.send(colour, still)
        return "frames repeat the one before" in values["message"]

    values = diagnostics.wait("time offset", knows_why)
    assert values["level"] == "OK" and values["message"].startswith("not known: ")
    assert probe.set(node__watch_time_offset=False) != ""
    for transition in ("deactivate", "cleanup"):
        assert probe.change_state(transition)
    assert probe.set(node__watch_time_offset=False) == ""
    for transition in ("configure", "activate"):
        assert probe.change_state(transition)
    values = diagnostics.wait("time offset", lambda values: "off" in values["message"])
    assert values["message"] == "off: node.watch_time_offset"
