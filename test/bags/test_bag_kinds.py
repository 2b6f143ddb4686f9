"""The same two cameras in every kind of bag: the frames are those of a ROS 2 bag, pixel for pixel."""

from __future__ import annotations

import base64
import bz2
import json
import logging
import sys
import tracemalloc
from collections import Counter
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import lz4.frame
import numpy as np
import pytest
from bag_samples import (
    IMAGE,
    INFO,
    START_NS,
    STORE,
    camera_info,
    image,
    pixels_of,
    two_cameras,
    write_mcap,
    write_rosbag2,
)
from ros1_samples import STORE1, two_cameras_1, write_ros1
from rosbags.rosbag1 import Writer as Writer1
from rosbags.rosbag2 import StoragePlugin

from ivfusion_ros.bags import BagReader, BagWriter, ros1_scan
from ivfusion_ros.bags.messages import to_frame, typestore
from ivfusion_ros.messages.type_names import full_name

if TYPE_CHECKING:
    from pathlib import Path

    from ivfusion_ros.types import Frame

COUNT = 5


def ros1_bag(path: Path) -> list[Path]:
    return write_ros1(path)


def ros1_bags_of_one_run(path: Path) -> list[Path]:
    return write_ros1(path, split=True)


def mcap_of_ros1(path: Path) -> list[Path]:
    from mcap.writer import Writer

    with path.open("wb") as file:
        writer = Writer(file)
        writer.start(profile="ros1")
        channels = {}
        for topic, msgtype, log_time_ns, data in two_cameras_1():
            if topic not in channels:
                text = STORE1.generate_msgdef(msgtype, ros_version=1)[0].encode()
                schema = writer.register_schema(msgtype.replace("/msg/", "/"), "ros1msg", text)
                channels[topic] = writer.register_channel(topic, "ros1", schema)
            writer.add_message(channels[topic], log_time_ns, data, log_time_ns)
        writer.finish()
    return [path]


def mcap_of_short_names(path: Path) -> list[Path]:
    from mcap.writer import Writer

    with path.open("wb") as file:
        writer = Writer(file)
        writer.start(profile="ros2")
        channels = {}
        for topic, msgtype, log_time_ns, data in two_cameras(COUNT):
            if topic not in channels:
                text = STORE.generate_msgdef(msgtype, ros_version=2)[0].encode()
                schema = writer.register_schema(msgtype.replace("/msg/", "/"), "ros2msg", text)
                channels[topic] = writer.register_channel(topic, "cdr", schema)
            writer.add_message(channels[topic], log_time_ns, data, log_time_ns)
        writer.finish()
    return [path]


TIME_SECONDS = {"json": ("sec", "nsec"), "protobuf": ("seconds", "nanos")}


