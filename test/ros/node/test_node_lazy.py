"""What nobody listens to is not computed, and ~/enable turns everything off and on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import harness
import pytest
from node_images import grey, noise

if TYPE_CHECKING:
    from pathlib import Path

STEP_NS = 33 * harness.MS


class Sender:
    """Publishes pairs and listens to nothing."""

    def __init__(self, probe: Any) -> None:
        self._node = probe.node
        self._rgb = probe.publisher(harness.Image, "/rgb/image_raw")
        self._thermal = probe.publisher(harness.Image, "/thermal/image_raw")
        self._now_ns = 10**18

    def send(self) -> None:
        self._now_ns += STEP_NS
        self._rgb.publish(harness.image(noise(), "rgb8", self._now_ns))
        self._thermal.publish(harness.image(grey(), "mono8", self._now_ns))

    def lose_rgb(self) -> None:
        """The camera's driver ends."""
        self._node.destroy_publisher(self._rgb)

    def send_until(self, condition: Any) -> None:
        def done() -> Any:
            self.send()
            return condition()

        harness.wait_until(done, "what was to come of the pairs")


def images_came(diagnostics: Any, sender: Sender, *, text: str, output: bool) -> dict[str, str]:
    """Send until /diagnostics has images of both cameras and says a text of the fusion; those values."""

    def seen(values: dict[str, str]) -> bool:
        sender.send()
        # There are none while the node is not active, as just before.
        return all(values.get(f"{camera} rate", "0.0 Hz") != "0.0 Hz" for camera in ("thermal", "rgb"))

    diagnostics.wait("cameras", seen)

    def told(values: dict[str, str]) -> bool:
        sender.send()
        return text in values["message"] and (values["output rate"] != "0.0 Hz") == output

    return diagnostics.wait("fusion", told)


def test_nothing_is_fused_until_somebody_listens(probe: Any, blend_model: Path) -> None:
    probe.start_active(fusion__model=str(blend_model))
    sender, diagnostics = Sender(probe), harness.Diagnostics(probe)
    values = images_came(diagnostics, sender, text="idle: nobody listens", output=False)
    assert values["level"] == "OK" and values["dropped: superseded"] == "0"
    fused = probe.listen(harness.Image, "/fused/image_raw")
    sender.send_until(lambda: fused.messages)
    images_came(diagnostics, sender, text="fused", output=True)


def test_the_cameras_have_no_listener_while_the_node_has_none(probe: Any, blend_model: Path) -> None:
    probe.start_active(fusion__model=str(blend_model))
    thermal, rgb = (probe.publisher(harness.Image, f"/{name}/image_raw") for name in ("thermal", "rgb"))
    sender, diagnostics = Sender(probe), harness.Diagnostics(probe)
    sender.send_until(lambda: not thermal.get_subscription_count() + rgb.get_subscription_count())
    values = diagnostics.wait("cameras", lambda values: "not received" in values["message"])
    assert values["level"] == "OK" and "nobody listens" in values["message"]
    for _ in range(2):
        fused = probe.listen(harness.Image, "/fused/image_raw")
        sender.send_until(lambda fused=fused: fused.messages)
        assert thermal.get_subscription_count() == rgb.get_subscription_count() == 1
        for subscription in list(probe.node.subscriptions):
            if subscription.topic_name == "/fused/image_raw":
                probe.node.destroy_subscription(subscription)
        sender.send_until(lambda: not thermal.get_subscription_count() + rgb.get_subscription_count())


def test_images_of_a_rest_are_not_missing(probe: Any, blend_model: Path) -> None:
    set_bool = pytest.importorskip("std_srvs.srv").SetBool
    probe.start_active(fusion__model=str(blend_model))
    sender, diagnostics = Sender(probe), harness.Diagnostics(probe)
    fused = probe.listen(harness.Image, "/fused/image_raw")
    sender.send_until(lambda: len(fused.messages) > 40)
    probe.call(set_bool, "/fusion_node/enable", set_bool.Request(data=False))
    sender.send_until(lambda: not probe.node.count_subscribers("/rgb/image_raw"))
    probe.call(set_bool, "/fusion_node/enable", set_bool.Request(data=True))
    count = len(fused.messages)
    sender.send_until(lambda: len(fused.messages) > count)
    values = diagnostics.wait("cameras", lambda values: "disabled" not in values["message"])
    assert values["missing: rgb"] == values["missing: thermal"] == "0%"


def test_a_wrong_topic_is_told_of_at_rest_too(probe: Any, blend_model: Path) -> None:
    set_bool = pytest.importorskip("std_srvs.srv").SetBool
    node = probe.start_active(fusion__model=str(blend_model))
    sender = Sender(probe)
    probe.listen(harness.Image, "/fused/image_raw")
    probe.call(set_bool, "/fusion_node/enable", set_bool.Request(data=False))
    sender.send_until(lambda: not probe.node.count_subscribers("/rgb/image_raw"))
    sender.lose_rgb()
    node.wait_for_log("no images on /rgb/image_raw (0 publishers)")
    assert "no images on /thermal/image_raw" not in node.log()
    probe.call(set_bool, "/fusion_node/enable", set_bool.Request(data=True))
    harness.wait_until(lambda: probe.node.count_subscribers("/rgb/image_raw"), "no end of the rest")


@pytest.mark.parametrize("topic", ["/detections", "/thermal/detections", "/fused/image_annotated"])
def test_objects_are_sought_while_somebody_listens_to_them(
    probe: Any, blend_model: Path, box_model: Path, topic: str
) -> None:
    probe.start_active(
        fusion__model=str(blend_model), detection__model=str(box_model), detection__backend="onnxruntime"
    )
    sender, diagnostics = Sender(probe), harness.Diagnostics(probe)
    fused = probe.listen(harness.Image, "/fused/image_raw")
    sender.send_until(lambda: fused.messages)
    values = images_came(diagnostics, sender, text="fused", output=True)
    assert "fuse latency" in values and "detect latency" not in values
    kind = harness.Image if "image" in topic else harness.Detection2DArray
    found = probe.listen(kind, topic)
    sender.send_until(lambda: found.messages)
    if kind is harness.Detection2DArray:
        assert len(found.messages[0].detections) == 1


def test_without_lazy_pairs_are_fused_for_nobody(probe: Any, blend_model: Path) -> None:
    probe.start_active(fusion__model=str(blend_model), node__lazy=False)
    sender, diagnostics = Sender(probe), harness.Diagnostics(probe)
    images_came(diagnostics, sender, text="fused", output=True)
    assert probe.set(node__lazy=True) == ""
    images_came(diagnostics, sender, text="idle", output=False)


def test_enable_stops_and_starts_and_outlives_a_cleanup(probe: Any, blend_model: Path) -> None:
    set_bool = pytest.importorskip("std_srvs.srv").SetBool
    probe.start_active(fusion__model=str(blend_model))
    sender, diagnostics = Sender(probe), harness.Diagnostics(probe)
    fused = probe.listen(harness.Image, "/fused/image_raw")
    sender.send_until(lambda: fused.messages)
    answer = probe.call(set_bool, "/fusion_node/enable", set_bool.Request(data=False))
    assert answer.success and "disabled" in answer.message
    images_came(diagnostics, sender, text="disabled by ~/enable", output=False)
    for step in ("deactivate", "cleanup", "configure", "activate"):
        assert probe.change_state(step)
    images_came(diagnostics, sender, text="disabled by ~/enable", output=False)
    assert probe.call(set_bool, "/fusion_node/enable", set_bool.Request(data=True)).success
    before = len(fused.messages)
    sender.send_until(lambda: len(fused.messages) > before)
