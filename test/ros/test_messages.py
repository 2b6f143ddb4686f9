"""ros/messages.py on objects that merely look like messages, against bags/messages.py and numpy."""

import array
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ivfusion_ros.bags import messages as bag_messages
from ivfusion_ros.errors import ImageError
from ivfusion_ros.images.encodings import encode_image
from ivfusion_ros.ros import messages
from ivfusion_ros.types import CameraInfo, Detections

STAMPS = st.integers(-(2**31) * 10**9, 2**31 * 10**9 - 1)


def head() -> Any:
    return SimpleNamespace(stamp=SimpleNamespace(sec=0, nanosec=0), frame_id="")


class VisionMessages:
    """Stands in for the module vision_msgs.msg."""

    @staticmethod
    def Detection2D() -> Any:
        center = SimpleNamespace(position=SimpleNamespace(x=0.0, y=0.0), theta=0.0)
        box = SimpleNamespace(center=center, size_x=0.0, size_y=0.0)
        return SimpleNamespace(header=head(), results=[], bbox=box, id="")

    @staticmethod
    def ObjectHypothesisWithPose() -> Any:
        return SimpleNamespace(hypothesis=SimpleNamespace(class_id="", score=0.0))

    @staticmethod
    def VisionClass(class_id: int, class_name: str) -> Any:
        return SimpleNamespace(class_id=class_id, class_name=class_name)


def image_like(pixels: np.ndarray, encoding: str, stamp_ns: int = 0) -> Any:
    message = SimpleNamespace(
        header=head(),
        height=pixels.shape[0],
        width=pixels.shape[1],
        encoding=encoding,
        is_bigendian=0,
        step=pixels.strides[0],
        data=array.array("B", pixels.tobytes()),
    )
    messages.fill_header(message, stamp_ns, "camera_optical_frame")
    return message


@given(stamp_ns=STAMPS)
def test_stamps_are_split_and_joined_to_the_nanosecond(stamp_ns: int) -> None:
    message = image_like(np.zeros((2, 2), np.uint8), "mono8", stamp_ns)
    stamp = message.header.stamp
    assert 0 <= stamp.nanosec < 10**9 and -(2**31) <= stamp.sec < 2**31
    frame = messages.image_frame(message)
    assert frame.stamp_ns == stamp_ns and frame.frame_id == "camera_optical_frame"


def test_an_image_that_needs_no_conversion_is_not_copied() -> None:
    message = image_like(np.arange(12, dtype=np.uint8).reshape(3, 4), "mono8")
    frame = messages.image_frame(message)
    message.data[5] = 99
    assert frame.image[1, 1] == 99


def test_image_that_was_filled_is_read_back() -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    # Rows with gaps, as a crop has them, must not reach the message.
    message = image_like(np.zeros((1, 1), np.uint8), "mono8")
    messages.fill_image(message, rgb[:, 1:6])
    assert isinstance(message.data, array.array) and message.data.typecode == "B"
    assert bytes(message.data) == rgb[:, 1:6].tobytes()
    assert (message.width, message.height, message.step, message.encoding) == (5, 5, 15, "rgb8")
    assert np.array_equal(messages.image_frame(message).image, rgb[:, 1:6])


def test_compressed_image_is_a_jpeg_that_is_read_back() -> None:
    rgb = np.zeros((32, 48, 3), np.uint8)
    rgb[:] = 200, 100, 50
    message = SimpleNamespace(header=head(), format="", data=None)
    messages.fill_compressed(message, rgb)
    bgr = cv2.imdecode(np.frombuffer(message.data, np.uint8), cv2.IMREAD_COLOR)
    assert np.abs(bgr[..., ::-1].astype(int) - rgb).max() < 6
    assert "jpeg" in message.format
    assert np.array_equal(messages.compressed_frame(message).image, bgr[..., ::-1])


@pytest.mark.parametrize("fields", [{"data": array.array("B")}, {"encoding": "what"}, {"step": 1}])
def test_bad_images_raise_image_error(fields: dict[str, Any]) -> None:
    message = image_like(np.zeros((4, 4), np.uint8), "mono8")
    vars(message).update(fields)
    with pytest.raises(ImageError):
        messages.image_frame(message)
    with pytest.raises(ImageError):
        messages.compressed_frame(SimpleNamespace(header=head(), format="jpeg", data=b"\xff\xd8\xff"))


