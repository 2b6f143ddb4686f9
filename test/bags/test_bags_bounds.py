"""Few compressed bytes must not become gigabytes in memory."""

import sys

import pytest

from ivfusion_ros.bags import compression
from ivfusion_ros.bags.compression import DamageError, unpack_file, unpack_message

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd


def test_a_message_unpacks_to_so_much_and_no_more(monkeypatch) -> None:
    monkeypatch.setattr(compression, "MAX_MESSAGE_BYTES", 2**20)
    whole = bytes(2**20)
    assert unpack_message(memoryview(zstd.compress(whole))) == whole
    with pytest.raises(DamageError, match="more than 1048576 bytes"):
        unpack_message(memoryview(zstd.compress(whole + b"1")))
    with pytest.raises(DamageError, match="more than"):
        unpack_message(memoryview(zstd.compress(bytes(600_000)) * 2))


def test_frames_in_a_row_are_one_message_and_a_cut_one_is_none() -> None:
    assert unpack_message(memoryview(zstd.compress(b"one ") + zstd.compress(b"two"))) == b"one two"
    packed = zstd.compress(bytes(range(256)) * 100)
    for cut in range(4, len(packed)):
        with pytest.raises(DamageError):
            unpack_message(memoryview(packed[:cut]))


def test_a_file_is_unpacked_in_parts(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(compression, "PART_BYTES", 1000)
    content = b"#ROSBAG V2.0\n" + bytes(range(256)) * 500
    (tmp_path / "a.zstd").write_bytes(zstd.compress(content))
    assert unpack_file(tmp_path / "a.zstd", tmp_path / "a") == ""
    assert (tmp_path / "a").read_bytes() == content


def test_a_file_that_unpacks_to_no_bag_or_to_too_much_ends_early(tmp_path, monkeypatch) -> None:
    packed, target = tmp_path / "a.db3.zstd", tmp_path / "a.db3"
    packed.write_bytes(zstd.compress(bytes(2**26)))
    assert "it holds no bag" in unpack_file(packed, target)
    assert target.stat().st_size == 0
    monkeypatch.setattr(compression, "MAX_MESSAGE_BYTES", 2**20)
    monkeypatch.setattr(compression, "PART_BYTES", 2**16)
    packed.write_bytes(zstd.compress(b"SQLite format 3\0" + bytes(2**26)))
    most = max(2**20, 1000 * packed.stat().st_size)
    assert f"more than {most} bytes, which no recording does" in unpack_file(packed, target)
    assert most - 2**16 <= target.stat().st_size <= most
