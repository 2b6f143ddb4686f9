from __future__ import annotations

import os
import shutil
import sqlite3
from typing import TYPE_CHECKING

import numpy as np
import pytest
from bag_samples import (
    COMPRESSED,
    IMAGE,
    INFO,
    START_NS,
    STRING,
    Message,
    camera_info,
    cdr,
    image,
    many_strings,
    pixels_of,
    png,
    two_cameras,
    write_mcap,
    write_rosbag2,
)
from rosbags.rosbag2 import CompressionFormat, CompressionMode, Reader, StoragePlugin

from ivfusion_ros.bags import BagReader
from ivfusion_ros.errors import BagError
from ivfusion_ros.types import CameraInfo

if TYPE_CHECKING:
    from pathlib import Path

STORAGES = [StoragePlugin.MCAP, StoragePlugin.SQLITE3]


def read_all(*paths: Path) -> list[Message]:
    with BagReader(paths) as reader:
        messages = [(topic.name, topic.type, time, bytes(data)) for topic, time, data in reader.messages()]
        assert reader.losses == []
        counts = reader.message_counts
        times = [time for _, _, time, _ in messages]
        assert (reader.start_ns, reader.end_ns) == (min(times), max(times))
    assert counts is not None
    assert sum(counts.values()) == len(messages)
    return messages


@pytest.mark.parametrize("storage", STORAGES)
def test_both_storages_give_what_was_written(tmp_path: Path, storage: StoragePlugin) -> None:
    written = list(two_cameras(20))
    bag = write_rosbag2(tmp_path / "bag", written, storage)
    assert read_all(bag) == written
    with Reader(bag) as other:
        assert [(c.topic, time, bytes(data)) for c, time, data in other.messages()] == [
            (topic, time, data) for topic, _, time, data in written
        ]
    (file,) = (path for path in bag.iterdir() if path.suffix in (".mcap", ".db3"))
    (bag / "metadata.yaml").unlink()
    assert read_all(file) == read_all(bag) == written


def test_several_bags_of_a_folder_without_metadata_are_told(tmp_path: Path, caplog) -> None:
    first, second = (list(two_cameras(40))[part] for part in (slice(40), slice(40, None)))
    for name, part in (("one", first), ("two", second)):
        bag = write_rosbag2(tmp_path / name, part, StoragePlugin.MCAP)
        (bag / f"{name}.mcap").rename(tmp_path / f"{name}.mcap")
        shutil.rmtree(bag)
    assert read_all(tmp_path) == first + second
    assert f"{tmp_path} has no metadata.yaml: its 2 bags (one.mcap, two.mcap) are read as" in caplog.text
    caplog.clear()
    (tmp_path / "two.mcap").unlink()
    assert read_all(tmp_path) == first and not caplog.text


@pytest.mark.parametrize("storage", STORAGES)
def test_messages_come_in_order_of_time(tmp_path: Path, storage: StoragePlugin) -> None:
    ordered = many_strings(3000)
    shuffled = [ordered[i] for i in np.random.default_rng(0).permutation(len(ordered))]
    bag = write_rosbag2(tmp_path / "bag", shuffled, storage)
    assert read_all(bag) == ordered


def test_unindexed_and_unchunked_mcap(tmp_path: Path) -> None:
    from mcap.writer import CompressionType, IndexType

    written = many_strings(300)
    variants = [
        {"compression": compression, "chunk_size": 10_000}
        for compression in (CompressionType.NONE, CompressionType.LZ4, CompressionType.ZSTD)
    ]
    variants += [
        {"use_chunking": False},
        {"use_chunking": False, "use_statistics": False, "repeat_channels": False},
        {"index_types": IndexType.NONE, "chunk_size": 10_000},
        {"index_types": IndexType.CHUNK, "chunk_size": 10_000},
        {"index_types": IndexType.MESSAGE, "chunk_size": 10_000},
        {"repeat_channels": False, "repeat_schemas": False, "chunk_size": 10_000},
        {"use_statistics": False, "chunk_size": 10_000},
        {"enable_crcs": False, "chunk_size": 10_000},
    ]
    shuffled = [written[i] for i in np.random.default_rng(0).permutation(len(written))]
    for number, options in enumerate(variants):
        assert read_all(write_mcap(tmp_path / f"shuffled{number}.mcap", shuffled, **options)) == written
        assert read_all(write_mcap(tmp_path / f"{number}.mcap", written, **options)) == written, options


