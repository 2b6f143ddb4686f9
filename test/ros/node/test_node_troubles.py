"""What the console says where no pairs come, with its cause and its cure."""

from __future__ import annotations

import time
from typing import Any

import harness
import pytest
from node_images import grey, noise


def start(probe: Any, blend_model: Any, *remaps: str, **parameters: Any) -> Any:
    words = ["--ros-args", *(word for remap in remaps for word in ("-r", remap)), "--"] if remaps else []
    return probe.start_active(*words, fusion__model=str(blend_model), **parameters)


def publish(probe: Any, topic: str, make_message: Any, depth: int = 10) -> None:
    """Send on a topic at 20 Hz until the test ends."""
    publisher = probe.node.create_publisher(type(make_message(0)), topic, harness.profile(depth))
    probe.node.create_timer(0.05, lambda: publisher.publish(make_message(time.time_ns())))


def thermal(stamp_ns: int) -> Any:
    return harness.image(grey(), "mono8", stamp_ns)


def rgb(stamp_ns: int) -> Any:
    return harness.image(noise(), "rgb8", stamp_ns)


def test_a_topic_without_publishers_names_those_that_are_there(probe: Any, blend_model: Any) -> None:
    node = start(probe, blend_model)
    publish(probe, "/boson/image", thermal)
    publish(probe, "/rgb/image_raw/compressed", lambda now: harness.compressed(b"", "jpeg", now))
    node.wait_for_log(
        "no images on /thermal/image_raw (0 publishers): image topics here are /boson/image, "
        "/rgb/image_raw/compressed; start the camera, or remap thermal/image_raw to its topic "
        "(thermal_topic at the launch)"
    )
    node.wait_for_log("/rgb/image_raw/compressed is there: set node.rgb_transport to compressed")
    # Again while it lasts, every 5 s.
    harness.wait_until(lambda: node.log().count("no images on /thermal/image_raw") >= 2, "once more", 15)


def test_images_of_other_fusion_nodes_are_no_cameras(probe: Any, blend_model: Any) -> None:
    other = ("__node:=other", "__ns:=/rear")
    start(probe, blend_model, *other)
    harness.wait_until(lambda: probe.node.count_publishers("/rear/fused/image_raw"), "the other's output")
    publish(probe, "/boson/image", thermal)
    node = start(probe, blend_model)
    node.wait_for_log("on /thermal/image_raw (0 publishers): image topics here are /boson/image; start")
    assert "/rear/" not in node.log()


def test_compressed_twice_and_a_wrong_type(probe: Any, blend_model: Any) -> None:
    remap = "rgb/image_raw/compressed:=/cam/compressed/compressed"
    node = start(probe, blend_model, remap, node__rgb_transport="compressed")
    publish(probe, "/thermal/image_raw", lambda now: harness.compressed(b"", "png", now))
    node.wait_for_log("node.rgb_transport compressed adds /compressed to the name by itself: give /cam")
    node.wait_for_log(
        "no images on /thermal/image_raw (1 publishers): it has sensor_msgs/msg/CompressedImage, expected "
        "sensor_msgs/msg/Image; set node.thermal_transport to compressed and remap "
        "thermal/image_raw/compressed to it"
    )


def test_stamps_of_no_clock(probe: Any, blend_model: Any) -> None:
    node = start(probe, blend_model)
    probe.listen(harness.Image, "/fused/image_raw")
    publish(probe, "/thermal/image_raw", lambda _: thermal(0))
    publish(probe, "/rgb/image_raw", rgb)
    node.wait_for_log("all stamps on /thermal/image_raw are 0 ns, so no clock sets them")
    assert "all stamps on /rgb" not in node.log()


def test_clocks_apart_have_the_parameter_that_mends_it(probe: Any, blend_model: Any) -> None:
    node = start(probe, blend_model, node__when_silent="silence")
    fused = probe.listen(harness.Image, "/fused/image_raw")
    publish(probe, "/thermal/image_raw", lambda now: thermal(now - 37 * 10**9))
    publish(probe, "/rgb/image_raw", rgb)
    node.wait_for_log("the thermal camera's clock is 37.0 s behind the RGB camera's")
    node.wait_for_log("set pairing.thermal_time_offset_ms to 37000.0")
    assert probe.set(pairing__thermal_time_offset_ms=37000.0) == ""
    fused.wait(len(fused.messages) + 3)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("confidence", "detection.confidence"),
        ("detecton.confidence", "detection.confidence"),
        ("thermal_transport", "node.thermal_transport"),
    ],
)
def test_parameters_without_a_section_are_refused(probe: Any, name: str, meant: str) -> None:
    node = probe.start(**{name: 0.5})
    status = node.process.wait(harness.PATIENCE_S)
    assert status not in (0, None)
    assert f"there is no {name}; did you mean {meant}" in node.log()


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("confidence", "there is no parameter confidence; did you mean detection.confidence?"),
        ("detection.confidance", "there is no parameter detection.confidance; did you mean detection.conf"),
        ("colour", "there is no parameter colour; `ros2 param list /fusion_node` shows those that are"),
        # Of what rclpy and QoS would declare themselves, nothing is made by setting it.
        ("qos_overrides./x.publisher.depth", "there is no parameter qos_overrides./x.publisher.depth; "),
    ],
)
def test_an_unknown_parameter_is_refused_live_with_those_like_it(
    module_node: Any, module_probe: Any, name: str, reason: str
) -> None:
    assert module_probe.set(**{name.replace(".", "__"): 0.5}).startswith(reason)
    # As `ros2 param set` asks; together with a known one neither is set.
    (result,) = module_probe.set_each(**{name.replace(".", "__"): 0.5})
    assert not result.successful and result.reason.startswith(reason)
    before = module_probe.get("detection.iou")
    assert module_probe.set(**{name.replace(".", "__"): 0.5, "detection__iou": 0.3}).startswith(reason)
    assert module_probe.get("detection.iou") == before


