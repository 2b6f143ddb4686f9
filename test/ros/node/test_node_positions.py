"""Objects in space: detections_3d in the robot's frame, by TF and the ground."""

from __future__ import annotations

from typing import Any

import harness
import numpy as np
import pytest
from node_images import grey

try:
    from geometry_msgs.msg import TransformStamped
    from sensor_msgs.msg import CameraInfo
    from tf2_msgs.msg import TFMessage
    from vision_msgs.msg import Detection3DArray
except ImportError:
    # Then conftest.py skips all tests.
    pass

FRAME = "rgb_optical_frame"
FOCAL, HEIGHT_M, FORWARD_M = 100.0, 1.2, 0.4


def info() -> Any:
    height, width = grey().shape
    message = CameraInfo(width=width, height=height, distortion_model="plumb_bob", d=[0.0] * 5)
    message.k = [FOCAL, 0.0, (width - 1) / 2, 0.0, FOCAL, 10.0, 0.0, 0.0, 1.0]
    message.header.frame_id = FRAME
    return message


def level_camera() -> Any:
    """In a base with x forward, y left and z up."""
    stamped = TransformStamped(child_frame_id=FRAME)
    stamped.header.frame_id = "base_link"
    shift, turn = stamped.transform.translation, stamped.transform.rotation
    shift.x, shift.z = FORWARD_M, HEIGHT_M
    turn.x, turn.y, turn.z, turn.w = -0.5, 0.5, -0.5, 0.5
    return stamped


def send(cameras: Any, infos: Any) -> None:
    rgb = harness.image(np.zeros((*grey().shape, 3), np.uint8), "rgb8", frame_id=FRAME)
    infos.publish(harness.set_stamp(info(), cameras.now_ns + cameras.step_ns, FRAME))
    cameras.send(rgb, harness.image(grey(), "mono8", frame_id="thermal_optical_frame"))


@pytest.mark.parametrize("frame", ["base", "camera"])
def test_an_object_on_the_ground(probe: Any, blend_model: Any, box_model: Any, frame: str) -> None:
    node = probe.start_active(
        fusion__model=str(blend_model),
        detection__model=str(box_model),
        detection__backend="onnxruntime",
        positions__method="ground",
        positions__frame=frame,
    )
    cameras, listener = harness.Cameras(probe), probe.listen(Detection3DArray, "detections_3d")
    infos = probe.publisher(CameraInfo, "rgb/camera_info", harness.profile(10))
    send(cameras, infos)
    node.wait_for_log(f"no transform from {FRAME} (reference images) to base_link")
    links = probe.node.create_publisher(TFMessage, "/tf_static", harness.profile(1, latched=True))
    links.publish(TFMessage(transforms=[level_camera()]))

    def found() -> Any:
        send(cameras, infos)
        return next((item for item in reversed(listener.messages) if item.detections), None)

    message = harness.wait_until(found, "a position")
    # The box of the model is 20 px wide and 40 px high, its centre at (20, 40): its foot is in row 60.
    away = HEIGHT_M * FOCAL / (59.5 - 10.0)
    right = away * (19.5 - (grey().shape[1] - 1) / 2) / FOCAL
    down = away * (39.5 - 10.0) / FOCAL
    point = message.detections[0].results[0].pose.pose.position
    if frame == "base":
        assert message.header.frame_id == "base_link"
        expected = [FORWARD_M + away, -right, HEIGHT_M - down]
    else:
        assert message.header.frame_id == FRAME
        expected = [right, down, away]
    assert [point.x, point.y, point.z] == pytest.approx(expected, abs=0.01)
    assert message.detections[0].results[0].pose.covariance[0] > 0


def on_the_ground(probe: Any, blend_model: Any, box_model: Any, roll_deg: float) -> tuple[Any, Any]:
    """Diagnostics of an active node with a reader, and what sends it one more pair."""
    probe.start_active(
        fusion__model=str(blend_model),
        detection__model=str(box_model),
        detection__backend="onnxruntime",
        positions__method="ground",
        positions__camera_height_m=HEIGHT_M,
        positions__camera_roll_deg=roll_deg,
    )
    cameras, diagnostics = harness.Cameras(probe), harness.Diagnostics(probe)
    probe.listen(Detection3DArray, "detections_3d")
    infos = probe.publisher(CameraInfo, "rgb/camera_info", harness.profile(10))
    return diagnostics, lambda: send(cameras, infos)


def test_diagnostics_say_why_no_object_has_a_position(probe: Any, blend_model: Any, box_model: Any) -> None:
    diagnostics, send_next = on_the_ground(probe, blend_model, box_model, roll_deg=180.0)
    above = "the lower edge is above the horizon, or more than 200 m away"

    def warns(values: dict[str, str]) -> bool:
        send_next()
        return values["message"] == f"no object has a position: {above}"

    values = diagnostics.wait("fusion", warns)
    assert values["level"] == "WARN" and int(values[f"without position: {above}"]) > 0


def test_diagnostics_count_the_positions(probe: Any, blend_model: Any, box_model: Any) -> None:
    diagnostics, send_next = on_the_ground(probe, blend_model, box_model, roll_deg=0.0)

    def counts(values: dict[str, str]) -> bool:
        send_next()
        return int(values.get("positions by the ground", "0")) > 3

    assert "no object" not in diagnostics.wait("fusion", counts)["message"]
