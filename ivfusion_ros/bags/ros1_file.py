"""One ROS 1 bag (.bag) as a source of messages in log time order, through rosbags."""

from __future__ import annotations

import heapq
import struct
from collections import Counter
from typing import TYPE_CHECKING

from rosbags.rosbag1 import Reader, ReaderError

from ivfusion_ros.bags.mcap_file import EVER
from ivfusion_ros.bags.ros1_scan import BROKEN, Ros1Scan, read_chunk
from ivfusion_ros.bags.topics import BagTopic
from ivfusion_ros.errors import BagError
from ivfusion_ros.messages.type_names import full_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from ivfusion_ros.bags.mcap_file import Between, RawMessage

LENGTH = struct.Struct("<I")
MESSAGE_OP = b"\4\0\0\0op=\2"

UNREADABLE = (ReaderError, AssertionError, *BROKEN)
"""What rosbags and the decompressors raise for damaged bytes."""


class Ros1File:
    """Reads a bag, without its index where that is damaged; losses has what is lost. Raises BagError."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.losses: list[str] = []
        self._scan: Ros1Scan | None = None
        try:
            self._read_index()
        except UNREADABLE as error:
            self._scan = self._scanned(error)
        self.topics = list(self._topics.values())

    def _read_index(self) -> None:
        with Reader(self.path) as reader:
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

    def _scanned(self, reason: Exception) -> Ros1Scan:
        try:
            scan = Ros1Scan(self.path)
        except (ValueError, OSError, MemoryError):
            scan = None
        if scan is None or not scan.topics:
            raise BagError(f"{self.path} is not a readable ROS 1 bag: {reason}") from reason
        self._topics, self.start_ns, self.end_ns = scan.topics, scan.start_ns, scan.end_ns
        places = f", {scan.lost} damaged places were left out" if scan.lost else ""
        self.losses.append(
            f"{self.path.name}: its index cannot be used ({reason}); it was read from its front{places}, "
            "and what was recorded last may be missing"
        )
        return scan

    def messages(self, wanted: Callable[[BagTopic], bool], between: Between = EVER) -> Iterator[RawMessage]:
        """Messages of the wanted topics."""
        chosen = {number for number, topic in self._topics.items() if wanted(topic)}
        try:
            for connection, log_time_ns, data in self._raw(chosen):
                if connection in chosen and between[0] <= log_time_ns <= between[1]:
                    yield self._topics[connection], log_time_ns, data
        except UNREADABLE as error:
            self.losses.append(f"{self.path.name}: reading stopped early: {error}")

    def _raw(self, chosen: Iterable[int]) -> Iterator[tuple[int, int, memoryview]]:
        if self._scan is not None:
            yield from self._scan.messages()
            return
        with Reader(self.path) as reader:
            yield from self._in_order(reader, [item.id for item in reader.connections if item.id in chosen])

    def _in_order(
        self, reader: Reader, connections: Iterable[int]
    ) -> Iterator[tuple[int, int, memoryview]]:
        """Connection, log time and bytes of their messages; as Reader.messages, a copy less.

        A chunk that is damaged costs itself.
        """
        streams = [
            [(entry, connection) for entry in reader.indexes[connection]] for connection in connections
        ]
        place, chunk, lost = None, memoryview(b""), 0
        for entry, connection in heapq.merge(*streams):
            try:
                if entry.chunk_pos != place:
                    place, chunk = entry.chunk_pos, memoryview(b"")
                    assert reader.bio is not None
                    chunk = read_chunk(reader.bio, place)
                data = _message(chunk, entry.offset)
            except UNREADABLE as error:
                lost += 1
                reason = str(error) or "out of memory"
                continue
            yield connection, entry.time, data
        if lost:
            self.losses.append(f"{self.path.name}: {lost} messages are in damaged chunks: {reason}")


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
