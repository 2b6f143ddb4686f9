"""How rosbags' writer stores messages in MCAP: with checksums, and without copies of what is large.

rosbags' own storage writes no checksums of chunks, without which damage inside them is not seen, and copies
a message three times on its way to the file, which for images of 25 MB is most of the time that it takes.
"""

from __future__ import annotations

import struct
import zlib
from collections import defaultdict
from io import BytesIO
from typing import TYPE_CHECKING

from rosbags.rosbag2.storage_mcap import McapWriter, PendingChunk

from ivfusion_ros.bags.mcap_records import CHUNK, MESSAGE, MESSAGE_HEAD, MESSAGE_INDEX, RECORD_HEAD

if TYPE_CHECKING:
    from pathlib import Path

    from rosbags.interfaces import Connection
    from rosbags.rosbag2 import CompressionMode

_CHUNK_BYTES = 2**20
"""From which a chunk is complete, as in rosbags; a larger message has one of its own."""
_COPIED_BELOW = 2**18
"""Bytes. A piece of another bag's chunk keeps all of that in memory, so small ones are copied."""
_CHUNK_HEAD = struct.Struct("<QQQIIQ")
_NOTHING = 2**63 - 1, 0
"""First and last time of no messages."""


class _Parts(BytesIO):
    """A chunk as the parts that it consists of; only what rosbags and this module do with one."""

    def __init__(self) -> None:
        super().__init__()
        self.parts: list[bytes | memoryview] = []
        self.size = self.checksum = 0

    def write(self, data: bytes | memoryview, /) -> int:  # type: ignore[override]
        part = data if len(data) >= _COPIED_BELOW else bytes(data)
        self.parts.append(part)
        self.size += len(part)
        self.checksum = zlib.crc32(part, self.checksum)
        return len(part)

    def tell(self) -> int:
        return self.size


class McapStorage(McapWriter):
    """Not compressed."""

    def __init__(self, path: Path, compression: CompressionMode) -> None:
        super().__init__(path, compression)
        self.chunk = _pending()

    def write(self, connection: Connection, timestamp: int, data: bytes | memoryview) -> None:
        """Add a message; data stays as it is from now on. timestamp: ns."""
        chunk = self.chunk
        for times in (self, chunk):
            times.message_start_time = min(timestamp, times.message_start_time)
            times.message_end_time = max(timestamp, times.message_end_time)
        self.channel_stats[connection.id] += 1
        chunk.msgs[connection.id].append((timestamp, chunk.bio.tell()))
        head = MESSAGE_HEAD.pack(connection.id, 0, timestamp, timestamp)
        chunk.bio.write(RECORD_HEAD.pack(MESSAGE, len(head) + len(data)) + head)
        chunk.bio.write(data)
        if chunk.bio.tell() > _CHUNK_BYTES:
            self.close_chunk()

    def close_chunk(self) -> None:
        """Write what is pending, and remember where."""
        chunk, content = self.chunk, self.chunk.bio
        assert isinstance(content, _Parts)
        times, size = (chunk.message_start_time, chunk.message_end_time), content.size
        # Without compression, whose name has no letters.
        head = _CHUNK_HEAD.pack(*times, size, content.checksum, 0, size)
        start = self.bio.tell()
        self.bio.write(RECORD_HEAD.pack(CHUNK, len(head) + size) + head)
        for part in content.parts:
            self.bio.write(part)
        end, places = self.bio.tell(), b""
        for channel_id, messages in chunk.msgs.items():
            places += struct.pack("<HQ", channel_id, self.bio.tell())
            rows = b"".join(struct.pack("<QQ", *message) for message in messages)
            body = struct.pack("<HI", channel_id, len(rows)) + rows
            self.bio.write(RECORD_HEAD.pack(MESSAGE_INDEX, len(body)) + body)
        index = BytesIO()
        index.write(struct.pack("<QQQQI", *times, start, end - start, len(places)) + places)
        index.write(struct.pack("<QIQQ", self.bio.tell() - end, 0, size, size))
        self.chunks.append(index)
        self.chunk = _pending()


def _pending() -> PendingChunk:
    return PendingChunk(*_NOTHING, _Parts(), defaultdict(list))
