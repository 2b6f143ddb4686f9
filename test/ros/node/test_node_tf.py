"""Extrinsics by TF: static, late, changing and missing."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import harness
import numpy as np
import pytest
import rig_samples
from rig_samples import RGB_FRAME, THERMAL_FRAME

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

try:
    from geometry_msgs.msg import TransformStamped
    from tf2_msgs.msg import TFMessage
except ImportError:
    # Then conftest.py skips all tests.
    pass

BASELINES_M = (0.0, 0.5, 1.0)


def rgb() -> Any:
    return harness.image(rig_samples.RGB, "rgb8", 0, RGB_FRAME)


def thermal(frame_id: str = THERMAL_FRAME) -> Any:
    return harness.image(rig_samples.THERMAL, "mono8", 0, frame_id)


def transform(parent: str, child: str, x: float, stamp_ns: int = 0) -> Any:
    stamped = TransformStamped(child_frame_id=child)
    harness.set_stamp(stamped, stamp_ns, parent)
    stamped.transform.translation.x = x
    stamped.transform.rotation.w = 1.0
    return stamped


def baseline(message: Any) -> float:
    """By which baseline a fused image was registered, m."""
    pixels = np.frombuffer(message.data, np.uint8).reshape(*rig_samples.SIZE[::-1], 3).astype(int)
    pictures = {item: rig_samples.fused(baseline_m=item) for item in BASELINES_M}
    found = [item for item, picture in pictures.items() if np.abs(pixels - picture).max() <= 1]
    assert len(found) == 1, found
    return found[0]


def send_until(
    cameras: Any, baseline_m: float, before: Callable[[int], None] = lambda stamp_ns: None
) -> None:
    end = time.monotonic() + harness.PATIENCE_S
    while time.monotonic() < end:
        before(cameras.now_ns)
        if baseline(cameras.send(rgb(), thermal())) == baseline_m:
            return
    raise AssertionError(f"nothing was registered by {baseline_m} m")


@pytest.fixture
def start(probe: Any, blend_model: Path, tmp_path: Path) -> Any:
    """A function that starts a node with a calibration file's extrinsics."""

    def start(extrinsics: Any = None, **parameters: Any) -> Any:
        rig = rig_samples.write_rig(tmp_path / "rig.yaml", extrinsics)
        values = {"registration__calibration": str(rig), "registration__extrinsics": "tf", **parameters}
        return probe.start_active(fusion__model=str(blend_model), faults__gate=False, **values)

    return start


def latched(probe: Any) -> Any:
    return probe.node.create_publisher(TFMessage, "/tf_static", harness.profile(1, latched=True))


def test_a_static_transform_over_the_base_is_used(probe: Any, start: Any) -> None:
    links = [transform("base", RGB_FRAME, -0.25), transform("base", THERMAL_FRAME, 0.25)]
    publisher = latched(probe)
    publisher.publish(TFMessage(transforms=links))
    node = start()
    cameras, diagnostics = harness.Cameras(probe), harness.Diagnostics(probe)
    send_until(cameras, 0.5)
    node.wait_for_log("TF, thermal_optical_frame in rgb_optical_frame: translation [0.500, 0.000, 0.000] m")

    def sound(values: dict[str, str]) -> bool:
        cameras.send(rgb(), thermal())
        return values.get("extrinsics") == "TF" and values["message"] == "fused"

    diagnostics.wait("fusion", sound)
    assert node.log().count("extrinsics from TF") == 1
    assert probe.change_state("deactivate") and probe.change_state("activate")
    send_until(cameras, 0.5)
    harness.wait_until(lambda: node.log().count("extrinsics from TF") == 2, "the transform once more")


def test_a_missing_transform_is_told_and_the_file_counts_until_it_comes(probe: Any, start: Any) -> None:
    node = start(rig_samples.side_by_side(1.0))
    cameras, diagnostics = harness.Cameras(probe), harness.Diagnostics(probe)
    send_until(cameras, 1.0)
    node.wait_for_log(
        "no transform from thermal_optical_frame (thermal images) to rgb_optical_frame (RGB im"
    )
    assert "--frame-id rgb_optical_frame --child-frame-id thermal_optical_frame" in node.log()

    def warns(values: dict[str, str]) -> bool:
        cameras.send(rgb(), thermal())
        return "no transform from" in values["message"]

    values = diagnostics.wait("fusion", warns)
    assert values["level"] == "WARN" and values["extrinsics"] == "calibration, until TF has a transform"
    publisher = latched(probe)
    publisher.publish(TFMessage(transforms=[transform(RGB_FRAME, THERMAL_FRAME, 0.5)]))
    send_until(cameras, 0.5)


def test_a_transform_that_changes_is_followed_also_when_time_jumps_back(probe: Any, start: Any) -> None:
    start()
    publisher = probe.publisher(TFMessage, "/tf", harness.profile(100))
    cameras = harness.Cameras(probe)

    def moves(x: float) -> Callable[[int], None]:
        def publish(stamp_ns: int) -> None:
            publisher.publish(TFMessage(transforms=[transform(RGB_FRAME, THERMAL_FRAME, x, stamp_ns)]))

        return publish

    send_until(cameras, 0.5, moves(0.5))
    send_until(cameras, 1.0, moves(1.0))
    # As a bag that is played again: tf2 refuses what is older than 10 s by itself.
    cameras.now_ns -= 3600 * 10**9 + 33 * harness.MS
    send_until(cameras, 0.5, moves(0.5))


def test_static_transforms_survive_what_the_node_does_when_time_jumps_back() -> None:
    import tf2_ros
    from rclpy.time import Time

    buffer = tf2_ros.Buffer()
    buffer.set_transform_static(transform(RGB_FRAME, THERMAL_FRAME, 0.5), "test")
    buffer.clear()
    assert buffer.lookup_transform(RGB_FRAME, THERMAL_FRAME, Time()).transform.translation.x == 0.5


def test_images_without_a_frame_are_named(probe: Any, start: Any) -> None:
    node = start(rig_samples.side_by_side())
    cameras = harness.Cameras(probe)
    cameras.send(rgb(), thermal(""))
    node.wait_for_log("the thermal images have no frame_id: set it in the camera's driver")


def test_by_default_tf_is_not_looked_at(probe: Any, blend_model: Path) -> None:
    node = probe.start_active(fusion__model=str(blend_model))
    harness.wait_until(lambda: probe.node.count_subscribers("/rgb/image_raw"), "the node's inputs")
    assert probe.node.count_subscribers("/tf_static") == 0 and "transform" not in node.log()


def test_tf_without_a_rig_is_refused(probe: Any, blend_model: Path) -> None:
    values = {"registration__extrinsics": "tf", "node__autostart": True}
    node = probe.start(fusion__model=str(blend_model), **values)
    node.wait_for_log("cannot configure: registration.extrinsics is tf, but there is no calibration")