def newest_line(node: Any, text: str) -> str:
    return next((line for line in reversed(node.log().splitlines()) if text in line), "")


def test_where_all_of_large_images_may_be_lost_the_profile_is_named(probe: Any, blend_model: Any) -> None:
    """Publishers are there, and no image arrives; camera_info says whether they are large."""
    node = start(probe, blend_model)
    for camera in ("rgb", "thermal"):
        probe.node.create_publisher(harness.Image, f"/{camera}/image_raw", harness.profile())
    profile = "may all lose pieces in DDS: give both ends a profile of config/dds"
    node.wait_for_log("no images on /rgb/image_raw (1 publishers): is the camera running")
    assert f"If they are large, they {profile}" in newest_line(node, "no images on /rgb")
    for camera, width, height in (("rgb", 3840, 2160), ("thermal", 640, 512)):
        info = harness.CameraInfo(width=width, height=height)
        publish(probe, f"/{camera}/camera_info", lambda now, info=info: harness.set_stamp(info, now))
    node.wait_for_log(f"Images of 3840x2160, as camera_info says, {profile}")
    harness.wait_until(
        lambda: newest_line(node, "no images on /thermal").endswith("tell"), "small thermal images"
    )


def test_reliable_images_are_not_said_to_be_lost_in_dds(probe: Any, blend_model: Any) -> None:
    override = {"qos_overrides./rgb/image_raw.subscription.reliability": "reliable"}
    node = start(probe, blend_model, **override)
    probe.node.create_publisher(harness.Image, "/rgb/image_raw", harness.profile())
    node.wait_for_log("no images on /rgb/image_raw (1 publishers): is the camera running")
    assert "config/dds" not in node.log()


def test_publishers_that_are_not_heard_are_told_from_a_silent_camera(probe: Any, blend_model: Any) -> None:
    override = {"qos_overrides./rgb/image_raw.subscription.reliability": "reliable"}
    start(probe, blend_model, **override)
    diagnostics = harness.Diagnostics(probe)
    probe.node.create_publisher(harness.Image, "/rgb/image_raw", harness.profile(reliable=False))
    publish(probe, "/thermal/image_raw", lambda now: harness.image(grey(), "what8", now))
    probe.listen(harness.Image, "/fused/image_raw")

    def told(values: dict[str, str]) -> bool:
        return "no publisher offers the QoS that this node asks for" in values["message"] and (
            "/thermal/image_raw (1 publishers): those that come cannot be used, as" in values["message"]
        )

    message = diagnostics.wait("cameras", told)["message"]
    assert "qos_overrides./rgb/image_raw.subscription" in message and "what8" in message
    assert "is the camera running" not in message


def test_a_pair_that_takes_seconds_is_told_with_its_stage(
    probe: Any, blend_model: Any, tmp_path: Any
) -> None:
    gate = tmp_path / "gate"
    node = probe.start_active(
        fusion__model=str(blend_model),
        program="sleeping_node.py",
        fusion__backend="sleeping",
        env={"GATE": str(gate)},
    )
    diagnostics = harness.Diagnostics(probe)
    statuses = probe.listen(harness.DiagnosticStatus, "/fusion_node/status")
    publish(probe, "/rgb/image_raw", rgb)
    publish(probe, "/thermal/image_raw", thermal)
    text = "the pair in work has been in stage fuse for"
    values = diagnostics.wait("fusion", lambda values: text in values["message"])
    assert values["level"] == "WARN" and "fusion.model" in values["message"]
    node.wait_for_log(text)
    gate.touch()
    slow = statuses.wait_for(lambda item: "a pair takes" in item.message, "a status")
    assert harness.status_values(slow)["level"] == "WARN" and "of which fuse" in slow.message
    diagnostics.wait("fusion", lambda values: values["message"] == "fused" and values["level"] == "OK")


@pytest.fixture(scope="module")
def module_node(module_probe: Any) -> Any:
    return module_probe.start()


def test_diagnostics_have_the_nodes_name(probe: Any) -> None:
    probe.start(**{"diagnostic_updater.use_fqn": True})
    listener = probe.listen(harness.DiagnosticArray, "/diagnostics")
    message = listener.wait(1)[0]
    assert {status.name.partition(":")[0] for status in message.status} == {"/fusion_node"}