@pytest.mark.parametrize(
    ("storage", "mode"),
    [
        *((storage, CompressionMode.FILE) for storage in STORAGES),
        *((storage, CompressionMode.MESSAGE) for storage in STORAGES),
        (StoragePlugin.MCAP, CompressionMode.STORAGE),
    ],
)
def test_rosbag2_compression(tmp_path: Path, storage: StoragePlugin, mode: CompressionMode) -> None:
    written = list(two_cameras(5))
    bag = write_rosbag2(tmp_path / "bag", written, storage, mode=mode, fmt=CompressionFormat.ZSTD)
    assert read_all(bag) == written


def test_several_bags_are_merged_by_time_and_read_once(tmp_path: Path) -> None:
    written = list(two_cameras(9))
    first = write_rosbag2(tmp_path / "first", written[:12])
    second = write_rosbag2(tmp_path / "second", written[12:], StoragePlugin.SQLITE3)
    assert read_all(second, first) == written
    assert read_all(first, first, first / "first.mcap") == written[:12]
    interleaved = [write_mcap(tmp_path / f"{i}.mcap", written[i::3]) for i in range(3)]
    assert read_all(*interleaved) == written


def test_only_named_topics_are_read(tmp_path: Path) -> None:
    written = list(two_cameras(4))
    for storage in STORAGES:
        with BagReader(write_rosbag2(tmp_path / storage.name, written, storage)) as reader:
            got = [(topic.name, bytes(data)) for topic, _, data in reader.messages(["/chatter", "/no"])]
            assert got == [(topic, data) for topic, _, _, data in written if topic == "/chatter"]
            assert list(reader.messages([])) == []
            assert (reader.start_ns, reader.end_ns) == (written[0][2], written[-1][2])


@pytest.mark.parametrize("storage", STORAGES)
def test_frames(tmp_path: Path, storage: StoragePlugin) -> None:
    with BagReader(write_rosbag2(tmp_path / "bag", two_cameras(3), storage)) as reader:
        chosen = reader.choose_topics()
        frames = list(reader.frames(chosen))
        assert reader.skipped.total() == 0
    assert [camera for camera, _ in frames] == ["thermal", "rgb"] * 3
    assert [frame.received_ns for _, frame in frames] == [frame.stamp_ns for _, frame in frames]
    for index in range(3):
        thermal, rgb = (frame for _, frame in frames[2 * index : 2 * index + 2])
        for frame, pixels, name, offset in zip(
            (thermal, rgb), pixels_of(index), ("thermal", "rgb"), (1, 2), strict=True
        ):
            np.testing.assert_array_equal(frame.image, pixels)
            assert frame.image.dtype == pixels.dtype
            assert (frame.frame_id, frame.stamp_ns) == (name, START_NS + index * 10_000_000 + offset)
        assert thermal.camera_info is None
        assert rgb.camera_info == CameraInfo(
            8,
            6,
            d=(0.1, 0.2, 0.0, 0.0, 0.0),
            k=(100.0, 0, 4, 0, 100.0, 3, 0, 0, 1),
            p=(100.0, 0, 4, 0, 0, 100.0, 3, 0, 0, 0, 1, 0),
        )
    # one object as long as the values stay
    assert frames[1][1].camera_info is frames[5][1].camera_info


def test_the_newest_camera_info_counts(tmp_path: Path) -> None:
    _, rgb = pixels_of(0)
    messages: list[Message] = [
        ("/thermal/i", IMAGE, 0, image(pixels_of(0)[0], "mono16", 0)),
        ("/rgb/i", IMAGE, 1, image(rgb, "rgb8", 1)),
        ("/rgb/camera_info", INFO, 2, camera_info(8, 6, 100.0, 2)),
        ("/rgb/i", IMAGE, 3, image(rgb, "rgb8", 3)),
        ("/rgb/camera_info", INFO, 4, camera_info(8, 6, 200.0, 4)),
        ("/rgb/i", IMAGE, 5, image(rgb, "rgb8", 5)),
    ]
    with BagReader(write_mcap(tmp_path / "bag.mcap", messages)) as reader:
        infos = [frame.camera_info for _, frame in reader.frames(reader.choose_topics())][1:]
    assert [info and info.k[0] for info in infos] == [None, 100.0, 200.0]


