"""One ROS 1 bag (.bag) as a source of messages in log time order, through rosbags."""

from __future__ import annotations

import heapq
import struct
from collections import Counter
from typing import TYPE_CHECKING

from rosbags.rosbag1 import Reader, ReaderError

from ivfusion_ros.bags.topics import BagTopic
from ivfusion_ros.errors import BagError
from ivfusion_ros.messages.type_names import full_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from ivfusion_ros.bags.mcap_file import RawMessage

LENGTH = struct.Struct("<I")
MESSAGE_OP = b"\4\0\0\0op=\2"

UNREADABLE = (
    ReaderError,
    OSError,
    AssertionError,
    ValueError,
    KeyError,
    EOFError,
    RuntimeError,
    struct.error,
)
"""What rosbags and the decompressors under it raise for damaged bytes."""


class Ros1File:
    """Reads a bag that has its index; a damaged place ends it and is named in losses. Raises BagError."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.losses: list[str] = []
        try:
            with Reader(path) as reader:
                counts = Counter({item.id: item.msgcount for item in reader.connections})
                self._topics = {
                    item.id: BagTopic(
                        item.topic,
                        full_name(item.msgtype),
                        definition=item.msgdef.data,
                        count=counts[item.id],
                        serialization="ros1",
                    )
                    for item in reader.connections
                }
                filled = bool(reader.message_count)
                self.start_ns = reader.start_time if filled else None
                self.end_ns = reader.end_time - 1 if filled else None
        except UNREADABLE as error:
            raise BagError(
                f"{path} is not a readable ROS 1 bag: {error}; of one that was cut off, `rosbag reindex` "
                "saves what is there"
            ) from error
        self.topics = list(self._topics.values())

    def messages(self, wanted: Callable[[BagTopic], bool]) -> Iterator[RawMessage]:
        """Messages of the wanted topics."""
        try:
            with Reader(self.path) as reader:
                chosen = [item.id for item in reader.connections if wanted(self._topics[item.id])]
                for connection, log_time_ns, data in _in_order(reader, chosen):
                    yield self._topics[connection], log_time_ns, data
        except UNREADABLE as error:
            self.losses.append(f"{self.path.name}: reading stopped early: {error}")


def _in_order(reader: Reader, connections: Iterable[int]) -> Iterator[tuple[int, int, memoryview]]:
    """Connection, log time and bytes of their messages; as Reader.messages, which copies each once more."""
    streams = [[(entry, connection) for entry in reader.indexes[connection]] for connection in connections]
    place, chunk = None, memoryview(b"")
    for entry, connection in heapq.merge(*streams):
        if entry.chunk_pos != place:
            place, chunk = entry.chunk_pos, _unpack(reader, entry.chunk_pos)
        yield connection, entry.time, _message(chunk, entry.offset)


def _unpack(reader: Reader, place: int) -> memoryview:
    assert reader.bio is not None
    header = reader.chunks[place]
    reader.bio.seek(header.datapos)
    return memoryview(header.decompressor(reader.bio.read(header.datasize)))


def _message(chunk: memoryview, position: int) -> memoryview:
    """The data of the message record at a place, before which connection records may stand."""
    while True:
        (head_bytes,) = LENGTH.unpack_from(chunk, position)
        head = bytes(chunk[position + LENGTH.size : position + LENGTH.size + head_bytes])
        position += LENGTH.size + head_bytes
        (data_bytes,) = LENGTH.unpack_from(chunk, position)
        position += LENGTH.size
        if MESSAGE_OP in head:
            if position + data_bytes > len(chunk):
                raise ReaderError("a message is cut off")
            return chunk[position : position + data_bytes]
        position += data_bytes
