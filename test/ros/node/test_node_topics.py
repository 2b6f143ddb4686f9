"""What comes out of a running node, message by message."""

from __future__ import annotations

import json
import time
from typing import Any

import cv2
import harness
import numpy as np
import pytest
import yaml
from node_images import HEIGHT, SKEW_NS, WIDTH, blend, grey, noise, pixels, send, send_until


def test_fused_image_has_the_rgb_header_to_the_nanosecond(cameras: Any) -> None:
    rgb, thermal = noise(7), noise(8)[..., 0]
    send(cameras)
    fused = send(cameras, rgb, thermal)
    assert (fused.header.stamp.sec, fused.header.stamp.nanosec) == divmod(cameras.now_ns, 10**9)
    assert fused.header.frame_id == "rgb_optical_frame"
    assert np.array_equal(pixels(fused), blend(rgb, thermal))


def test_camera_info_is_that_of_the_rgb_camera(module_probe: Any, cameras: Any) -> None:
    infos = module_probe.listen(harness.CameraInfo, "/fused/camera_info")
    info = harness.CameraInfo(width=WIDTH, height=HEIGHT, distortion_model="plumb_bob")
    info.k = [float(value) for value in range(9)]
    info.p = [float(value) for value in range(12)]
    info.d = [0.1, -0.2, 0.0, 0.0, 0.5]
    publisher = module_probe.publisher(harness.CameraInfo, "/rgb/camera_info")
    found = send_until(cameras, infos, lambda: publisher.publish(info))
    assert harness.stamp_of(found) == cameras.now_ns and found.header.frame_id == "rgb_optical_frame"
    assert (list(found.k), list(found.p), list(found.d)) == (list(info.k), list(info.p), list(info.d))


def test_detections_name_the_class_and_labels_are_latched(module_probe: Any, cameras: Any) -> None:
    detections = module_probe.listen(harness.Detection2DArray, "/detections")
    latched = harness.profile(1, latched=True)
    labels = module_probe.listen(harness.LabelInfo, "/detections/label_info", latched)
    classes = [(item.class_id, item.class_name) for item in labels.wait(1)[0].class_map]
    assert classes == [(0, "person"), (1, "car")]
    assert labels.messages[0].threshold == pytest.approx(0.25)
    message = send_until(cameras, detections)
    (found,) = message.detections
    assert found.header == message.header and message.header.frame_id == "rgb_optical_frame"
    assert harness.stamp_of(message) == cameras.now_ns
    box = found.bbox
    assert (box.center.position.x, box.center.position.y, box.size_x, box.size_y) == (20, 40, 20, 40)
    assert (found.results[0].hypothesis.class_id, found.id, len(found.results)) == ("0", "", 1)
    assert found.results[0].hypothesis.score == pytest.approx(0.9)


def test_detections_in_the_pixels_of_each_camera(module_probe: Any, cameras: Any) -> None:
    listeners = {
        camera: module_probe.listen(harness.Detection2DArray, f"/{camera}/detections")
        for camera in ("thermal", "rgb")
    }
    small = grey(100, HEIGHT // 2, WIDTH // 2)
    for camera, scale, stamp_ns in (("thermal", 0.5, SKEW_NS), ("rgb", 1.0, 0)):
        found = send_until(cameras, listeners[camera], thermal=small)
        assert harness.stamp_of(found) == cameras.now_ns + stamp_ns
        (detection,) = found.detections
        assert detection.header == found.header
        assert detection.header.frame_id == f"{camera}_optical_frame"
        box = detection.bbox
        assert (box.size_x, box.size_y) == pytest.approx((20 * scale, 40 * scale), abs=1e-3)
        assert detection.id == "" and len(detection.results) == 1
        assert detection.results[0].hypothesis.class_id == "0"


def test_status_tells_of_each_pair(module_probe: Any, cameras: Any) -> None:
    statuses = module_probe.listen(harness.DiagnosticStatus, "/fusion_node/status")
    begin_s = time.monotonic()
    values = harness.status_values(send_until(cameras, statuses))
    assert (values["level"], values["mode"], values["skew_ms"]) == ("OK", "fused", "3.000")
    assert values["stamp"] == "{}.{:09d}".format(*divmod(cameras.now_ns, 10**9))
    stages = [float(values[f"{stage}_ms"]) for stage in ("faults", "scale", "register", "fuse", "detect")]
    assert float(values["pipeline_ms"]) == pytest.approx(sum(stages), abs=0.01)
    assert float(values["pipeline_ms"]) < float(values["node_ms"]) < (time.monotonic() - begin_s) * 1e3


def test_a_covered_camera_is_in_status_and_diagnostics(module_probe: Any, cameras: Any) -> None:
    diagnostics = harness.Diagnostics(module_probe)
    statuses = module_probe.listen(harness.DiagnosticStatus, "/fusion_node/status")
    sound = harness.status_values(send_until(cameras, statuses))
    assert (sound["level"], sound["faults"]) == ("OK", "")
    rgb = cv2.resize(noise(3, 8, 12), (WIDTH, HEIGHT), interpolation=cv2.INTER_NEAREST)
    assert module_probe.set(faults__least_contrast=1.0) == ""
    try:
        for _ in range(16):
            fused = send(cameras, rgb)
        values = harness.status_values(
            statuses.wait_for(lambda item: harness.stamp_of(item) == cameras.now_ns, "its status")
        )
    finally:
        module_probe.set(faults__least_contrast=0.0)
    assert np.array_equal(pixels(fused), rgb)
    assert (values["level"], values["faults"]) == ("WARN", "thermal_flat")
    assert (values["thermal_weight"], values["rgb_weight"]) == ("0.000", "1.000")
    counted = diagnostics.wait("fusion", lambda values: values.get("pairs with thermal_flat", "0") != "0")
    assert counted["pairs with rgb_flat"] == "0"
    for _ in range(16):
        send(cameras, rgb)


def test_costly_outputs_come_while_subscribed(module_probe: Any, cameras: Any) -> None:
    rgb = cv2.GaussianBlur(noise(5), (0, 0), 5)
    jpegs = module_probe.listen(harness.CompressedImage, "/fused/image_raw/compressed")
    drawn = module_probe.listen(harness.Image, "/fused/image_annotated")
    plain = blend(rgb, grey())
    jpeg = send_until(cameras, jpegs, rgb=rgb)
    decoded = cv2.imdecode(np.frombuffer(jpeg.data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    assert np.abs(decoded.astype(int) - plain).mean() < 3
    boxed = pixels(send_until(cameras, drawn, rgb=rgb))
    assert not np.array_equal(boxed[20:60, 10:30], plain[20:60, 10:30])
    assert np.array_equal(boxed[62:], plain[62:])


def test_rviz_and_foxglove_show_topics_that_exist(module_probe: Any, cameras: Any) -> None:
    rviz = yaml.safe_load((harness.REPOSITORY / "config/fusion.rviz").read_text())
    shown = {display["Topic"]["Value"] for display in rviz["Visualization Manager"]["Displays"]}
    panels = json.loads((harness.REPOSITORY / "config/foxglove.json").read_text())["configById"].values()
    for panel in panels:
        shown |= {*panel.get("imageMode", {}).values()}
        shown |= {panel[key] for key in ("topicPath", "topicToRender") if key in panel}

    def existing() -> set[str]:
        return {name for name, _ in module_probe.node.get_topic_names_and_types()}

    assert len(shown) == 8
    harness.wait_until(lambda: shown <= existing(), "the topics")
