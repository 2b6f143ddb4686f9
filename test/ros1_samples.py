"""Small bags of ROS 1, by rosbags."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from bag_samples import IMAGE, INFO, START_NS, STORE, camera_info, pixels_of
from rosbags.rosbag1 import Writer as Writer1
from rosbags.typesys import Stores, get_typestore

if TYPE_CHECKING:
    from pathlib import Path

    from bag_samples import Message

STORE1 = get_typestore(Stores.ROS1_NOETIC)
TYPES1 = STORE1.types


def header1(stamp_ns: int, frame_id: str) -> Any:
    time = TYPES1["builtin_interfaces/msg/Time"](stamp_ns // 10**9, stamp_ns % 10**9)
    return TYPES1["std_msgs/msg/Header"](7, time, frame_id)


def ros1(msgtype: str, **fields: Any) -> bytes:
    return bytes(STORE1.serialize_ros1(TYPES1[msgtype](**fields), msgtype))


def image1(pixels: np.ndarray, encoding: str, stamp_ns: int, frame_id: str) -> bytes:
    return ros1(
        IMAGE,
        header=header1(stamp_ns, frame_id),
        height=pixels.shape[0],
        width=pixels.shape[1],
        encoding=encoding,
        is_bigendian=0,
        step=pixels.strides[0],
        data=np.frombuffer(pixels.tobytes(), np.uint8),
    )


def info1(stamp_ns: int, height: int) -> bytes:
    lens = STORE.deserialize_cdr(camera_info(8, height, 100.0, stamp_ns), INFO)
    roi = TYPES1["sensor_msgs/msg/RegionOfInterest"](0, 0, 0, 0, False)
    return ros1(
        INFO,
        header=header1(stamp_ns, "camera"),
        height=height,
        width=8,
        distortion_model="plumb_bob",
        D=lens.d,
        K=lens.k,
        R=lens.r,
        P=lens.p,
        binning_x=0,
        binning_y=0,
        roi=roi,
    )


def two_cameras_1(count: int = 5, start: int = 0, height: int = 6) -> list[Message]:
    """As bag_samples.two_cameras, in ROS 1's bytes."""
    messages = []
    for index in range(start, start + count):
        stamp = START_NS + index * 10_000_000
        thermal, rgb = pixels_of(index, height)
        text = ros1("std_msgs/msg/String", data=f"message {index}")
        messages += [
            ("/rgb/camera_info", INFO, stamp, info1(stamp, height)),
            ("/thermal/image_raw", IMAGE, stamp + 1, image1(thermal, "mono16", stamp + 1, "thermal")),
            ("/rgb/image_raw", IMAGE, stamp + 2, image1(rgb, "rgb8", stamp + 2, "rgb")),
            ("/chatter", "std_msgs/msg/String", stamp + 3, text),
        ]
    return messages


def write_ros1(path: Path, split: bool = False, start: int = 0, height: int = 6) -> list[Path]:
    """PATH_0.bag, or two of one run."""
    messages = two_cameras_1(start=start, height=height)
    parts = [messages[:8], messages[8:]] if split else [messages]
    paths = [path.with_name(f"{path.stem}_{number}.bag") for number in range(len(parts))]
    for part, target in zip(parts, paths, strict=True):
        writer = Writer1(target)
        writer.set_compression(Writer1.CompressionFormat.LZ4)
        with writer:
            connections = {}
            for topic, msgtype, log_time_ns, data in part:
                if topic not in connections:
                    connections[topic] = writer.add_connection(topic, msgtype, typestore=STORE1)
                writer.write(connections[topic], log_time_ns, data)
    return paths
