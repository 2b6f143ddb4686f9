"""Bags that were cut off or damaged: what is readable comes, what is lost is said."""

from __future__ import annotations

import io
import os
import struct
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from bag_samples import Message, many_strings, two_cameras, write_mcap, write_rosbag2
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin
from sample_frames import make_frames

from ivfusion_ros.bags import BagReader, BagTopic, BagWriter
from ivfusion_ros.errors import BagError

if TYPE_CHECKING:
    from pathlib import Path


def read(path: Path) -> tuple[list[Message], list[str]]:
    with BagReader(path) as reader:
        messages = [(topic.name, topic.type, time, bytes(data)) for topic, time, data in reader.messages()]
        return messages, reader.losses


def read_bytes(content: bytes, path: Path) -> tuple[list[Message], list[str]]:
    """Messages and losses; an error counts as a loss of everything."""
    path.write_bytes(content)
    try:
        return read(path)
    except BagError as error:
        return [], [str(error)]


def in_order(part: list[Message], whole: list[Message]) -> bool:
    rest = iter(whole)
    return all(message in rest for message in part)


@pytest.mark.parametrize("options", [{}, {"use_chunking": False}], ids=["chunks", "no chunks"])
def test_mcap_cut_off_anywhere_gives_every_whole_message(tmp_path: Path, options: dict[str, Any]) -> None:
    from mcap.writer import CompressionType

    written = many_strings(60, size=60)
    options = {"compression": CompressionType.NONE, "chunk_size": 1000, **options}
    content = write_mcap(tmp_path / "whole.mcap", written, **options).read_bytes()
    for cut in range(0, len(content), 23):
        got, losses = read_bytes(content[:cut], tmp_path / "cut.mcap")
        # Independent of any format knowledge: a message is there if all of its bytes are.
        whole = [message for message in written if message[3] in content[:cut]]
        assert got == whole, cut
        assert losses, cut


@pytest.mark.parametrize("compression", ["LZ4", "ZSTD"])
def test_compressed_mcap_cut_off_anywhere(tmp_path: Path, compression: str) -> None:
    from mcap.records import Message as McapMessage
    from mcap.stream_reader import StreamReader
    from mcap.writer import CompressionType

    written = many_strings(60, size=60)
    options = {"compression": CompressionType[compression], "chunk_size": 2000}
    content = write_mcap(tmp_path / "whole.mcap", written, **options).read_bytes()
    for cut in range(0, len(content), 29):
        expected = 0
        try:
            for record in StreamReader(io.BytesIO(content[:cut])).records:
                expected += isinstance(record, McapMessage)
        except Exception:  # the library gives up at the cut
            pass
        got, losses = read_bytes(content[:cut], tmp_path / "cut.mcap")
        assert got == written[: len(got)], cut
        assert len(got) >= expected, cut
        assert losses, cut


