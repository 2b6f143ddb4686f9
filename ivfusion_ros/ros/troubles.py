"""What keeps images from becoming pairs, with cause and cure: on the console and in /diagnostics."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rclpy.clock import Clock
from rclpy.clock_type import ClockType

from ivfusion_ros.ros.slowness import slow_in_work
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
_MAX_ABSENT = 0.1
"""Share of a period that the node may not have run without a warning."""
_LARGE_BYTES = 2**20
"""Of an image: several times a socket's usual buffer, into which DDS sends it in pieces."""
_PIXEL_BYTES = {"sensor_msgs/msg/Image": 2.0, "sensor_msgs/msg/CompressedImage": 0.2}
"""About."""
_PROFILE = (
    "give both ends a profile of config/dds (`dds:=cyclonedds` or `dds:=fastdds` at the launch), and the "
    "socket buffer that the profile names"
)
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
            if slow := slow_in_work(*session.worker.in_work):
                self._node.get_logger().warning(slow)
            if not starting(session):
                for text in camera_troubles(session, received, self._pairs - pairs_before):
                    self._node.get_logger().warning(text)


def starting(session: FusionSession) -> bool:
    """Whether it is too early to say that something does not come."""
    return time.monotonic() - session.rest.began_s < PERIOD_S


def camera_troubles(
    session: FusionSession, received: Mapping[CameraName, float], pairs: float
) -> list[str]:
    """A text for each trouble. received, pairs: how many of late, of which only 0 counts."""
    absent = session.presence.absent_s(PERIOD_S) / PERIOD_S
    found = [_held_up(absent)] if absent > _MAX_ABSENT else []
    if absent < 0.5:
        found += filter(None, (_silent(session, camera) for camera in CAMERAS if not received[camera]))
    if session.resting():
        # Images are counted then, and not looked at.
        return found
    for camera, item in session.inputs.items():
        if received[camera]:
            found += filter(None, (_without_clock(item), _with_gaps(item, session.settled_s)))
    return found if found or pairs else [_unpaired(session)]


def _held_up(absent: float) -> str:
    return (
        f"this node did not run for {absent * PERIOD_S:.1f} of the last {PERIOD_S:g} s, in which images "
        "may be lost: its process was stopped, or the machine has too much to do (`ivfusion doctor` tells)"
    )


def _without_clock(item: CameraInput) -> str:
    if not item.stamps_stand_still:
        return ""
    return (
        f"all stamps on {item.topic} are {item.sightings[-1].stamp_ns} ns, so no clock sets them and "
        "nothing pairs by time: let the driver fill in header.stamp"
    )


def _with_gaps(item: CameraInput, since_s: float) -> str:
    missing = item.missing(since_s)
    if missing <= MAX_MISSING:
        return ""
    return (
        f"{missing:.0%} of the images of {item.topic} never came, by the gaps in their stamps: either the "
        f"camera skips them, or DDS loses pieces of large ones; then {_PROFILE}"
    )


def _silent(session: FusionSession, camera: CameraName) -> str:
    """Why no images come; empty where that is as it should be."""
    item = session.inputs[camera]
    text = f"no images on {item.topic} ({item.publishers} publishers)"
    others = sorted(set(item.published_types) - {item.type})
    if others:
        found = ", ".join(others)
        return f"{text}: it has {found}, expected {item.type}; {_cure(camera, others)}"
    if not item.publishers:
        return f"{text}: {_where_else(item, camera)}"
    return "" if session.rest.closed else f"{text}: {_why_none_arrives(item)}"


def _why_none_arrives(item: CameraInput) -> str:
    """Where somebody publishes what is expected."""
    if item.unusable:
        return f"those that come cannot be used, as {item.unusable}"
    if item.refused:
        return f"{item.refused}; `ros2 topic info --verbose {item.topic}` shows both ends"
    text = (
        f"is the camera running, and does its data get here? `ros2 topic hz {item.topic}` and "
        f"`ros2 topic info --verbose {item.topic}` tell"
    )
    size = item.size
    if not item.best_effort or (size and size[0] * size[1] * _PIXEL_BYTES[item.type] < _LARGE_BYTES):
        return text
    large = f"Images of {size[0]}x{size[1]}, as camera_info says," if size else "If they are large, they"
    return f"{text}. {large} may all lose pieces in DDS: {_PROFILE}"


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
    return (
        f"{there}; start the camera, or remap {camera}/image_raw to its topic "
        f"({camera}_topic at the launch)"
    )


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