def test_compressed_images(tmp_path: Path) -> None:
    thermal, rgb = pixels_of(0)
    messages: list[Message] = [
        ("/a/compressed", COMPRESSED, 1, png(thermal, 1, "mono16; png compressed ")),
        ("/b/compressed", COMPRESSED, 2, png(rgb[..., ::-1], 2, "bgr8; png compressed bgr8")),
    ]
    with BagReader(write_mcap(tmp_path / "bag.mcap", messages)) as reader:
        chosen = reader.choose_topics()
        assert (chosen.thermal, chosen.rgb) == ("/a/compressed", "/b/compressed")
        (_, first), (_, second) = reader.frames(chosen)
    np.testing.assert_array_equal(first.image, thermal)
    np.testing.assert_array_equal(second.image, rgb)


def test_bad_images_are_counted_and_skipped(tmp_path: Path) -> None:
    thermal, rgb = pixels_of(0)
    good = image(thermal, "mono16", 5)
    messages: list[Message] = [
        ("/thermal/i", IMAGE, 1, image(thermal, "mono16", 1)),
        ("/thermal/i", IMAGE, 2, image(thermal, "no_such_encoding", 2)),
        ("/thermal/i", IMAGE, 3, good[:40]),
        ("/thermal/i", IMAGE, 4, b""),
        ("/thermal/i", IMAGE, 5, good),
        ("/rgb/i", IMAGE, 6, image(rgb, "rgb8", 6)),
    ]
    with BagReader(write_mcap(tmp_path / "bag.mcap", messages)) as reader:
        frames = [(camera, frame.stamp_ns) for camera, frame in reader.frames(reader.choose_topics())]
        assert reader.skipped == {"/thermal/i": 3}
        assert "no_such_encoding" in reader.skip_reasons["/thermal/i"]
    assert frames == [("thermal", 1), ("thermal", 5), ("rgb", 6)]


def test_every_message_is_handed_on_before_its_frame(tmp_path: Path) -> None:
    written = list(two_cameras(3))
    seen: list[tuple[str, int, bytes]] = []
    with BagReader(write_mcap(tmp_path / "bag.mcap", written)) as reader:
        chosen = reader.choose_topics()
        each = reader.frames(chosen, lambda topic, time, data: seen.append((topic.name, time, bytes(data))))
        for _, frame in each:
            assert seen[-1][1] == frame.stamp_ns
    assert seen == [(topic, time, data) for topic, _, time, data in written]


def test_types_and_encodings_that_are_not_ours_do_not_matter(tmp_path: Path) -> None:
    """A custom type is passed on; a topic that is not CDR is named."""
    from mcap.writer import Writer

    path = tmp_path / "bag.mcap"
    with path.open("wb") as file:
        writer = Writer(file)
        writer.start()
        schema = writer.register_schema("my_msgs/msg/Odd", "ros2msg", b"my_msgs/Unknown[] field")
        own = writer.register_channel("/odd", "cdr", schema)
        cbor = writer.register_channel("/cbor", "cbor", 0)
        writer.add_message(own, 1, b"\0\1\0\0abcd", 1)
        writer.add_message(cbor, 2, b"{}", 2)
        writer.finish()
    with BagReader(path) as reader:
        assert [(t.name, t.type, bytes(data)) for t, _, data in reader.messages()] == [
            ("/odd", "my_msgs/msg/Odd", b"\0\1\0\0abcd")
        ]
        assert reader.topics[0].definition == "my_msgs/Unknown[] field"
        assert len(reader.losses) == 1
        assert "/cbor" in reader.losses[0]
        with pytest.raises(BagError, match="no messages on an image topic"):
            reader.choose_topics()


def test_metadata_that_does_not_match(tmp_path: Path) -> None:
    written = many_strings(30)
    bag = write_rosbag2(tmp_path / "bag", written)
    metadata = (bag / "metadata.yaml").read_text()
    write_mcap(bag / "extra.mcap", written)
    with BagReader(bag) as reader:
        assert len(list(reader.messages())) == 30
        assert "extra.mcap" in reader.losses[0]
    # a file of a split bag is gone
    (bag / "metadata.yaml").write_text(metadata.replace("- bag.mcap", "- gone.mcap\n  - bag.mcap"))
    (bag / "extra.mcap").unlink()
    with BagReader(bag) as reader:
        assert len(list(reader.messages())) == 30
        assert reader.losses == [f"{bag}/metadata.yaml lists gone.mcap, which are not in the folder"]
    for broken in ("", "[1, 2", "rosbag2_bagfile_information: 3", "\0"):
        (bag / "metadata.yaml").write_text(broken)
        with BagReader(bag) as reader:
            assert len(list(reader.messages())) == 30
            assert "metadata.yaml cannot be used" in reader.losses[0]
            assert "\n" not in reader.losses[0]
    (bag / "metadata.yaml").write_text(metadata)
    (bag / "bag.mcap").rename(bag / "renamed.mcap")
    with (
        pytest.raises(BagError, match=r"lists bag.mcap, but the folder holds renamed.mcap"),
        BagReader(bag),
    ):
        pass
    (bag / "renamed.mcap").unlink()
    with (
        pytest.raises(BagError, match=r"holds no .mcap, .db3 or .bag file \(metadata.yaml is there"),
        BagReader(bag),
    ):
        pass