def test_cut_compressed_chunk_gives_its_beginning(tmp_path: Path) -> None:
    """One big chunk: Foxglove's reader gets nothing, half of the file should give about half."""
    from mcap.writer import CompressionType

    written = many_strings(2000)
    for compression in (CompressionType.LZ4, CompressionType.ZSTD):
        options = {"compression": compression, "chunk_size": 10**8}
        content = write_mcap(tmp_path / "whole.mcap", written, **options).read_bytes()
        got, losses = read_bytes(
            content[: content.index(b"\x06", 40) + len(content) // 3], tmp_path / "x.mcap"
        )
        assert got == written[: len(got)]
        assert len(got) > 100
        assert any("cut off" in loss for loss in losses)


def test_zeros_at_the_end_of_a_cut_file(tmp_path: Path) -> None:
    """What some file systems leave after a power failure."""
    written = many_strings(100)
    content = write_mcap(tmp_path / "whole.mcap", written, chunk_size=5000).read_bytes()
    half = content[: len(content) // 2]
    expected, _ = read_bytes(half, tmp_path / "cut.mcap")
    got, losses = read_bytes(half + bytes(5000), tmp_path / "zeros.mcap")
    assert 20 < len(got) < 100
    assert abs(len(got) - len(expected)) < 20
    assert got == written[: len(got)]
    assert losses


def test_damaged_chunk_costs_only_itself(tmp_path: Path) -> None:
    written = many_strings(200)
    content = bytearray(write_mcap(tmp_path / "whole.mcap", written, chunk_size=5000).read_bytes())
    content[len(content) // 2] ^= 0xFF
    got, losses = read_bytes(bytes(content), tmp_path / "damaged.mcap")
    assert 150 < len(got) < 200
    assert in_order(got, written)
    assert len(losses) == 1
    assert losses[0].startswith("damaged.mcap: chunk at byte ")


def test_damage_in_a_bag_of_our_own_is_seen(tmp_path: Path) -> None:
    """As Foxglove's reader sees it, by the checksum of the chunk."""
    reading = pytest.importorskip("mcap.reader", reason="needs mcap")
    path = tmp_path / "out.mcap"
    with BagWriter(path) as writer:
        for topic, msgtype, log_time_ns, data in many_strings(20):
            writer.write_raw(BagTopic(topic, msgtype), log_time_ns, data)
    with path.open("rb") as file:
        (chunk,) = reading.make_reader(file).get_summary().chunk_indexes
        file.seek(0)
        assert len(list(reading.make_reader(file, validate_crcs=True).iter_messages())) == 20
    content = bytearray(path.read_bytes())
    content[chunk.chunk_start_offset + chunk.chunk_length - 20] ^= 1
    path.write_bytes(content)
    with path.open("rb") as file, pytest.raises(Exception, match="crc"):
        list(reading.make_reader(file, validate_crcs=True).iter_messages())
    assert "checksum mismatch" in read(path)[1][0]


def test_damaged_summary_is_rebuilt(tmp_path: Path) -> None:
    written = many_strings(200)
    content = bytearray(write_mcap(tmp_path / "whole.mcap", written, chunk_size=5000).read_bytes())
    (summary_start,) = struct.unpack_from("<Q", content, len(content) - 28)
    content[summary_start + 30] ^= 0xFF
    got, losses = read_bytes(bytes(content), tmp_path / "damaged.mcap")
    assert got == written
    assert losses == [
        "damaged.mcap: the index is missing or damaged (checksum mismatch), so the whole file was searched"
    ]


def test_counts_and_times_of_a_cut_file_are_rebuilt(tmp_path: Path) -> None:
    written = list(two_cameras(50))
    content = write_mcap(tmp_path / "whole.mcap", written, chunk_size=2000).read_bytes()
    path = tmp_path / "cut.mcap"
    path.write_bytes(content[: len(content) // 2])
    with BagReader(path) as reader:
        got = [(topic.name, topic.type, time, bytes(data)) for topic, time, data in reader.messages()]
        counts = reader.message_counts
        chosen = reader.choose_topics()
        assert (chosen.thermal, chosen.rgb) == ("/thermal/image_raw", "/rgb/image_raw")
        frames = list(reader.frames(chosen))
    assert counts == {name: sum(m[0] == name for m in got) for name in {m[0] for m in written}}
    assert got == written[: len(got)]
    assert len(frames) == counts["/thermal/image_raw"] + counts["/rgb/image_raw"] > 30
    assert reader.end_ns == got[-1][2]


def test_sqlite_cut_off_anywhere_gives_every_whole_message(tmp_path: Path) -> None:
    written = many_strings(150, size=1500)
    bag = write_rosbag2(tmp_path / "bag", written, StoragePlugin.SQLITE3)
    content = (bag / "bag.db3").read_bytes()
    for cut in range(0, len(content), 4096 + 100):
        got, losses = read_bytes(content[:cut], tmp_path / "cut.db3")
        pages = content[: cut // 4096 * 4096]
        # The first pages hold the tables' definitions, without which nothing can be read.
        assert got == [message for message in written if message[3] in pages and cut > 30_000], cut
        assert losses, cut


def test_sqlite_of_a_name_that_is_not_utf8(tmp_path: Path) -> None:
    bag = write_rosbag2(tmp_path / "bag", many_strings(3, size=100), StoragePlugin.SQLITE3)
    moved = tmp_path / os.fsdecode(b"b\xff.db3")
    got, losses = read_bytes((bag / "bag.db3").read_bytes(), moved)
    assert got == [] and losses == [f"the name of {moved} is not UTF-8, which SQLite expects; rename it"]


def test_sqlite_messages_of_many_pages(tmp_path: Path) -> None:
    """A message that misses one of its pages is lost, never filled up with zeros."""
    written = many_strings(40, size=20_000)
    bag = write_rosbag2(tmp_path / "bag", written, StoragePlugin.SQLITE3)
    content = (bag / "bag.db3").read_bytes()
    for cut in range(50_001, len(content), 40_000):
        got, losses = read_bytes(content[:cut], tmp_path / "cut.db3")
        assert in_order(got, written), cut
        assert len(got) >= 40 * cut // len(content) - 4, cut
        assert losses, cut


def test_damaged_sqlite_page_costs_few_messages(tmp_path: Path) -> None:
    written = many_strings(150, size=1500)
    bag = write_rosbag2(tmp_path / "bag", written, StoragePlugin.SQLITE3)
    content = (bag / "bag.db3").read_bytes()
    for page in range(12, len(content) // 4096, 5):
        damaged = content[: page * 4096] + b"\xa5" * 4096 + content[(page + 1) * 4096 :]
        got, losses = read_bytes(damaged, tmp_path / "damaged.db3")
        # Without checksums a damaged message of the right length cannot be told from a sound one.
        sound = [message for message in got if message in written]
        assert len(sound) >= 140, page
        assert losses or len(got) == len(written), page


def test_damaged_whole_file_compression(tmp_path: Path) -> None:
    written = many_strings(1500)
    bag = write_rosbag2(tmp_path / "bag", written, mode=CompressionMode.FILE, fmt=CompressionFormat.ZSTD)
    packed = (bag / "bag.mcap.zstd").read_bytes()
    got, losses = read_bytes(packed[: len(packed) * 2 // 3], tmp_path / "cut.mcap.zstd")
    assert len(got) > 100
    assert got == written[: len(got)]
    assert losses[0].startswith("cut.mcap.zstd: cut off")


def test_damaged_message_compression(tmp_path: Path) -> None:
    written = many_strings(50)
    bag = write_rosbag2(tmp_path / "bag", written, mode=CompressionMode.MESSAGE, fmt=CompressionFormat.ZSTD)
    content = (bag / "bag.mcap").read_bytes()
    starts = [i for i in range(len(content)) if content.startswith(b"\x28\xb5\x2f\xfd", i)]
    assert len(starts) == 50
    damaged = bytearray(content)
    damaged[starts[20] + 4 : starts[20] + 12] = b"\xff" * 8
    got, losses = read_bytes(bytes(damaged), tmp_path / "damaged.mcap")
    assert got == written[:20] + written[21:]
    assert len(losses) == 1
    assert "is not readable: zstd data is damaged" in losses[0]


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    from mcap.writer import CompressionType

    folder, written = tmp_path_factory.mktemp("fuzz"), list(two_cameras(4))
    variants: list[dict[str, Any]] = [
        {"compression": CompressionType.NONE, "chunk_size": 500},
        {"compression": CompressionType.LZ4, "chunk_size": 500},
        {"compression": CompressionType.ZSTD, "chunk_size": 500, "enable_crcs": False},
        {"use_chunking": False},
    ]
    zstd = {"mode": CompressionMode.FILE, "fmt": CompressionFormat.ZSTD}
    return [
        *(write_mcap(folder / f"{i}.mcap", written, **options) for i, options in enumerate(variants)),
        write_rosbag2(folder / "bag", written, StoragePlugin.SQLITE3) / "bag.db3",
        write_rosbag2(folder / "packed", written, **zstd) / "packed.mcap.zstd",
    ]


@settings(
    max_examples=300,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_any_damage_gives_frames_or_a_bag_error(
    samples: list[Path], tmp_path: Path, data: st.DataObject
) -> None:
    sample = data.draw(st.sampled_from(samples))
    content = sample.read_bytes()
    damaged = bytearray(content[: data.draw(st.integers(0, len(content)) | st.just(len(content)))])
    for _ in range(data.draw(st.integers(0, 4)) if damaged else 0):
        position = data.draw(st.integers(0, len(damaged) - 1))
        noise = data.draw(st.binary(min_size=1, max_size=9) | st.sampled_from([bytes(8), b"\xff" * 8]))
        damaged[position : position + len(noise)] = noise
    path = tmp_path / f"damaged{''.join(sample.suffixes)}"
    path.write_bytes(damaged)
    try:
        with BagReader(path) as reader:
            chosen = reader.choose_topics()
            assert len(list(reader.frames(chosen, lambda *message: None))) <= 8
            assert all(isinstance(loss, str) and loss for loss in reader.losses)
    except BagError as error:
        assert str(error)


def test_index_that_points_outside_of_the_file_is_rebuilt(tmp_path: Path) -> None:
    written = many_strings(100)
    options = {"chunk_size": 5000, "enable_crcs": False}
    content = write_mcap(tmp_path / "whole.mcap", written, **options).read_bytes()
    (summary_start,) = struct.unpack_from("<Q", content, len(content) - 28)
    first_index = content.index(b"\x08" + struct.pack("<Q", 98), summary_start)  # three channels
    for field in (25, 33):  # chunk offset, chunk length
        for value in (len(content), 2**40, 2**64 - 1):
            damaged = bytearray(content)
            struct.pack_into("<Q", damaged, first_index + field, value)
            got, losses = read_bytes(bytes(damaged), tmp_path / "damaged.mcap")
            assert got == written
            assert len(losses) == 1
            assert "the index is missing or damaged" in losses[0]


@pytest.mark.parametrize(("camera", "index"), [("rgb", 9), ("rgb", 4), ("thermal", 9), ("thermal", 0)])
def test_a_frame_without_a_log_time_comes_by_its_stamp(tmp_path: Path, camera: str, index: int) -> None:
    frames = list(make_frames(10))
    (displaced,) = [frame for name, frame in frames if name == camera][index : index + 1]
    with BagWriter(tmp_path / "bag.mcap") as writer:
        for name, frame in frames:
            received_ns = 0 if frame is displaced else frame.stamp_ns
            writer.write_frame(name, replace(frame, received_ns=received_ns))
    with BagReader(tmp_path / "bag.mcap") as reader:
        read = [(name, frame.stamp_ns) for name, frame in reader.frames(reader.choose_topics())]
    assert sorted(read) == sorted((name, frame.stamp_ns) for name, frame in frames)
    for name in ("rgb", "thermal"):
        stamps = [stamp for other, stamp in read if other == name]
        assert stamps == sorted(stamps)


def test_frames_none_of_which_has_a_log_time_stay_in_their_order(tmp_path: Path) -> None:
    frames = list(make_frames(40))
    with BagWriter(tmp_path / "bag.mcap") as writer:
        for name, frame in frames:
            writer.write_frame(name, replace(frame, received_ns=0))
    with BagReader(tmp_path / "bag.mcap") as reader:
        assert len(list(reader.frames(reader.choose_topics()))) == 80
