"""Small bags for the tests, written with rosbags and with Foxglove's mcap library."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

STORE = get_typestore(Stores.ROS2_JAZZY)
IMAGE, COMPRESSED, INFO, STRING = (
    "sensor_msgs/msg/Image",
    "sensor_msgs/msg/CompressedImage",
    "sensor_msgs/msg/CameraInfo",
    "std_msgs/msg/String",
)
START_NS = 1_700_000_000_000_000_000
Message = tuple[str, str, int, bytes]
"""Topic, type, log time in ns, CDR bytes."""


def header(stamp_ns: int, frame_id: str) -> Any:
    time = STORE.types["builtin_interfaces/msg/Time"](sec=stamp_ns // 10**9, nanosec=stamp_ns % 10**9)
    return STORE.types["std_msgs/msg/Header"](stamp=time, frame_id=frame_id)


def cdr(msgtype: str, **fields: Any) -> bytes:
    return bytes(STORE.serialize_cdr(STORE.types[msgtype](**fields), msgtype))


def image(pixels: np.ndarray, encoding: str, stamp_ns: int, frame_id: str = "camera") -> bytes:
    return cdr(
        IMAGE,
        header=header(stamp_ns, frame_id),
        height=pixels.shape[0],
        width=pixels.shape[1],
        encoding=encoding,
        is_bigendian=0,
        step=pixels.strides[0],
        data=np.frombuffer(pixels.tobytes(), np.uint8),
    )


def png(pixels: np.ndarray, stamp_ns: int, format_: str) -> bytes:
    data = cv2.imencode(".png", pixels)[1].ravel()
    return cdr(COMPRESSED, header=header(stamp_ns, "camera"), format=format_, data=data)


def camera_info(width: int, height: int, focal: float, stamp_ns: int) -> bytes:
    roi = STORE.types["sensor_msgs/msg/RegionOfInterest"](
        x_offset=0, y_offset=0, height=0, width=0, do_rectify=False
    )
    return cdr(
        INFO,
        header=header(stamp_ns, "camera"),
        height=height,
        width=width,
        distortion_model="plumb_bob",
        d=np.array([0.1, 0.2, 0.0, 0.0, 0.0]),
        k=np.array([focal, 0, 4, 0, focal, 3, 0, 0, 1.0]),
        r=np.eye(3).ravel(),
        p=np.array([focal, 0, 4, 0, 0, focal, 3, 0, 0, 0, 1.0, 0]),
        binning_x=0,
        binning_y=0,
        roi=roi,
    )


def pixels_of(index: int, height: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """Thermal (height, 8) uint16 and RGB (height, 8, 3) uint8 of a moment."""
    random = np.random.default_rng(index)
    sizes = (height, 8), (height, 8, 3)
    return random.integers(0, 2**16, sizes[0], np.uint16), random.integers(0, 256, sizes[1], np.uint8)


def two_cameras(count: int = 5, start: int = 0, height: int = 6) -> Iterator[Message]:
    """Thermal, RGB, their camera infos and one other topic, in order of time, 10 ms apart."""
    for index in range(start, start + count):
        stamp = START_NS + index * 10_000_000
        thermal, rgb = pixels_of(index, height)
        yield "/rgb/camera_info", INFO, stamp, camera_info(8, height, 100.0, stamp)
        yield "/thermal/image_raw", IMAGE, stamp + 1, image(thermal, "mono16", stamp + 1, "thermal")
        yield "/rgb/image_raw", IMAGE, stamp + 2, image(rgb, "rgb8", stamp + 2, "rgb")
        yield "/chatter", STRING, stamp + 3, cdr(STRING, data=f"message {index}")


def many_strings(count: int, size: int = 400) -> list[Message]:
    """Messages of random length on three topics."""
    random = np.random.default_rng(count)
    text = random.bytes(size).hex()
    return [
        (
            f"/topic{i % 3}",
            STRING,
            START_NS + i,
            cdr(STRING, data=f"{i} {text[: random.integers(2 * size)]}"),
        )
        for i in range(count)
    ]


def write_rosbag2(
    folder: Path,
    messages: Iterable[Message],
    storage: StoragePlugin = StoragePlugin.MCAP,
    **compression: Any,
) -> Path:
    """A rosbag2 folder, by rosbags."""
    writer = Writer(folder, version=8, storage_plugin=storage)
    if compression:
        writer.set_compression(**compression)
    with writer:
        connections: dict[tuple[str, str], Any] = {}
        for topic, msgtype, log_time_ns, data in messages:
            if (topic, msgtype) not in connections:
                connections[topic, msgtype] = writer.add_connection(topic, msgtype, typestore=STORE)
            writer.write(connections[topic, msgtype], log_time_ns, data)
    return folder


def write_mcap(
    path: Path, messages: Iterable[Message], encoding: str = "cdr", store: Any = STORE, **options: Any
) -> Path:
    """An MCAP file, by Foxglove's library; options are its Writer's. store: of the types, by rosbags."""
    from mcap.writer import Writer as McapWriter

    with path.open("wb") as file:
        writer = McapWriter(file, **options)
        writer.start(profile="ros2", library="test")
        channels: dict[str, int] = {}
        for number, (topic, msgtype, log_time_ns, data) in zip(itertools.count(), messages, strict=False):
            if topic not in channels:
                text = store.generate_msgdef(msgtype, ros_version=2)[0].encode()
                schema = writer.register_schema(msgtype, "ros2msg", text)
                channels[topic] = writer.register_channel(topic, encoding, schema)
            writer.add_message(channels[topic], log_time_ns, data, log_time_ns, number)
        writer.finish()
    return path
