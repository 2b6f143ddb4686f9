"""Images as bytes: what is read and written without rclpy's messages is what rclpy reads and writes."""

from itertools import product
from typing import Any

import harness
import numpy as np
import pytest
from message_samples import result

from ivfusion_ros.messages import OUTPUTS, Output
from ivfusion_ros.ros import messages, wire

SIZES = [0, 1, 2, 3, 4, 5, 7, 8]
FRAMES = ["", "a", "ab", "abc", "abcd", "wärmebild_optical_frame"]
ENCODINGS = ["", "rgb8", "mono8", "mono16", "bayer_rggb16"]


def serialized(message: Any) -> bytes:
    from rclpy.serialization import serialize_message

    return bytes(serialize_message(message))


def image(size: int, frame_id: str, encoding: str) -> Any:
    pixels = np.arange(size, dtype=np.uint8).reshape(1, size)
    # Before 1970, so that the sign counts.
    return harness.image(pixels, encoding, -7_000_000_003, frame_id, step=77, is_bigendian=size % 2)


@pytest.mark.parametrize("size", SIZES)
def test_images_are_read(size: int) -> None:
    for frame_id, encoding in product(FRAMES, ENCODINGS):
        check_read(size, frame_id, encoding)


def check_read(size: int, frame_id: str, encoding: str) -> None:
    sent = image(size, frame_id, encoding)
    # Some middlewares fill up the last four bytes.
    for padding in range(4):
        read = wire.read_image(serialized(sent) + bytes(padding))
        assert read is not None
        assert (read.header.stamp.sec, read.header.stamp.nanosec) == (-8, 999_999_997)
        assert (read.header.frame_id, read.encoding, bytes(read.data)) == (
            frame_id,
            encoding,
            bytes(sent.data),
        )
        assert (read.height, read.width, read.step, read.is_bigendian) == (1, size, 77, size % 2)


@pytest.mark.parametrize("size", SIZES)
def test_images_are_written(size: int) -> None:
    for frame_id, encoding in product(FRAMES, ENCODINGS):
        sent = image(size, frame_id, encoding)
        fields = {name: getattr(sent, name) for name in sent.get_fields_and_field_types()}
        fields["data"] = np.frombuffer(sent.data, np.uint8)
        assert wire.make_to_send("sensor_msgs/msg/Image", **fields) == serialized(sent)


def test_what_is_no_such_image_is_left_to_rclpy() -> None:
    content = serialized(image(8, "abc", "rgb8"))
    big_endian = b"\0\0" + content[2:]
    for wrong in (
        b"",
        content[:1],
        big_endian,
        content + bytes(4),
        content.replace(b"abc", b"\xff\xfe\xfd"),
    ):
        assert wire.read_image(wrong) is None
    for end in range(len(content)):
        assert wire.read_image(content[:end]) is None


@pytest.mark.parametrize("output", OUTPUTS, ids=lambda output: output.topic)
def test_outputs_are_the_same_bytes_either_way(output: Output) -> None:
    message = output.message(wire.make_to_send, result())
    sent = message if isinstance(message, bytes) else serialized(message)
    assert sent == serialized(output.message(messages.make, result()))
    assert isinstance(message, bytes) == (output.type == "sensor_msgs/msg/Image")
