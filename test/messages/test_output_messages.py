"""What becomes of a result, on any library's messages; bags/test_bags_writer reads them with others."""

from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from message_samples import HEADER, INFO, STAMP_NS, detections, make, result

from ivfusion_ros.bags import messages
from ivfusion_ros.messages import (
    LABELS_TOPIC,
    OUTPUTS,
    REGISTERED_TOPICS,
    outputs_of,
    to_camera_info,
    to_frame,
)
from ivfusion_ros.messages.detections import (
    make_detections,
    make_label_info,
    make_native_detections,
    make_temperatures,
)
from ivfusion_ros.messages.images import make_camera_info, make_compressed_image, make_image
from ivfusion_ros.messages.make import make_header
from ivfusion_ros.messages.old_detections import make_old_detections
from ivfusion_ros.types import CameraInfo, Detections, Header

STAMPS = st.integers(-(2**31) * 10**9, 2**31 * 10**9 - 1)


@given(stamp_ns=STAMPS)
def test_stamps_are_split_to_the_nanosecond(stamp_ns: int) -> None:
    header = make_header(make, Header(stamp_ns, "f"))
    assert 0 <= header.stamp.nanosec < 10**9 and -(2**31) <= header.stamp.sec < 2**31
    assert header.stamp.sec * 10**9 + header.stamp.nanosec == stamp_ns and header.frame_id == "f"


def test_an_image_is_read_back() -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    # Rows with gaps, as a crop has them, must not reach the message.
    message = make_image(make, HEADER, rgb[:, 1:6])
    assert bytes(message.data) == rgb[:, 1:6].tobytes()
    assert (message.width, message.height, message.step, message.encoding) == (5, 5, 15, "rgb8")
    assert np.array_equal(to_frame(message).image, rgb[:, 1:6])


def test_a_compressed_colour_image_is_a_jpeg_that_is_read_back() -> None:
    rgb = np.zeros((32, 48, 3), np.uint8)
    rgb[:] = 200, 100, 50
    message = make_compressed_image(make, HEADER, rgb)
    bgr = cv2.imdecode(np.frombuffer(message.data, np.uint8), cv2.IMREAD_COLOR)
    assert np.abs(bgr[..., ::-1].astype(int) - rgb).max() < 6
    assert "jpeg" in message.format
    assert np.array_equal(to_frame(message).image, bgr[..., ::-1])


def test_the_quality_of_a_jpeg_is_asked_for_each_image() -> None:
    qualities = [95, 20]
    row = {output.topic: output for output in outputs_of("vision_msgs", qualities.pop)}[
        "fused/image_raw/compressed"
    ]
    fused = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    sample = replace(result(), fused=fused, rgb=fused, thermal=fused[..., 0], measured=None)
    small, large = (len(row.message(make, sample).data) for _ in range(2))
    assert small < large / 2


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.float32])
def test_what_was_measured_is_read_back_from_both_topics(dtype: type) -> None:
    values = np.random.default_rng(0).uniform(0, 127, (6, 8)).astype(dtype)
    rows = {output.topic: output for output in OUTPUTS}
    for topic in REGISTERED_TOPICS:
        message = rows[topic].message(make, result(measured=values))
        np.testing.assert_array_equal(to_frame(message).image, values)


def test_camera_info_goes_there_and_back() -> None:
    numbers = tuple(float(value) for value in range(12))
    info = CameraInfo(640, 480, "rational_polynomial", numbers[:8], numbers[:9], numbers[:9], numbers)
    assert to_camera_info(make_camera_info(make, HEADER, info), "") == info


def numbers(detection: Any) -> tuple[Any, ...]:
    box, hypothesis = detection.bbox, detection.results[0].hypothesis
    stamp, position = detection.header.stamp, box.center.position
    return (
        *(stamp.sec, stamp.nanosec),
        *(position.x, position.y, box.size_x, box.size_y),
        *(hypothesis.class_id, hypothesis.score),
        detection.id,
    )


def test_detections_in_the_fused_image() -> None:
    message = make_detections(make, HEADER, detections())
    assert [numbers(item) for item in message.detections] == [
        (1, 500_000_001, 6.375, 16.0, 9.75, 28.0, "1", 0.875, ""),
        (1, 500_000_001, 1.5, 2.0, 3.0, 4.0, "0", 0.5, ""),
    ]


def test_labels_have_every_class() -> None:
    labels = make_label_info(make, HEADER, ("person", "car"), 0.25)
    assert labels.threshold == 0.25
    assert [(item.class_id, item.class_name) for item in labels.class_map] == [(0, "person"), (1, "car")]


def sent_by_camera(make_found: Any) -> dict[str, Any]:
    """The one detection that each camera sees."""
    sent: dict[str, Any] = {}
    for camera in ("thermal", "rgb"):
        (sent[camera],) = make_found(make, Header(7, camera), detections(), camera).detections
    return sent


def test_native_detections_are_in_the_cameras_pixels() -> None:
    sent = sent_by_camera(make_native_detections)
    assert numbers(sent["thermal"]) == (0, 7, 7.0, 9.0, 4.0, 6.0, "0", 0.5, "")
    assert numbers(sent["rgb"]) == (0, 7, 2.0, 2.0, 2.0, 2.0, "1", 0.875, "")
    assert len(sent["thermal"].results) == 1 and sent["rgb"].header.frame_id == "rgb"