def test_camera_info_goes_there_and_back() -> None:
    numbers = tuple(float(value) for value in range(12))
    info = CameraInfo(640, 480, "rational_polynomial", numbers[:8], numbers[:9], numbers[:9], numbers)
    message = SimpleNamespace(header=head())
    messages.fill_camera_info(message, info)
    assert CameraInfo.from_message(message) == info


def test_detections_and_labels_are_those_of_a_bag() -> None:
    found = Detections(
        np.array([[1.5, 2, 11.25, 30], [0, 0, 3, 4]], np.float32),
        np.array([0.875, 0.3], np.float32),
        np.array([1, 0]),
        ("person", "car"),
    )
    live = SimpleNamespace(header=head(), detections=[])
    messages.fill_header(live, 1_500_000_001, "rgb")
    messages.fill_detections(live, found, VisionMessages)
    bag = bag_messages.detections_message(found, bag_messages.header(1_500_000_001, "rgb"))
    assert [numbers(item) for item in live.detections] == [numbers(item) for item in bag.detections]
    assert numbers(live.detections[0])[2:] == (6.375, 16.0, 9.75, 28.0, "car", 0.875, "0")
    labels = SimpleNamespace(header=head(), class_map=[])
    messages.fill_label_info(labels, found.class_names, VisionMessages)
    assert [(item.class_id, item.class_name) for item in labels.class_map] == [(0, "person"), (1, "car")]


def numbers(detection: Any) -> tuple[Any, ...]:
    box, hypothesis = detection.bbox, detection.results[0].hypothesis
    stamp, position = detection.header.stamp, box.center.position
    return (
        *(stamp.sec, stamp.nanosec),
        *(position.x, position.y, box.size_x, box.size_y),
        *(hypothesis.class_id, hypothesis.score),
        detection.id,
    )


def test_native_detections_are_linked_by_their_number_and_have_temperatures() -> None:
    nan = [np.nan] * 4
    found = Detections(
        np.array([[0, 0, 4, 4], [10, 10, 20, 20]], np.float32),
        np.array([0.75, 0.5], np.float32),
        np.array([1, 0]),
        ("person", "car"),
        np.array([nan, [5, 6, 9, 12]], np.float32),
        np.array([[1, 1, 3, 3], nan], np.float32),
        np.array([np.nan, 310.5], np.float32),
        np.array([np.nan, 300.25], np.float32),
    )
    sent: dict[str, Any] = {}
    for camera in ("thermal", "rgb"):
        message = SimpleNamespace(header=head(), detections=[])
        messages.fill_header(message, 7, camera)
        messages.fill_native_detections(message, found, camera, VisionMessages)
        (sent[camera],) = message.detections
    assert numbers(sent["thermal"]) == (0, 7, 7.0, 9.0, 4.0, 6.0, "person", 0.5, "1")
    assert numbers(sent["rgb"]) == (0, 7, 2.0, 2.0, 2.0, 2.0, "car", 0.75, "0")
    extras = [(item.hypothesis.class_id, item.hypothesis.score) for item in sent["thermal"].results[1:]]
    assert extras == [("max_kelvin", 310.5), ("mean_kelvin", 300.25)]
    assert len(sent["rgb"].results) == 1 and sent["rgb"].header.frame_id == "rgb"


def test_no_native_detections_of_a_silent_camera() -> None:
    message = SimpleNamespace(header=head(), detections=[])
    found = Detections.empty(("person",))
    messages.fill_native_detections(message, found, "thermal", VisionMessages)
    assert message.detections == []


@pytest.mark.parametrize("encoding", ["mono8", "mono16", "rgb8", "bgr8"])
def test_live_and_bag_frames_are_equal(encoding: str) -> None:
    random = np.random.default_rng(2)
    shape = (6, 8, 3) if encoding.endswith("gb8") or encoding == "bgr8" else (6, 8)
    image = random.integers(0, 256, shape).astype(np.uint16 if encoding == "mono16" else np.uint8)
    raw = encode_image(image, encoding)
    header = bag_messages.header(7, "camera")
    pixels = np.frombuffer(raw.data, np.uint8)
    message = bag_messages.make(
        bag_messages.IMAGE, header, raw.height, raw.width, encoding, 0, raw.step, pixels
    )
    stored = bag_messages.to_frame(bag_messages.serialize(message), bag_messages.IMAGE)
    live = messages.image_frame(message)
    assert np.array_equal(live.image, stored.image) and live.image.dtype == stored.image.dtype
    assert (live.stamp_ns, live.frame_id) == (stored.stamp_ns, stored.frame_id) == (7, "camera")
