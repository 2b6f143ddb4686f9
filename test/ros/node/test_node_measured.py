"""What the thermal camera measured, in the RGB camera's pixels, and the quality of JPEGs; of a node."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import harness
import numpy as np
from node_images import HEIGHT, SKEW_NS, WIDTH, noise

if TYPE_CHECKING:
    from pathlib import Path

TOPIC = "/thermal/image_registered"


def counts() -> np.ndarray:
    return np.random.default_rng(4).integers(28000, 31000, (HEIGHT // 2, WIDTH // 2), np.uint16)


def send_until(cameras: Any, listener: Any) -> Any:
    """The listener's message of the newest pair."""

    def found() -> Any:
        rgb = harness.image(noise(), "rgb8", frame_id="rgb_optical_frame")
        cameras.send(rgb, harness.image(counts(), "mono16"), SKEW_NS)
        return listener.find(lambda message: harness.stamp_of(message) >= cameras.now_ns, 0.5)

    return harness.wait_until(found, "a message of the newest pair")


def test_counts_and_kelvin_in_the_pixels_and_under_the_header_of_the_rgb_camera(
    probe: Any, blend_model: Path
) -> None:
    probe.start_active(
        fusion__model=str(blend_model),
        thermal__scaling="radiometric",
        thermal__range_min=270.0,
        thermal__range_max=320.0,
    )
    cameras = harness.Cameras(probe)
    listener = probe.listen(harness.Image, TOPIC)
    message = send_until(cameras, listener)
    assert (message.encoding, message.width, message.height) == ("32FC1", WIDTH, HEIGHT)
    assert harness.stamp_of(message) == cameras.now_ns and message.header.frame_id == "rgb_optical_frame"
    kelvin = np.frombuffer(message.data, "<f4").reshape(HEIGHT, WIDTH)
    # The mean of the four pixels of one thermal pixel is near it; the corner is the pixel itself.
    assert abs(kelvin[0, 0] - counts()[0, 0] * 0.01) < 0.01
    assert counts().min() * 0.01 - 0.01 <= kelvin.min() < kelvin.max() <= counts().max() * 0.01 + 0.01
    assert probe.set(outputs__registered_unit="counts") == ""
    message = send_until(cameras, listener)
    sent = np.frombuffer(message.data, "<u2").reshape(HEIGHT, WIDTH)
    assert message.encoding == "mono16" and np.abs(sent - kelvin * 100.0).max() <= 0.6


def test_one_who_listens_to_nothing_else_gets_it(probe: Any, blend_model: Path) -> None:
    """Also without the fused image, whose subscriber would wake the node."""
    probe.start_active(fusion__model=str(blend_model))
    listener = probe.listen(harness.Image, TOPIC)
    thermal = probe.publisher(harness.Image, "/thermal/image_raw")
    rgb = probe.publisher(harness.Image, "/rgb/image_raw")

    def found() -> bool:
        found.now_ns += 100 * harness.MS
        rgb.publish(harness.image(noise(), "rgb8", found.now_ns))
        thermal.publish(harness.image(counts(), "mono16", found.now_ns))
        return bool(listener.messages)

    found.now_ns = 10**18
    harness.wait_until(found, "a registered image")
    assert listener.messages[0].encoding == "mono16"


def test_the_quality_of_jpegs_changes_while_the_node_runs(probe: Any, blend_model: Path) -> None:
    probe.start_active(fusion__model=str(blend_model))
    cameras = harness.Cameras(probe)
    jpegs = probe.listen(harness.CompressedImage, "/fused/image_raw/compressed")
    fine = send_until(cameras, jpegs)
    assert probe.set(outputs__jpeg_quality=20) == ""
    coarse = send_until(cameras, jpegs)
    assert len(coarse.data) < len(fine.data) / 2
    assert probe.set(outputs__jpeg_quality=0) != ""
