"""Frames of objects that merely look like messages, and of a bag's messages."""

import array
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from message_samples import image_like

from ivfusion_ros.bags import messages
from ivfusion_ros.errors import ConfigError, ImageError
from ivfusion_ros.images.encodings import encode_image
from ivfusion_ros.messages import encoding_of, to_camera_info, to_depth_frame, to_extrinsics, to_frame
from ivfusion_ros.messages.type_names import IMAGE
from ivfusion_ros.types import CameraInfo

STAMPS = st.integers(-(2**31) * 10**9, 2**31 * 10**9 - 1)


@given(stamp_ns=STAMPS)
def test_stamps_are_joined_to_the_nanosecond(stamp_ns: int) -> None:
    info = CameraInfo(2, 2)
    frame = to_frame(image_like(np.zeros((2, 2), np.uint8), "mono8", stamp_ns), info, 5)
    assert (frame.stamp_ns, frame.frame_id) == (stamp_ns, "camera_optical_frame")
    assert frame.camera_info is info and frame.received_ns == 5


def test_an_image_that_needs_no_conversion_is_not_copied() -> None:
    message = image_like(np.arange(12, dtype=np.uint8).reshape(3, 4), "mono8")
    frame = to_frame(message)
    message.data[5] = 99
    assert frame.image[1, 1] == 99


@pytest.mark.parametrize("fields", [{"data": array.array("B")}, {"encoding": "what"}, {"step": 1}])
def test_bad_images_raise_image_error(fields: dict[str, Any]) -> None:
    message = image_like(np.zeros((4, 4), np.uint8), "mono8")
    vars(message).update(fields)
    with pytest.raises(ImageError):
        to_frame(message)


def test_a_bad_compressed_image_raises_image_error() -> None:
    header = image_like(np.zeros((1, 1), np.uint8), "mono8").header
    with pytest.raises(ImageError, match="truncated"):
        to_frame(SimpleNamespace(header=header, format="jpeg", data=b"\xff\xd8\xff"))


def test_an_encoding_that_the_driver_gets_wrong_can_be_told():
    counts = np.arange(24, dtype="<u2").reshape(4, 6) + 29000
    message = image_like(counts.view(np.uint8).reshape(4, 12), "yuv422_yuy2")
    message.width = 6
    np.testing.assert_array_equal(to_frame(message, encoding="mono16").image, counts)
    with pytest.raises(
        ImageError, match=r"'yuv422_yuy2', of 2 bytes.*as rgb8, of 3; set thermal\.encoding"
    ):
        to_frame(message, encoding="rgb8")
    with pytest.raises(ImageError, match="'xyz', supported are"):
        to_frame(message, encoding="xyz")


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"encoding": "bayer_rggb8"}, "bayer_rggb8"),
        ({"format": "rgb8; jpeg compressed bgr8"}, "rgb8"),
        ({"format": "jpeg"}, ""),
    ],
)
def test_the_encoding_that_is_announced(fields: dict[str, str], expected: str) -> None:
    assert encoding_of(SimpleNamespace(**fields)) == expected


def test_depth_is_read_in_its_unit() -> None:
    frame = to_depth_frame(image_like(np.array([[1000, 0]], "<u2"), "16UC1", 3))
    assert frame.image.dtype == np.uint16 and frame.image.tolist() == [[1000, 0]] and frame.stamp_ns == 3


def test_a_transform_moves_points() -> None:
    quarter = np.sqrt(0.5)
    rotation = SimpleNamespace(x=0.0, y=0.0, z=quarter, w=quarter)
    transform = SimpleNamespace(rotation=rotation, translation=SimpleNamespace(x=1.0, y=2.0, z=3.0))
    moved = to_extrinsics(transform).apply(np.array([[1.0, 0.0, 0.0]]))
    np.testing.assert_allclose(moved, [[1.0, 3.0, 3.0]], atol=1e-12)
    rotation.z = rotation.w = 0.0
    with pytest.raises(ConfigError):
        to_extrinsics(transform)


@pytest.mark.parametrize("encoding", ["mono8", "mono16", "rgb8", "bgr8"])
def test_live_and_bag_frames_are_equal(encoding: str) -> None:
    random = np.random.default_rng(2)
    shape = (6, 8, 3) if encoding.endswith("gb8") or encoding == "bgr8" else (6, 8)
    image = random.integers(0, 256, shape).astype(np.uint16 if encoding == "mono16" else np.uint8)
    raw = encode_image(image, encoding)
    live_message = image_like(image, encoding, 7)
    live_message.data = array.array("B", raw.data)
    fields = {**vars(live_message), "data": np.frombuffer(raw.data, np.uint8)}
    fields["header"] = messages.make(
        "std_msgs/msg/Header",
        stamp=messages.make(messages.TIME, sec=0, nanosec=7),
        frame_id="camera_optical_frame",
    )
    stored = messages.to_frame(messages.serialize(messages.make(IMAGE, **fields)), IMAGE)
    live = to_frame(live_message)
    assert np.array_equal(live.image, stored.image) and live.image.dtype == stored.image.dtype
    assert (live.stamp_ns, live.frame_id) == (stored.stamp_ns, stored.frame_id) == (7, live.frame_id)


def info_like(**fields: Any) -> Any:
    values = {
        "width": 400, "height": 300, "distortion_model": "plumb_bob", "d": [0.1] * 5,
        "r": np.eye(3).ravel(),
        "k": [320, 0, 199.5, 0, 320, 149.5, 0, 0, 1], "p": [300, 0, 200, 0, 0, 300, 150, 0, 0, 0, 1, 0],
        "binning_x": 2, "binning_y": 2,
        "roi": SimpleNamespace(x_offset=40, y_offset=30, width=320, height=240, do_rectify=False),
    }  # fmt: skip
    return SimpleNamespace(**{**values, **fields})


def test_camera_info_is_that_of_the_images_as_sent() -> None:
    info = to_camera_info(info_like(), "/camera/image_raw")
    assert (info.width, info.height, info.d) == (160, 120, (0.1,) * 5)
    assert info.k == (160.0, 0.0, 79.75, 0.0, 160.0, 59.75, 0.0, 0.0, 1.0)


@pytest.mark.parametrize("name", ["image_rect", "image_rect_color/compressed", "image_rectified"])
def test_rectified_images_are_known_by_their_topic(name: str) -> None:
    info = to_camera_info(info_like(), f"/camera/{name}")
    assert info.k == (150.0, 0.0, 80.0, 0.0, 150.0, 60.0, 0.0, 0.0, 1.0) and not any(info.d)


def test_other_topics_are_not_rectified() -> None:
    for topic in ("/image_rect/image_raw", "/camera/image_direct", "/camera/rectangle"):
        assert any(to_camera_info(info_like(), topic).d)