def foxglove_messages(kind: str) -> list[tuple[str, str, int, dict[str, Any]]]:
    """As two_cameras, by Foxglove's schemas; the RGB images as PNG."""
    from ivfusion_ros.images.files import encode_compressed

    messages = []
    for index in range(COUNT):
        stamp = START_NS + index * 10_000_000
        thermal, rgb = pixels_of(index)
        lens = STORE.deserialize_cdr(camera_info(8, 6, 100.0, stamp), INFO)
        sec, nsec = TIME_SECONDS[kind]

        def base(time_ns, frame_id, sec=sec, nsec=nsec) -> dict[str, Any]:
            return {
                "timestamp": {sec: time_ns // 10**9, nsec: time_ns % 10**9},
                "frame_id": frame_id,
            }

        calibration = {
            **base(stamp, "camera"),
            "width": 8,
            "height": 6,
            "distortion_model": "plumb_bob",
            **{name: getattr(lens, name.lower()).tolist() for name in "DKRP"},
        }
        raw = {
            **base(stamp + 1, "thermal"),
            "width": 8,
            "height": 6,
            "encoding": "mono16",
            "step": 16,
            "data": thermal.tobytes(),
        }
        packed = {**base(stamp + 2, "rgb"), "data": encode_compressed(rgb, "png"), "format": "png"}
        messages += [
            ("/rgb/calibration", "foxglove.CameraCalibration", stamp, calibration),
            ("/thermal/image", "foxglove.RawImage", stamp + 1, raw),
            ("/rgb/image", "foxglove.CompressedImage", stamp + 2, packed),
        ]
    return messages


FIELDS = {
    "foxglove.CameraCalibration": "timestamp:T frame_id:s width:u height:u distortion_model:s "
    "D:d K:d R:d P:d",
    "foxglove.RawImage": "timestamp:T frame_id:s width:u height:u encoding:s step:u data:b",
    "foxglove.CompressedImage": "timestamp:T frame_id:s data:b format:s",
}


def protobuf_classes() -> dict[str, Any]:
    """Classes of Foxglove's messages, made of descriptors here: their field names are what counts."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, timestamp_pb2

    file = descriptor_pb2.FileDescriptorProto(
        name="foxglove.proto",
        package="foxglove",
        syntax="proto3",
        dependency=["google/protobuf/timestamp.proto"],
    )
    field = descriptor_pb2.FieldDescriptorProto
    kinds = {"s": field.TYPE_STRING, "u": field.TYPE_FIXED32, "b": field.TYPE_BYTES, "d": field.TYPE_DOUBLE}
    for name, fields in FIELDS.items():
        message = file.message_type.add(name=name.split(".")[1])
        for number, item in enumerate(fields.split(), start=1):
            word, kind = item.split(":")
            added = message.field.add(name=word, number=number)
            added.label = field.LABEL_REPEATED if kind == "d" else field.LABEL_OPTIONAL
            added.type = field.TYPE_MESSAGE if kind == "T" else kinds[kind]
            if kind == "T":
                added.type_name = ".google.protobuf.Timestamp"
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(timestamp_pb2.DESCRIPTOR.serialized_pb)
    pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(name)) for name in FIELDS}


def mcap_of_protobuf(path: Path) -> list[Path]:
    pytest.importorskip("mcap_protobuf")
    from mcap_protobuf.writer import Writer

    classes = protobuf_classes()
    with path.open("wb") as file, Writer(file) as writer:
        for topic, schema, log_time_ns, fields in foxglove_messages("protobuf"):
            writer.write_message(topic, classes[schema](**fields), log_time_ns, log_time_ns)
    return [path]


def mcap_of_json(path: Path) -> list[Path]:
    from mcap.writer import Writer

    with path.open("wb") as file:
        writer = Writer(file)
        writer.start()
        channels = {}
        for topic, name, log_time_ns, fields in foxglove_messages("json"):
            if topic not in channels:
                schema = writer.register_schema(name, "jsonschema", b"{}")
                channels[topic] = writer.register_channel(topic, "json", schema)
            written = {
                key: base64.b64encode(value).decode() if isinstance(value, bytes) else value
                for key, value in fields.items()
            }
            writer.add_message(channels[topic], log_time_ns, json.dumps(written).encode(), log_time_ns)
        writer.finish()
    return [path]


KINDS = {
    function.__name__: function
    for function in (
        ros1_bag,
        ros1_bags_of_one_run,
        mcap_of_ros1,
        mcap_of_short_names,
        mcap_of_protobuf,
        mcap_of_json,
    )
}


def frames_of(paths: list[Path]) -> tuple[list[tuple[str, Frame]], list[str]]:
    with BagReader(paths) as reader:
        frames = list(reader.frames(reader.choose_topics()))
        assert not reader.skipped, reader.skip_reasons
        return frames, reader.losses


@pytest.mark.parametrize("kind", KINDS)
def test_frames_are_those_of_a_ros_2_bag(tmp_path: Path, kind: str) -> None:
    expected, _ = frames_of([write_mcap(tmp_path / "expected.mcap", two_cameras(COUNT))])
    found, losses = frames_of(KINDS[kind](tmp_path / "bag.mcap"))
    assert losses == [] and len(found) == len(expected) == 2 * COUNT
    for (camera, frame), (other, same) in zip(found, expected, strict=True):
        assert (camera, frame.stamp_ns, frame.frame_id) == (other, same.stamp_ns, same.frame_id)
        assert frame.received_ns == same.received_ns
        np.testing.assert_array_equal(frame.image, same.image)
        assert frame.image.dtype == same.image.dtype
        assert frame.camera_info == same.camera_info
    assert expected[1][1].camera_info is not None


def test_bags_of_several_kinds_are_one_recording(tmp_path: Path) -> None:
    (thermal,) = write_ros1(tmp_path / "thermal.bag")
    rgb = write_rosbag2(tmp_path / "rgb", [m for m in two_cameras(COUNT) if m[0].startswith("/rgb")])
    with BagReader([thermal, rgb]) as reader:
        chosen = reader.choose_topics("/thermal/image_raw", "/rgb/image_raw")
        counts = Counter(camera for camera, _ in reader.frames(chosen))
    # The RGB topic is in both: the ROS 1 bag has both cameras.
    assert counts == {"thermal": COUNT, "rgb": 2 * COUNT}


@pytest.mark.parametrize("kind", ["ros1_bag", "mcap_of_json"])
def test_originals_of_other_kinds_are_copied_or_named(tmp_path: Path, kind: str) -> None:
    paths = KINDS[kind](tmp_path / "bag.mcap")
    with BagReader(paths) as reader, BagWriter(tmp_path / "out.mcap") as writer:
        list(reader.frames(reader.choose_topics(), writer.write_raw))
        left_out = writer.left_out
    if kind == "mcap_of_json":
        assert left_out == {"/rgb/calibration", "/thermal/image", "/rgb/image"}
        return
    assert left_out == set()
    with BagReader(tmp_path / "out.mcap") as reader:
        assert {topic.serialization for topic in reader.topics} == {"cdr"}
        copied = [(t.name, time, bytes(data)) for t, time, data in reader.messages()]
    assert copied == [(topic, time, data) for topic, _, time, data in two_cameras(COUNT)]
    written = next(data for topic, _, data in copied if topic == "/thermal/image_raw")
    np.testing.assert_array_equal(to_frame(written, IMAGE).image, pixels_of(0)[0])


def test_a_damaged_message_of_each_kind_costs_itself(tmp_path: Path) -> None:
    from mcap.writer import Writer

    for encoding, content in (("json", b"{"), ("json", b'{"timestamp": 3}'), ("ros1", b"\1\2")):
        with (tmp_path / "bad.mcap").open("wb") as file:
            writer = Writer(file)
            writer.start()
            for topic in ("/thermal/image", "/rgb/image"):
                schema = writer.register_schema("foxglove.RawImage", "jsonschema", b"")
                channel = writer.register_channel(topic, encoding, schema)
                writer.add_message(channel, 1, content, 1)
            writer.finish()
        with BagReader(tmp_path / "bad.mcap") as reader:
            assert list(reader.frames(reader.choose_topics("/thermal/image", "/rgb/image"))) == []
            assert reader.skipped == {"/thermal/image": 1, "/rgb/image": 1}
            assert f"RawImage in {encoding}" in reader.skip_reasons["/rgb/image"]


def chunked_ros1(path: Path, compression: str, behind: bytes = b"") -> bytes:
    """The messages of two_cameras_1 in a chunk each. behind: what else stands in each compressed one."""
    writer = Writer1(path)
    if compression:
        writer.set_compression(Writer1.CompressionFormat[compression])
        compress = writer.compressor
        writer.compressor = lambda data: compress(data) + behind
    writer.chunk_threshold = 1
    with writer:
        connections = {}
        for topic, msgtype, log_time_ns, data in two_cameras_1():
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, msgtype, typestore=STORE1)
            writer.write(connections[topic], log_time_ns, data)
    return path.read_bytes()


def read_all(path: Path) -> tuple[list[tuple[str, int, bytes]], list[str]]:
    with BagReader(path) as reader:
        messages = [(topic.name, time_ns, bytes(data)) for topic, time_ns, data in reader.messages()]
        return messages, reader.losses


@pytest.mark.parametrize("compression", ["", "LZ4", "BZ2"])
def test_of_a_ros1_bag_that_was_cut_off_is_read_what_is_whole(tmp_path: Path, compression: str) -> None:
    path = tmp_path / "bag.bag"
    content = chunked_ros1(path, compression)
    everything, losses = read_all(path)
    assert len(everything) == 4 * COUNT and not losses
    active = tmp_path / "bag.bag.active"
    counts = []
    for share in (0.5, 0.7, 0.9):
        active.write_bytes(content[: int(len(content) * share)])
        read, losses = read_all(active)
        assert read == everything[: len(read)]
        counts.append(len(read))
        assert "its index cannot be used" in losses[0]
    assert 0 < counts[0] < counts[1] < counts[2] and counts[2] > COUNT
    # Never closed: the header names no index.
    place = content.index(b"index_pos=") + len(b"index_pos=")
    path.write_bytes(content[:place] + bytes(8) + content[place + 8 :])
    read, losses = read_all(path)
    assert read == everything and "not indexed" in losses[0]


@pytest.mark.parametrize(("compression", "compress"), [("LZ4", lz4.frame.compress), ("BZ2", bz2.compress)])
@pytest.mark.parametrize("indexed", [True, False])
def test_a_chunk_of_ros1_unpacks_to_what_it_declares(
    tmp_path: Path, compression, compress, indexed
) -> None:
    chunked_ros1(tmp_path / "plain.bag", compression)
    everything, _ = read_all(tmp_path / "plain.bag")
    path = tmp_path / "bag.bag"
    content = chunked_ros1(path, compression, behind=12 * compress(bytes(2**24)))
    if not indexed:
        path.write_bytes(content[: content.rindex(b"op=\5")])
    tracemalloc.start()
    try:
        read, losses = read_all(path)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert read == (everything if indexed else everything[: len(read)]) and len(read) > len(everything) / 2
    assert bool(losses) != indexed and most < 2**24


@pytest.mark.parametrize("indexed", [True, False])
def test_a_chunk_of_ros1_that_memory_does_not_hold_costs_itself(
    tmp_path: Path, monkeypatch, indexed
) -> None:
    path = tmp_path / "bag.bag"
    content = chunked_ros1(path, "BZ2")
    if not indexed:
        path.write_bytes(content[: content.rindex(b"op=\5")])
    everything, _ = read_all(path)

    class Unpacker:
        turns = 0

        def decompress(self, data: bytes, max_length: int) -> bytes:
            Unpacker.turns += 1
            if Unpacker.turns % len(everything) == 10:
                raise MemoryError
            return bz2.BZ2Decompressor().decompress(data, max_length=max_length)

    monkeypatch.setitem(ros1_scan._UNPACKERS, b"bz2", Unpacker)
    read, losses = read_all(path)
    assert len(read) == len(everything) - 1 and set(read) < set(everything)
    # The cut is one of the damaged places.
    expected = "damaged chunks: out of memory" if indexed else "2 damaged places were left out"
    assert expected in losses[0]


@pytest.mark.parametrize("indexed", [True, False])
def test_a_hole_in_a_ros1_bag_costs_its_chunks(tmp_path: Path, indexed: bool) -> None:
    path = tmp_path / "bag.bag"
    content = bytearray(chunked_ros1(path, "LZ4"))
    everything, _ = read_all(path)
    first = content.index(b"#ROSBAG") + len(content) // 3
    if not indexed:
        first = content.index(b"/chatter", first)
        content = content[: int(len(content) * 0.95)]
    content[first : first + 900] = bytes(900)
    path.write_bytes(content)
    read, losses = read_all(path)
    assert losses and set(read) < set(everything)
    assert {"/thermal/image_raw", "/rgb/image_raw"} <= {name for name, _, _ in read[-8:]}


def test_protobuf_without_its_library_names_the_extra(tmp_path: Path, monkeypatch) -> None:
    paths = mcap_of_protobuf(tmp_path / "bag.mcap")
    monkeypatch.setitem(sys.modules, "mcap_protobuf.decoder", None)
    from ivfusion_ros.bags import serializations

    serializations._decoder.cache_clear()
    with BagReader(paths) as reader:
        assert list(reader.frames(reader.choose_topics())) == []
        assert r"pip install 'ivfusion_ros[foxglove]'" in reader.skip_reasons["/rgb/image"]


def test_names_of_types_as_recorders_write_them() -> None:
    for written in ("sensor_msgs/Image", "sensor_msgs/msg/Image", "sensor_msgs::msg::dds_::Image_"):
        assert full_name(written) == IMAGE
    assert full_name("foxglove.RawImage") == "foxglove_msgs/msg/RawImage"
    assert full_name("tf/tfMessage") == full_name("tf2_msgs/TFMessage") == "tf2_msgs/msg/TFMessage"
    assert full_name("") == "" and full_name("odd") == "odd"


def video_packets(codec: str, count: int) -> list[bytes]:
    """Each packet of a stream of grey frames that get brighter."""
    import av

    context = av.CodecContext.create(codec, "w")
    context.width, context.height, context.pix_fmt = 64, 48, "yuv420p"
    context.time_base = Fraction(1, 10)
    context.options = {"preset": "ultrafast", "tune": "zerolatency", "x265-params": "log-level=none"}
    if codec == "libsvtav1":
        context.options = {"preset": "10", "svtav1-params": "pred-struct=1:lookahead=0"}
    packets = []
    for index in range(count):
        pixels = np.full((48, 64, 3), 40 + 15 * index, np.uint8)
        frame = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format="yuv420p")
        frame.pts = index
        packets += [bytes(packet) for packet in context.encode(frame)]
    return packets + [bytes(packet) for packet in context.encode(None)]


def video_bag(path: Path, codec: str, format_: str, first: int = 0) -> Path:
    """Thermal images beside CompressedImage messages that are packets of a video."""
    from bag_samples import COMPRESSED, cdr, header

    messages = []
    for index, packet in enumerate(video_packets(codec, 8)):
        stamp = START_NS + index * 100_000_000
        if index >= first:
            data = np.frombuffer(packet, np.uint8)
            content = cdr(COMPRESSED, header=header(stamp, "rgb"), format=format_, data=data)
            messages.append(("/rgb/image_raw/compressed", COMPRESSED, stamp, content))
        thermal = image(pixels_of(index)[0], "mono16", stamp, "thermal")
        messages.append(("/thermal/image_raw", IMAGE, stamp + 1, thermal))
    return write_mcap(path, messages)


@pytest.mark.parametrize(
    ("codec", "format_"), [("libx264", "h264"), ("libx265", "hevc"), ("libsvtav1", "av1")]
)
def test_video_packets_become_frames_with_their_own_stamps(tmp_path: Path, codec, format_) -> None:
    pytest.importorskip("av")
    frames, _ = frames_of([video_bag(tmp_path / "bag.mcap", codec, format_)])
    rgb = [frame for camera, frame in frames if camera == "rgb"]
    assert [frame.stamp_ns for frame in rgb] == [START_NS + i * 100_000_000 for i in range(8)]
    assert [round(float(frame.image.mean())) for frame in rgb] == pytest.approx(
        [40 + 15 * i for i in range(8)], abs=3
    )


@pytest.mark.parametrize(("level", "count"), [("1", 8), ("3", 0)])
def test_packets_of_counts_keep_them_where_their_header_is_there(tmp_path: Path, level, count) -> None:
    av = pytest.importorskip("av")
    from bag_samples import header

    store = typestore()
    packet = "ffmpeg_image_transport_msgs/msg/FFMPEGPacket"
    context = av.CodecContext.create("ffv1", "w")
    context.width, context.height, context.pix_fmt = 64, 48, "gray16le"
    context.time_base, context.options = Fraction(1, 10), {"level": level}
    counts = np.arange(64 * 48, dtype=np.uint16).reshape(48, 64) * 7
    messages = []
    for index in range(8):
        stamp = START_NS + index * 100_000_000
        frame = av.VideoFrame.from_ndarray(counts + index, format="gray16le")
        frame.pts = index
        (data,) = map(bytes, context.encode(frame))
        content = store.types[packet](
            header=header(stamp, "thermal"), width=64, height=48, encoding="ffv1;gray16le;mono16;mono16",
            pts=index, flags=1, is_bigendian=False, data=np.frombuffer(data, np.uint8),
        )  # fmt: skip
        messages.append(("/thermal/ffmpeg", packet, stamp, bytes(store.serialize_cdr(content, packet))))
        messages.append(
            ("/rgb/image_raw", IMAGE, stamp + 1, image(pixels_of(index)[1], "rgb8", stamp, "rgb"))
        )
    with BagReader(write_mcap(tmp_path / "bag.mcap", messages, store=store)) as reader:
        frames = list(reader.frames(reader.choose_topics()))
    thermal = [frame.image for camera, frame in frames if camera == "thermal"]
    assert len(thermal) == count and len(frames) == 8 + count
    assert all(np.array_equal(seen, counts + index) for index, seen in enumerate(thermal))
    assert count or "FFV1 of version 3" in reader.skip_reasons["/thermal/ffmpeg"]


def test_video_that_begins_before_its_key_frame_names_topic_and_codec(tmp_path: Path, caplog) -> None:
    pytest.importorskip("av")
    with (
        caplog.at_level(logging.CRITICAL, "libav"),
        BagReader(video_bag(tmp_path / "bag.mcap", "libx264", "h264", first=2)) as reader,
    ):
        frames = list(reader.frames(reader.choose_topics()))
    assert {camera for camera, _ in frames} == {"thermal"}
    assert "h264 video cannot be decoded" in reader.skip_reasons["/rgb/image_raw/compressed"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_span_of_log_times_is_read_of_every_kind(kind: str, tmp_path: Path) -> None:
    paths = KINDS[kind](tmp_path / "bag.mcap")
    with BagReader(paths) as reader:
        whole = [(topic.name, log_ns, bytes(data)) for topic, log_ns, data in reader.messages()]
    times = sorted({log_ns for _, log_ns, _ in whole})
    first, last = times[3], times[-4]
    with BagReader(paths) as reader:
        read = reader.messages(None, (first, last))
        part = [(topic.name, log_ns, bytes(data)) for topic, log_ns, data in read]
    assert part == [row for row in whole if first <= row[1] <= last] and 0 < len(part) < len(whole)


@pytest.mark.parametrize("storage", [StoragePlugin.SQLITE3, StoragePlugin.MCAP])
def test_frames_of_a_span_have_the_intrinsics_from_before(storage: StoragePlugin, tmp_path: Path) -> None:
    """Told once, before it."""
    messages = list(two_cameras(20))
    told = [row for row in messages if row[1] == INFO][:1]
    bag = write_rosbag2(tmp_path / "bag", [*told, *(row for row in messages if row[1] != INFO)], storage)
    between = messages[40][2], messages[59][2]
    with BagReader(bag, between=between) as reader:
        frames = list(reader.frames(reader.choose_topics()))
    assert [frame.received_ns for camera, frame in frames if camera == "rgb"] == [
        row[2] for row in messages[40:60] if row[0] == "/rgb/image_raw"
    ]
    assert all(frame.camera_info is not None for camera, frame in frames if camera == "rgb")
