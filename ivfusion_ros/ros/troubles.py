"""What keeps images from becoming pairs, with cause and cure: on the console and in /diagnostics."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rclpy.clock import Clock
from rclpy.clock_type import ClockType

from ivfusion_ros.sync.clocks import MIN_FRAMES, advice, offset_ns
from ivfusion_ros.types import CAMERAS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rclpy.node import Node

    from ivfusion_ros.ros.inputs import CameraInput
    from ivfusion_ros.ros.session import FusionSession
    from ivfusion_ros.types import CameraName

PERIOD_S = 5.0
_APART_NS = 500_000_000
"""More than links delay images: the clocks differ."""
MAX_MISSING = 0.1
"""Share of a camera's images that may be missing without a warning."""
TRANSPORTS = {
    "sensor_msgs/msg/Image": ("raw", "image_raw"),
    "sensor_msgs/msg/CompressedImage": ("compressed", "image_raw/compressed"),
}
"""Type of images to transport and the end of the topic's name."""


class TroubleLog:
    """Warns every 5 s of what is wrong while the node is active.

    get_session: gives None before configure.
    """

    def __init__(self, node: Node, get_session: Callable[[], FusionSession | None]) -> None:
        self._node = node
        self._get_session = get_session
        self._before: dict[CameraInput, int] = {}
        self._pairs = 0
        node.create_timer(PERIOD_S, self._look, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def _look(self) -> None:
        session = self._get_session()
        inputs = {} if session is None else session.inputs
        before, self._before = self._before, {item: item.frames for item in inputs.values()}
        pairs_before = self._pairs
        if session is None or not inputs:
            return
        self._pairs = session.streams.synchronizer.pairer.pairs
        # Only what was there for a whole period has been silent for one.
        if all(item in before for item in inputs.values()):
            received = {camera: item.frames - before[item] for camera, item in inputs.items()}
            for text in camera_troubles(session, received, self._pairs - pairs_before):
                self._node.get_logger().warning(text)


def camera_troubles(
    session: FusionSession, received: Mapping[CameraName, float], pairs: float
) -> list[str]:
    """A text for each trouble. received, pairs: how many of late, of which only 0 counts."""
    found = [_silent(session, camera) for camera in CAMERAS if not received[camera]]
    found = list(filter(None, found))
    found += [
        f"all stamps on {item.topic} are {item.sightings[-1].stamp_ns} ns, so no clock sets them and "
        "nothing pairs by time: let the driver fill in header.stamp"
        for camera, item in session.inputs.items()
        if received[camera] and item.stamps_stand_still and not session.resting()
    ]
    found += [
        f"{item.missing:.0%} of the images of {item.topic} never came, by the gaps in their stamps: "
        "either the camera skips them, or DDS loses pieces of large ones; then give both ends a profile "
        "of config/dds"
        for camera, item in session.inputs.items()
        if received[camera] and item.missing > MAX_MISSING and not session.resting()
    ]
    # At rest, images are counted and not looked at.
    if found or pairs or session.resting():
        return found
    return [_unpaired(session)]


def _silent(session: FusionSession, camera: CameraName) -> str:
    """Why no images come; empty where that is as it should be."""
    item = session.inputs[camera]
    text = f"no images on {item.topic} ({item.publishers} publishers)"
    others = sorted(set(item.published_types) - {item.type})
    if others:
        found = ", ".join(others)
        return f"{text}: it has {found}, expected {item.type}; {_cure(camera, others)}"
    if item.publishers and session.rest.closed:
        return ""
    if item.publishers:
        return (
            f"{text}: is the camera running, and does its data get here? `ros2 topic hz {item.topic}` and "
            f"`ros2 topic info --verbose {item.topic}` tell"
        )
    return f"{text}: {_where_else(item, camera)}"


def _cure(camera: CameraName, types: list[str]) -> str:
    """What to do about a topic of other types."""
    transport, name = next((TRANSPORTS[kind] for kind in types if kind in TRANSPORTS), ("", "image_raw"))
    setting = f"set node.{camera}_transport to {transport} and remap" if transport else "remap"
    return f"{setting} {camera}/{name} to {'it' if transport else 'a topic of images'}"


def _where_else(item: CameraInput, camera: CameraName) -> str:
    """What to do where nobody publishes on the topic."""
    if item.topic.endswith("/compressed/compressed"):
        raw = item.topic.removesuffix("/compressed/compressed")
        return f"node.{camera}_transport compressed adds /compressed to the name by itself: give {raw}"
    if item.count_publishers(f"{item.topic}/compressed"):
        return f"{item.topic}/compressed is there: set node.{camera}_transport to compressed"
    if item.topic.endswith("/compressed") and item.count_publishers(item.topic.removesuffix("/compressed")):
        return f"{item.topic.removesuffix('/compressed')} is there: set node.{camera}_transport to raw"
    images = item.image_topics()
    there = f"image topics here are {', '.join(images)}" if images else "there are no image topics here"
    return f"{there}; start the camera, or remap {camera}/image_raw to its topic"


def _unpaired(session: FusionSession) -> str:
    seen = {camera: session.inputs[camera].newest for camera in CAMERAS}
    configured_ns = round(session.config.pairing.thermal_time_offset_ms * 1e6)
    if min(map(len, seen.values())) >= MIN_FRAMES:
        measured_ns = offset_ns(seen["thermal"], seen["rgb"])
        if abs(measured_ns - configured_ns) > _APART_NS:
            return f"no frames pair up: {advice(measured_ns)}"
    return (
        "both cameras publish, but no frames pair up: check that their clocks agree, "
        "pairing.max_skew_ms and pairing.thermal_time_offset_ms"
    )
