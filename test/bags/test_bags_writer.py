from __future__ import annotations

import errno
import os
import signal
import struct
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest
from bag_samples import START_NS, STRING, Message, cdr, many_strings, two_cameras, write_mcap, write_rosbag2
from rosbags.highlevel import AnyReader
from rosbags.rosbag2 import Reader, StoragePlugin

from ivfusion_ros.bags import BagReader, BagTopic, BagWriter
from ivfusion_ros.bags.messages import make, serialize
from ivfusion_ros.errors import BagError
from ivfusion_ros.messages.detections import make_detections
from ivfusion_ros.types import CameraInfo, Detections, Frame, FusionResult, Header

if TYPE_CHECKING:
    from pathlib import Path

STAMP = 1_700_000_000_123_456_789
INFO = CameraInfo(
    64,
    48,
    "rational_polynomial",
    d=tuple(i / 10 for i in range(8)),
    k=(50.0, 0, 32, 0, 51.0, 24, 0, 0, 1),
    p=(50.0, 0, 32, -3, 0, 51.0, 24, 0, 0, 0, 1, 0),
)
DETECTIONS = Detections(
    np.array([[1, 2, 11, 22], [0.5, 0, 63.5, 48]], np.float32),
    np.array([0.75, 0.5], np.float32),
    np.array([2, 0], np.int64),
    ("person", "bicycle", "car"),
)


def result(index: int = 0, detections: Detections | None = DETECTIONS) -> FusionResult:
    random = np.random.default_rng(index)
    fused, rgb = random.integers(0, 256, (2, 48, 64, 3), np.uint8)
    thermal = random.integers(0, 256, (48, 64), np.uint8)
    stamp = STAMP + index * 40_000_000
    return FusionResult(fused, thermal, rgb, stamp, "rgb_optical_frame", INFO, detections=detections)


def smooth_image() -> np.ndarray:
    ramp = np.linspace(0, 255, 64).astype(np.uint8)
    return np.stack(
        [np.tile(ramp, (48, 1)), np.full((48, 64), 90, np.uint8), np.tile(ramp[::-1], (48, 1))], -1
    )


def write_results(path: Path, count: int = 3, **options: Any) -> Path:
    with BagWriter(path, **options) as writer:
        for index in range(count):
            writer.write_result(result(index))
    return path


def decoded(path: Path) -> list[tuple[str, int, Any]]:
    """(topic, log time, message), decoded by Foxglove's libraries alone."""
    reader = pytest.importorskip("mcap.reader", reason="needs mcap and mcap-ros2-support")
    decoder = pytest.importorskip("mcap_ros2.decoder", reason="needs mcap and mcap-ros2-support")
    with path.open("rb") as file:
        found = reader.make_reader(
            file, decoder_factories=[decoder.DecoderFactory()]
        ).iter_decoded_messages()
        return [(channel.topic, message.log_time, value) for _, channel, message, value in found]


def test_results_as_other_libraries_read_them(tmp_path: Path) -> None:
    content = decoded(write_results(tmp_path / "out.mcap"))
    by_topic = {
        topic: [(time, value) for name, time, value in content if name == topic]
        for topic in dict.fromkeys(name for name, _, _ in content)
    }
    topics = {"/fused/image_raw": 3, "/fused/camera_info": 3, "/detections/label_info": 1, "/detections": 3}
    assert {topic: len(values) for topic, values in by_topic.items()}.items() >= topics.items()
    for index, (time, image) in enumerate(by_topic["/fused/image_raw"]):
        expected = result(index)
        assert time == expected.stamp_ns
        assert (image.header.stamp.sec, image.header.stamp.nanosec) == divmod(expected.stamp_ns, 10**9)
        assert image.header.frame_id == "rgb_optical_frame"
        assert (image.width, image.height, image.step, image.encoding) == (64, 48, 192, "rgb8")
        assert bytes(image.data) == expected.fused.tobytes()
    _, info = by_topic["/fused/camera_info"][0]
    assert (info.width, info.height, info.distortion_model) == (64, 48, "rational_polynomial")
    for name in "dkrp":
        assert tuple(getattr(info, name)) == getattr(INFO, name)
    _, found = by_topic["/detections"][0]
    assert found.header.stamp.sec == STAMP // 10**9
    assert [
        (
            d.results[0].hypothesis.class_id,
            d.results[0].hypothesis.score,
            d.bbox.center.position.x,
            d.bbox.center.position.y,
            d.bbox.size_x,
            d.bbox.size_y,
            d.header.frame_id,
        )
        for d in found.detections
    ] == [
        ("2", 0.75, 6.0, 12.0, 10.0, 20.0, "rgb_optical_frame"),
        ("0", 0.5, 32.0, 24.0, 63.0, 48.0, "rgb_optical_frame"),
    ]
    _, labels = by_topic["/detections/label_info"][0]
    assert [(c.class_id, c.class_name) for c in labels.class_map] == [
        (0, "person"),
        (1, "bicycle"),
        (2, "car"),
    ]