def test_what_is_no_bag(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "ros1").mkdir()
    for name in ("ros1/a.bag", "text.txt", "zero.mcap", "zero.db3", "bad.mcap", "bad.db3", "bad.db3.zstd"):
        (tmp_path / name).write_bytes(b"" if "zero" in name else b"no bag at all, just text" * 100)
    with sqlite3.connect(tmp_path / "other.db3") as database:
        database.execute("CREATE TABLE other (id INTEGER PRIMARY KEY)")
    os.mkfifo(tmp_path / "pipe.mcap")
    (tmp_path / "device.bag").symlink_to("/dev/zero")
    for name, complaint in {
        "missing": "does not exist",
        "pipe.mcap": "neither a file nor a folder but a pipe",
        "device.bag": "neither a file nor a folder but a pipe, socket or device",
        "empty": "holds no .mcap, .db3 or .bag file",
        "ros1": "not a readable ROS 1 bag",
        "ros1/a.bag": "not a readable ROS 1 bag",
        "text.txt": "is no bag: expected",
        "zero.mcap": "is empty",
        "zero.db3": "is empty",
        "bad.mcap": "is no MCAP file",
        "bad.db3": "not a readable rosbag2 database",
        "bad.db3.zstd": "cannot be read: bad.db3.zstd: damaged",
        "other.db3": "not a readable rosbag2 database: no such table",
    }.items():
        with pytest.raises(BagError, match=complaint), BagReader(tmp_path / name):
            pass
    with pytest.raises(BagError, match="no bag was given"):
        BagReader([])


def test_unreadable_file_among_good_ones_is_left_out(tmp_path: Path) -> None:
    good = write_mcap(tmp_path / "good.mcap", many_strings(5))
    bad = tmp_path / "bad.mcap"
    bad.touch()
    with BagReader([bad, good]) as reader:
        assert len(list(reader.messages())) == 5
        assert reader.losses == [f"{bad} is empty; it was left out"]


def test_database_with_a_write_ahead_log(tmp_path: Path) -> None:
    """A recorder that was killed leaves its newest messages in the -wal file."""
    written = many_strings(40)
    bag = write_rosbag2(tmp_path / "bag", written[:20], StoragePlugin.SQLITE3)
    database = sqlite3.connect(bag / "bag.db3")
    database.execute("PRAGMA journal_mode=WAL")
    for topic, _, time, data in written[20:]:
        number = int(topic[-1]) + 1
        row = (number, time, data)
        database.execute("INSERT INTO messages (topic_id, timestamp, data) VALUES (?, ?, ?)", row)
    database.commit()
    copy = tmp_path / "copy"
    shutil.copytree(bag, copy)
    database.close()
    assert (copy / "bag.db3-wal").stat().st_size > 0
    assert read_all(copy) == written


def test_old_database_without_definitions(tmp_path: Path) -> None:
    path = tmp_path / "old.db3"
    with sqlite3.connect(path) as database:
        database.execute(
            "CREATE TABLE topics (id INTEGER PRIMARY KEY, name TEXT, type TEXT, serialization_format TEXT)"
        )
        database.execute(
            "CREATE TABLE messages (id INTEGER PRIMARY KEY, topic_id INTEGER, timestamp INTEGER, data BLOB)"
        )
        database.executemany(
            "INSERT INTO topics VALUES (?, ?, ?, ?)", [(1, "/a", STRING, "cdr"), (2, "/b", STRING, "odd")]
        )
        rows = [(1, 5, cdr(STRING, data="late")), (1, 3, cdr(STRING, data="early")), (2, 4, b"x")]
        database.executemany("INSERT INTO messages (topic_id, timestamp, data) VALUES (?, ?, ?)", rows)
    with BagReader(path) as reader:
        assert [time for _, time, _ in reader.messages()] == [3, 5]
        assert reader.message_counts == {"/a": 2}
        assert reader.losses == ["old.db3: topic /b is encoded as odd, expected cdr"]


def test_reading_twice_is_identical(tmp_path: Path) -> None:
    bag = write_rosbag2(tmp_path / "bag", two_cameras(6))
    assert read_all(bag) == read_all(bag)
