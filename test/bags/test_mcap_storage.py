"""Our storage writes what rosbags' own writes, but for the checksums of chunks."""

from __future__ import annotations

import weakref
import zlib
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
import pytest
from rosbags.rosbag2 import StoragePlugin, Writer

from ivfusion_ros.bags.mcap_records import CHUNK, MAGIC, RECORD_HEAD
from ivfusion_ros.bags.mcap_storage import McapStorage
from ivfusion_ros.bags.messages import typestore

if TYPE_CHECKING:
    from pathlib import Path

CHECKSUM = slice(24, 28)
"""In the body of a chunk, by the specification: after two times and the size."""
HEAD_BYTES = 40


class OurWriter(Writer):
    STORAGE_PLUGINS = MappingProxyType({**Writer.STORAGE_PLUGINS, StoragePlugin.MCAP: McapStorage})


def write(kind: type[Writer], folder: Path, sizes: list[int]) -> bytearray:
    """The file of a bag with messages of these sizes, on two topics in turn."""
    random = np.random.default_rng(0)
    with kind(folder, version=8, storage_plugin=StoragePlugin.MCAP) as writer:
        topics = [
            writer.add_connection(name, "std_msgs/msg/String", typestore=typestore())
            for name in ("/a", "/b")
        ]
        for index, size in enumerate(sizes):
            data = random.integers(0, 256, size, np.uint8).tobytes()
            # Not in order of time, as a recorder writes topics.
            writer.write(topics[index % 2], 10**9 + 1000 * (index ^ 1), memoryview(data))
    return bytearray((folder / f"{folder.name}.mcap").read_bytes())


def chunks(file: bytearray) -> list[slice]:
    """Where the bodies of chunks are."""
    found, position = [], len(MAGIC)
    while position < len(file) - len(MAGIC):
        opcode, length = RECORD_HEAD.unpack_from(file, position)
        position += RECORD_HEAD.size
        if opcode == CHUNK:
            found.append(slice(position, position + length))
        position += length
    return found


@pytest.mark.parametrize(
    "sizes", [[], [100], [300] * 9000, [3_000_000, 40, 0, 2_000_000, 5], [2**18 - 1, 2**18] * 5]
)
def test_same_bytes_as_rosbags(tmp_path: Path, sizes: list[int]) -> None:
    theirs = write(Writer, tmp_path / "theirs" / "bag", sizes)
    ours = write(OurWriter, tmp_path / "ours" / "bag", sizes)
    assert len(chunks(ours)) == len(chunks(theirs)) >= bool(sizes)
    for chunk in chunks(ours):
        body = memoryview(ours)[chunk]
        assert int.from_bytes(body[CHECKSUM], "little") == zlib.crc32(body[HEAD_BYTES:])
        body[CHECKSUM] = bytes(4)
    assert ours == theirs


def test_a_small_piece_of_a_large_block_does_not_keep_it(tmp_path: Path) -> None:
    block = np.zeros(10_000_000, np.uint8)
    gone = weakref.ref(block)
    with OurWriter(tmp_path / "new", version=8, storage_plugin=StoragePlugin.MCAP) as writer:
        topic = writer.add_connection("/a", "std_msgs/msg/String", typestore=typestore())
        writer.write(topic, 1, memoryview(block)[:100])
        del block
        assert gone() is None