def test_a_track_has_its_number_everywhere() -> None:
    tracked = replace(detections(), track_ids=np.array([-1, 12]))
    assert [item.id for item in make_detections(make, HEADER, tracked).detections] == ["", "12"]
    (thermal,) = make_native_detections(make, HEADER, tracked, "thermal").detections
    assert thermal.id == "12"
    assert rows_of(make_temperatures(make, HEADER, tracked)) == [(1, 12, 310.5, 300.25)]


def rows_of(message: Any) -> list[tuple[Any, ...]]:
    """Rows of a PointCloud2 by its own fields."""
    codes = {5: "<i4", 6: "<u4", 7: "<f4"}
    layout = np.dtype({
        "names": [field.name for field in message.fields],
        "formats": [codes[field.datatype] for field in message.fields],
        "offsets": [field.offset for field in message.fields],
        "itemsize": message.point_step,
    })  # fmt: skip
    rows = np.frombuffer(bytes(message.data), layout)
    assert len(rows) == message.width and message.row_step == len(bytes(message.data))
    return rows[["index", "id", "max_kelvin", "mean_kelvin"]].tolist()


def test_temperatures_are_found_by_stamp_and_place() -> None:
    message = make_temperatures(make, HEADER, detections())
    # The first is not seen by the thermal camera.
    assert rows_of(message) == [(1, -1, 310.5, 300.25)]
    assert message.header.stamp.nanosec == STAMP_NS % 10**9
    nobody = replace(detections(), max_kelvin=np.full(2, np.nan, np.float32))
    assert rows_of(make_temperatures(make, HEADER, nobody)) == []


def test_the_old_layout_is_as_it_was() -> None:
    sent = sent_by_camera(make_old_detections)
    assert numbers(sent["thermal"]) == (0, 7, 7.0, 9.0, 4.0, 6.0, "person", 0.5, "1")
    assert numbers(sent["rgb"]) == (0, 7, 2.0, 2.0, 2.0, 2.0, "car", 0.875, "0")
    extras = [(item.hypothesis.class_id, item.hypothesis.score) for item in sent["thermal"].results[1:]]
    assert extras == [("max_kelvin", 310.5), ("mean_kelvin", 300.25)]
    assert len(sent["rgb"].results) == 1
    rows = {output.topic: output for output in outputs_of("names", lambda: 90)}
    assert [output.topic for output in OUTPUTS] == list(rows)
    old = rows["detections"].message(make, result())
    assert [(item.results[0].hypothesis.class_id, item.id) for item in old.detections] == [
        ("car", "0"),
        ("person", "1"),
    ]


def test_no_native_detections_without_boxes_of_the_camera() -> None:
    found = Detections.empty(("person",))
    assert make_native_detections(make, HEADER, found, "thermal").detections == []


def test_every_topic_has_one_row_and_messages_of_its_type() -> None:
    topics = [output.topic for output in OUTPUTS]
    assert len({*topics, LABELS_TOPIC}) == len(topics) + 1
    for output in OUTPUTS:
        for message in (output.message(make, result()), output.message(messages.make, result())):
            assert getattr(message, "type_name", "") or message.__msgtype__ == output.type
        assert output.message(make, result()).type_name == output.type


def test_messages_have_their_cameras_header() -> None:
    headers = {output.topic: output.message(make, result()).header for output in OUTPUTS}
    assert headers.pop("thermal/detections").stamp.nanosec == STAMP_NS % 10**9 - 7
    assert {(item.stamp.nanosec, item.frame_id) for item in headers.values()} == {(STAMP_NS % 10**9, "rgb")}


def topics_of(**fields: Any) -> set[str]:
    """Those that get a message of a result."""
    sample = result(**fields)
    return {output.topic for output in OUTPUTS if output.message(make, sample) is not None}


NATIVE = {"thermal/detections", "rgb/detections", "detections/temperatures", "detections_3d"}


@pytest.mark.parametrize(
    ("fields", "missing"),
    [
        ({"detections": None}, {"detections", *NATIVE}),
        # While the detector rests.
        ({"detections": replace(detections(), age_ns=1)}, {"detections", *NATIVE}),
        ({"detections": replace(detections(), max_kelvin=None)}, {"detections/temperatures"}),
        ({"camera_info": None}, {"fused/camera_info"}),
        ({"measured": None}, {"thermal/image_registered", "thermal/image_registered/compressed"}),
        ({"headers": {"rgb": HEADER}}, {"thermal/detections"}),
    ],
)
def test_a_result_without_something_gives_no_message_of_it(fields: dict[str, Any], missing: set) -> None:
    assert topics_of() - topics_of(**fields) == missing


def test_boxes_are_drawn_on_the_annotated_image_alone() -> None:
    images = {output.topic: output.message(make, result()) for output in OUTPUTS if "image" in output.topic}
    assert bytes(images["fused/image_raw"].data) == result().fused.tobytes()
    assert bytes(images["fused/image_annotated"].data) != result().fused.tobytes()


def test_intrinsics_come_before_the_image_of_their_camera() -> None:
    topics = [output.topic for output in OUTPUTS]
    assert topics.index("fused/camera_info") < topics.index("fused/image_raw")
    assert topics.index("fused/camera_info") < topics.index("fused/image_raw/compressed")
    info = OUTPUTS[topics.index("fused/camera_info")].message(make, result())
    assert to_camera_info(info, "") == INFO