def test_folder_as_rosbags_reads_it(tmp_path: Path) -> None:
    bag = write_results(tmp_path / "out")
    assert sorted(path.name for path in bag.iterdir()) == ["metadata.yaml", "out.mcap"]
    with AnyReader([bag]) as reader:  # checks type hashes against definitions
        counts = {connection.topic: connection.msgcount for connection in reader.connections}
        for connection, _, data in reader.messages():
            reader.deserialize(data, connection.msgtype)
    assert counts["/fused/image_raw"] == 3
    with Reader(bag) as plain:
        qos = {c.topic: c.ext.offered_qos_profiles[0] for c in plain.connections}
    assert {profile.reliability.name for profile in qos.values()} == {"RELIABLE"}
    assert qos["/detections/label_info"].durability.name == "TRANSIENT_LOCAL"
    assert qos["/fused/image_raw"].durability.name == "VOLATILE"


def test_vision_msgs_layout_byte_by_byte() -> None:
    """The 4.x layout from the CDR rules alone: 4-byte lengths, 8-byte doubles, aligned after 4 bytes."""
    one = Detections(
        *(array[:1] for array in (DETECTIONS.boxes_xyxy, DETECTIONS.scores, np.array([2]))),
        DETECTIONS.class_names,
    )
    data = serialize(make_detections(make, Header(7_000_000_009, "f"), one))
    expected = struct.pack("<iI I2s 2x", 7, 9, 2, b"f\0")
    expected += struct.pack("<I", 1)  # one detection
    expected += struct.pack("<iI I2s 2x", 7, 9, 2, b"f\0")
    expected += struct.pack("<I", 1)  # one result
    expected += struct.pack("<I2s", 2, b"2\0")
    expected += bytes(-len(expected) % 8) + struct.pack("<d", 0.75)
    expected += struct.pack("<7d", 0, 0, 0, 0, 0, 0, 1) + bytes(36 * 8)
    expected += struct.pack("<5d", 6, 12, 0, 10, 20)
    expected += struct.pack("<I1s", 1, b"\0")
    assert bytes(data) == b"\0\1\0\0" + expected


