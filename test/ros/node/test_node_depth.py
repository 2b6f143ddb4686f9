"""Depth images on a topic: used where they are near in time, counted where they are missing."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import harness
import numpy as np
import pytest
import rig_samples

if TYPE_CHECKING:
    from pathlib import Path

NEAR_M = 3.0


def rgb() -> Any:
    return harness.image(rig_samples.RGB, "rgb8", 0, rig_samples.RGB_FRAME)


def thermal() -> Any:
    return harness.image(rig_samples.THERMAL, "mono8", 0, rig_samples.THERMAL_FRAME)


def depth(kind: str, stamp_ns: int) -> Any:
    metres = np.full(rig_samples.SIZE[::-1], NEAR_M, np.float32)
    if kind == "32FC1":
        return harness.image(metres, kind, stamp_ns, rig_samples.RGB_FRAME)
    return harness.image((1000 * metres).astype(np.uint16), kind, stamp_ns, rig_samples.RGB_FRAME)


def distance(message: Any) -> float:
    """At which distance a fused image was registered, m."""
    pixels = np.frombuffer(message.data, np.uint8).reshape(*rig_samples.SIZE[::-1], 3).astype(int)
    known = (NEAR_M, rig_samples.PLANE_M)
    found = [metres for metres in known if np.abs(pixels - rig_samples.fused(metres)).max() <= 1]
    assert len(found) == 1, found
    return found[0]


@pytest.fixture
def node(probe: Any, blend_model: Path, tmp_path: Path) -> Any:
    rig = rig_samples.write_rig(tmp_path / "rig.yaml", rig_samples.side_by_side())
    return probe.start_active(
        fusion__model=str(blend_model),
        faults__gate=False,
        registration__calibration=str(rig),
        registration__depth=True,
    )


def send_until(cameras: Any, metres: float, publish: Any = lambda stamp_ns: None) -> None:
    """Send moments, each with what `publish` adds, until an image registered at a distance comes."""
    end = time.monotonic() + harness.PATIENCE_S
    while time.monotonic() < end:
        publish(cameras.now_ns + 100 * harness.MS)
        if distance(cameras.send(rgb(), thermal())) == metres:
            return
    raise AssertionError(f"nothing was registered at {metres} m")


@pytest.mark.parametrize("kind", ["32FC1", "16UC1"])
def test_pixels_are_registered_at_their_depth_while_there_is_one(probe: Any, node: Any, kind: str) -> None:
    cameras, diagnostics = harness.Cameras(probe), harness.Diagnostics(probe)
    send_until(cameras, rig_samples.PLANE_M)

    def warns(values: dict[str, str]) -> bool:
        cameras.send(rgb(), thermal())
        return "no depth images on /depth/image_raw" in values["message"]

    values = diagnostics.wait("cameras", warns)
    assert values["level"] == "WARN" and int(values["pairs without depth"]) > 0
    publisher = probe.publisher(harness.Image, "/depth/image_raw", harness.profile(5, reliable=False))
    send_until(cameras, NEAR_M, lambda stamp_ns: publisher.publish(depth(kind, stamp_ns)))

    def counts(values: dict[str, str]) -> bool:
        publisher.publish(depth(kind, cameras.now_ns + 100 * harness.MS))
        cameras.send(rgb(), thermal())
        return (
            values.get("depth rate", "0.0 Hz") != "0.0 Hz" and values["message"] == "both cameras publish"
        )

    values = diagnostics.wait("cameras", counts)
    assert values["depth topic"] == "/depth/image_raw" and values["dropped: depth_unreadable"] == "0"
    # Depth images that are too old count no more.
    cameras.now_ns += 10 * 10**9
    send_until(cameras, rig_samples.PLANE_M)


def test_depth_out_of_time_and_unreadable_is_told(probe: Any, node: Any) -> None:
    cameras, diagnostics = harness.Cameras(probe), harness.Diagnostics(probe)
    publisher = probe.publisher(harness.Image, "/depth/image_raw")
    send_until(cameras, rig_samples.PLANE_M)

    def misses(values: dict[str, str]) -> bool:
        publisher.publish(depth("32FC1", cameras.now_ns - 10**9))
        cameras.send(rgb(), thermal())
        return "registration.depth_max_skew_ms" in values["message"]

    assert diagnostics.wait("cameras", misses)["level"] == "WARN"
    assert probe.set(registration__depth_max_skew_ms=5000.0) == ""
    send_until(cameras, NEAR_M, lambda stamp_ns: publisher.publish(depth("32FC1", stamp_ns - 10**9)))
    publisher.publish(harness.image(rig_samples.RGB, "rgb8", cameras.now_ns))
    diagnostics.wait("cameras", lambda values: values["dropped: depth_unreadable"] == "1")
    assert "expected 32FC1 (metres) or 16UC1 (millimetres)" in node.log()


def test_without_being_asked_for_no_depth_is_subscribed(probe: Any, blend_model: Path) -> None:
    probe.start_active(fusion__model=str(blend_model))
    harness.wait_until(lambda: probe.node.count_subscribers("/rgb/image_raw"), "the node's inputs")
    assert probe.node.count_subscribers("/depth/image_raw") == 0


def test_depth_without_a_rig_is_refused(probe: Any, blend_model: Path) -> None:
    node = probe.start(fusion__model=str(blend_model), registration__depth=True, node__autostart=True)
    node.wait_for_log("cannot configure: registration.depth is true, but there is no calibration")
    assert probe.state() == "unconfigured"