def test_compressed_results(tmp_path: Path) -> None:
    image = smooth_image()
    with BagWriter(tmp_path / "out.mcap", compressed=True) as writer:
        writer.write_result(replace(result(), fused=image))
        writer.write_frame("thermal", Frame(np.arange(3072, dtype=np.uint16).reshape(48, 64) * 20, 5))
    content = {topic: value for topic, _, value in decoded(tmp_path / "out.mcap")}
    fused = content["/fused/image_raw/compressed"]
    assert fused.format == "rgb8; jpeg compressed bgr8"
    pixels = cv2.imdecode(np.frombuffer(bytes(fused.data), np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    assert np.abs(pixels.astype(int) - image).mean() < 3
    thermal = content["/thermal/image_raw/compressed"]
    assert thermal.format == "mono16; png compressed "
    counts = cv2.imdecode(np.frombuffer(bytes(thermal.data), np.uint8), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(counts, np.arange(3072, dtype=np.uint16).reshape(48, 64) * 20)


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("name", ["cameras.mcap", "cameras"])
def test_camera_frames_come_back(tmp_path: Path, name: str, compressed: bool) -> None:
    random = np.random.default_rng(0)
    thermal = [
        Frame(random.integers(0, 2**16, (6, 8), np.uint16), STAMP + i, "t", received_ns=STAMP + i + 5)
        for i in range(4)
    ]
    rgb = [Frame(smooth_image(), STAMP + 10 + i, "c", INFO) for i in range(4)]
    with BagWriter(tmp_path / name, compressed=compressed) as writer:
        for first, second in zip(thermal, rgb, strict=True):
            writer.write_frame("thermal", first)
            writer.write_frame("/rgb/", second)
    with BagReader(tmp_path / name) as reader:
        chosen = reader.choose_topics()
        suffix = "/compressed" if compressed else ""
        assert (chosen.thermal, chosen.rgb) == (f"/thermal/image_raw{suffix}", f"/rgb/image_raw{suffix}")
        assert (chosen.thermal_info, chosen.rgb_info) == (None, "/rgb/camera_info")
        frames = list(reader.frames(chosen))
        assert reader.start_ns == STAMP + 5
    for camera, sent in (("thermal", thermal), ("rgb", rgb)):
        got = [frame for name, frame in frames if name == camera]
        assert [(f.stamp_ns, f.frame_id) for f in got] == [(f.stamp_ns, f.frame_id) for f in sent]
        for received, original in zip(got, sent, strict=True):
            difference = np.abs(received.image.astype(int) - original.image)
            assert difference.max() == 0 if camera == "thermal" or not compressed else difference.mean() < 3
    # The first image, too, has its camera_info before it.
    assert [frame.camera_info for name, frame in frames if name == "rgb"] == [INFO] * 4


def test_same_input_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write_results(tmp_path / name / "out.mcap")
        write_results(tmp_path / name / "jpeg.mcap", compressed=True)
        write_results(tmp_path / name / "folder")
    for file in ("out.mcap", "jpeg.mcap", "folder/folder.mcap", "folder/metadata.yaml"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


@pytest.mark.parametrize("storage", [StoragePlugin.MCAP, StoragePlugin.SQLITE3])
def test_original_topics_are_copied(tmp_path: Path, storage: StoragePlugin) -> None:
    written = list(two_cameras(4))
    source = write_rosbag2(tmp_path / "in", written, storage)
    with BagReader(source) as reader, BagWriter(tmp_path / "out") as writer:
        for camera, frame in reader.frames(reader.choose_topics(), writer.write_raw):
            if camera == "rgb":
                own = FusionResult(
                    frame.image,
                    frame.image[..., 0],
                    frame.image,
                    frame.stamp_ns,
                    received_ns=frame.received_ns,
                )
                writer.write_result(own)
    with AnyReader([tmp_path / "out"]) as copy:
        content = [(c.topic, c.msgtype, time, bytes(data)) for c, time, data in copy.messages()]
    originals = {topic for topic, *_ in written}
    assert [message for message in content if message[0] in originals] == written
    fused = [message for message in content if message[0] == "/fused/image_raw"]
    assert [time for _, _, time, _ in fused] == [
        time for name, _, time, _ in written if name == "/rgb/image_raw"
    ]


def test_earlier_results_are_not_copied_over_new_ones(tmp_path: Path) -> None:
    source = write_results(tmp_path / "in.mcap")
    with BagReader(source) as reader, BagWriter(tmp_path / "out.mcap") as writer:
        for message in reader.messages():
            writer.write_raw(*message)
        assert writer.left_out == {topic.name for topic in reader.topics}
        writer.write_result(result(7))
    topics = [topic for topic, _, _ in decoded(tmp_path / "out.mcap")]
    assert "/detections" in topics and len(topics) == len(set(topics))


@pytest.mark.parametrize(
    "definition",
    [
        "",
        "int32 x\nmy_msgs/Other other\n" + 80 * "=" + "\nMSG: my_msgs/Other\nint8 y",
        "%$ nonsense",
        "=" * 80 + "\nIDL: a",
    ],
)
def test_custom_types_are_copied_whatever_their_definition(tmp_path: Path, definition: str) -> None:
    topic = BagTopic("/custom", "my_msgs/msg/Custom", definition=definition)
    with BagWriter(tmp_path / "out") as writer:
        writer.write_raw(topic, 5, b"\0\1\0\0abcd")
    with BagReader(tmp_path / "out") as reader:
        assert [(t.name, t.definition, bytes(d)) for t, _, d in reader.messages()] == [
            ("/custom", definition, b"\0\1\0\0abcd")
        ]


def test_known_types_get_their_definition(tmp_path: Path) -> None:
    with BagWriter(tmp_path / "out.mcap") as writer:
        writer.write_raw(BagTopic("/chatter", STRING), 5, cdr(STRING, data="hello"))
    assert [value.data for _, _, value in decoded(tmp_path / "out.mcap")] == ["hello"]


@pytest.mark.parametrize("name", ["out.mcap", "out"])
def test_existing_output_needs_overwrite_and_survives_failure(tmp_path: Path, name: str) -> None:
    path = write_results(tmp_path / name, 1)
    before = snapshot(tmp_path)
    with pytest.raises(BagError, match=r"exists already.*--force"), BagWriter(path):
        pytest.fail("must not be entered")
    with pytest.raises(RuntimeError, match="half way"), BagWriter(path, overwrite=True) as writer:
        writer.write_result(result(5))
        raise RuntimeError("half way")
    assert snapshot(tmp_path) == before
    write_results(path, 2, overwrite=True)
    with BagReader(path) as reader:
        assert reader.message_counts is not None
        assert reader.message_counts["/fused/image_raw"] == 2
    assert [entry.name for entry in tmp_path.iterdir()] == [name]


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_nothing_else_is_ever_overwritten(tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "one.png").write_bytes(b"precious")
    (tmp_path / "folder.mcap").mkdir()
    (tmp_path / "file").write_bytes(b"precious")
    before = snapshot(tmp_path)
    for name in ("pictures", "folder.mcap", "file"):
        with (
            pytest.raises(BagError, match="so it is not overwritten"),
            BagWriter(tmp_path / name, overwrite=True),
        ):
            pytest.fail("must not be entered")
    for name in ("out.db3", "out.bag", "out.mp4", "out.PNG"):
        with pytest.raises(BagError, match="written as MCAP"), BagWriter(tmp_path / name):
            pytest.fail("must not be entered")
    with pytest.raises(BagError, match="cannot write"), BagWriter(tmp_path / "file" / "out.mcap"):
        pytest.fail("must not be entered")
    assert snapshot(tmp_path) == before


def test_bag_may_be_replaced_by_itself(tmp_path: Path) -> None:
    path = write_mcap(tmp_path / "bag.mcap", many_strings(20))
    with BagReader(path) as reader, BagWriter(path, overwrite=True) as writer:
        for message in reader.messages():
            writer.write_raw(*message)
    with BagReader(path) as reader:
        copied: list[Message] = [(t.name, t.type, time, bytes(data)) for t, time, data in reader.messages()]
    assert copied == many_strings(20)


def test_leftovers_of_a_killed_run_are_replaced(tmp_path: Path) -> None:
    path = tmp_path / "out.mcap"
    code = (
        "import os, signal, sys; from ivfusion_ros.bags import BagWriter; writer = BagWriter(sys.argv[1]); "
        "writer.__enter__(); os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert subprocess.run([sys.executable, "-c", code, path]).returncode == -signal.SIGKILL
    (left,) = tmp_path.iterdir()
    assert left.name != "out.mcap"
    write_results(path)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["out.mcap", "out"])
def test_two_writers_of_one_bag_do_not_meet(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    with BagWriter(path, overwrite=True) as first, BagWriter(path, overwrite=True) as second:
        for writer, count in ((first, 3), (second, 5)):
            for message in many_strings(count):
                writer.write_raw(BagTopic(*message[:2]), *message[2:])
    with BagReader(path) as reader:
        assert len(list(reader.messages())) == 3
    assert list(tmp_path.iterdir()) == [path]


class FullDisk:
    """A file that takes so many bytes and then reports a full disk, also when it is closed."""

    def __init__(self, file: Any, room: int) -> None:
        self.file, self.room = file, room

    def write(self, data: bytes) -> int:
        self.room -= len(data)
        if self.room < 0:
            # A traceback that holds a BytesIO's buffer crashes the garbage collector of Python 3.12.1.
            del data
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return int(self.file.write(data))

    def tell(self) -> int:
        return int(self.file.tell())

    def seek(self, offset: int) -> int:
        return int(self.file.seek(offset))

    def close(self) -> None:
        self.file.close()
        if self.room < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("room", [100, 50_000, 2_000_000, 4_400_000])
def test_full_disk(tmp_path: Path, room: int) -> None:
    write_results(tmp_path / "out.mcap", 1)
    before = snapshot(tmp_path)
    big = replace(
        result(),
        fused=np.zeros((500, 800, 3), np.uint8),
        rgb=np.zeros((500, 800, 3), np.uint8),
        thermal=np.zeros((500, 800), np.uint8),
    )
    with (
        pytest.raises(BagError, match=r"the disk is full, .*out\.mcap was not written"),
        BagWriter(tmp_path / "out.mcap", overwrite=True) as writer,
    ):
        storage = writer._writer.storage
        storage.bio = FullDisk(storage.bio, room)
        for _ in range(4 if room > 4_000_000 else 40):
            writer.write_result(big)
    assert snapshot(tmp_path) == before


def test_stamps_that_ros_cannot_hold(tmp_path: Path) -> None:
    with pytest.raises(BagError, match="32-bit"), BagWriter(tmp_path / "out.mcap") as writer:
        writer.write_result(replace(result(), stamp_ns=2**31 * 10**9))
    with BagWriter(tmp_path / "out.mcap") as writer:
        writer.write_result(replace(result(), stamp_ns=-1))
    _, time, image = decoded(tmp_path / "out.mcap")[0]
    assert (time, image.header.stamp.sec, image.header.stamp.nanosec) == (0, -1, 999_999_999)


def test_without_detector_and_without_objects(tmp_path: Path) -> None:
    with BagWriter(tmp_path / "out.mcap") as writer:
        writer.write_result(result(detections=None))
    assert "/detections" not in {topic for topic, *_ in decoded(tmp_path / "out.mcap")}
    with BagWriter(tmp_path / "out.mcap", overwrite=True) as writer:
        writer.write_result(result(1, Detections.empty(("person",))))
    content = {topic: value for topic, _, value in decoded(tmp_path / "out.mcap")}
    assert list(content["/detections"].detections) == []
    assert len(content["/detections/label_info"].class_map) == 1


def test_names_that_the_file_system_takes_are_written(tmp_path: Path) -> None:
    for path in (tmp_path / f"{'a' * 250}.mcap", tmp_path / ("b" * 240)):
        with BagWriter(path) as writer:
            writer.write_frame("rgb", Frame(np.zeros((8, 12, 3), np.uint8), START_NS, "rgb"))
        with BagReader(path) as reader:
            assert len(list(reader.messages())) == 1
    (tmp_path / "film.mp4").write_text("precious")
    (tmp_path / "loop.mcap").symlink_to(tmp_path / "loop.mcap")
    for name, reason in (
        ("film.mp4/a.mcap", "film.mp4 is a file, expected a folder"),
        ("loop.mcap", "Too many levels"),
        ("a\0.mcap", "not a file's name"),
        ("a" * 256, "name too long"),
    ):
        with pytest.raises(BagError, match=reason), BagWriter(tmp_path / name):
            pytest.fail("opened")
    assert (tmp_path / "film.mp4").read_text() == "precious"
