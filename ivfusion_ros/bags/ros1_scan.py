"""A ROS 1 bag without a usable index, read from its front to its end: of a recorder that was cut off.

The format is stated in http://wiki.ros.org/Bags/Format/2.0: records of a header of named fields and of
data, messages in chunks.
"""

from __future__ import annotations

import bz2
import struct
from collections import Counter
from dataclasses import dataclass, replace
from typing import IO, TYPE_CHECKING, Any

import lz4.frame  # type: ignore[import-untyped]
from rosbags.typesys.msg import normalize_msgtype

from ivfusion_ros.bags.topics import BagTopic
from ivfusion_ros.messages.type_names import full_name

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MAGIC = b"#ROSBAG V2.0\n"
MAX_HEADER_BYTES, MAX_CHUNK_BYTES = 2**16, 2**30
"""More than any recorder writes."""

_LENGTH = struct.Struct("<I")
_MESSAGE, _CHUNK, _CONNECTION = b"\2", b"\5", b"\7"
_UNPACKERS: dict[bytes, Any] = {b"bz2": bz2.BZ2Decompressor, b"lz4": lz4.frame.LZ4FrameDecompressor}
BROKEN = (struct.error, ValueError, KeyError, EOFError, OSError, RuntimeError, MemoryError)
"""What damaged bytes raise here and in the decompressors."""
_STEP = 2**20

Fields = dict[bytes, bytes]
Message = tuple[int, int, memoryview]
"""Connection, log time in ns, serialised bytes."""


@dataclass(frozen=True)
class Chunk:
    """Where a chunk's data begin in the file, how many bytes are there, and how they are packed."""

    place: int
    size: int
    compression: bytes
    unpacked_size: int
    complete: bool


class Ros1Scan:
    """What is whole of a bag. topics: by connection. lost: places that could not be read."""

    def __init__(self, path: Path) -> None:
        """Raises ValueError for what is no ROS 1 bag, OSError."""
        self._path = path
        self.lost = 0
        self.topics: dict[int, BagTopic] = {}
        self.start_ns: int | None = None
        self.end_ns: int | None = None
        with path.open("rb") as file:
            if file.read(len(MAGIC)) != MAGIC:
                raise ValueError("it does not begin as one")
            self._chunks = list(self._find_chunks(file, path.stat().st_size))
            counts: Counter[int] = Counter()
            for number, time_ns, _ in self._read(file):
                counts[number] += 1
                self.start_ns = time_ns if self.start_ns is None else min(self.start_ns, time_ns)
                self.end_ns = time_ns if self.end_ns is None else max(self.end_ns, time_ns)
        self.topics = {
            number: replace(topic, count=counts[number]) for number, topic in self.topics.items()
        }

    def messages(self) -> Iterator[Message]:
        """All messages, by time within a chunk."""
        with self._path.open("rb") as file:
            yield from self._read(file)

    def _read(self, file: IO[bytes]) -> Iterator[Message]:
        for chunk in self._chunks:
            file.seek(chunk.place)
            found: list[Message] = []
            try:
                content = _unpacked(file.read(chunk.size), chunk)
                found += (item for item in self._records(content) if item[0] in self.topics)
            except BROKEN:
                self.lost += chunk.complete
            yield from sorted(found, key=lambda item: item[1])

    def _records(self, content: memoryview) -> Iterator[Message]:
        """Messages of a chunk as far as it goes; its connections are noted."""
        place = 0
        while place + _LENGTH.size <= len(content):
            fields, place = _fields(content, place)
            (size,) = _LENGTH.unpack_from(content, place)
            place += _LENGTH.size
            data = content[place : place + size]
            place += size
            if len(data) < size:
                return
            if fields[b"op"] == _MESSAGE:
                seconds, nanoseconds = struct.unpack("<II", fields[b"time"])
                yield _LENGTH.unpack(fields[b"conn"])[0], seconds * 10**9 + nanoseconds, data
            elif fields[b"op"] == _CONNECTION:
                self._note(fields, data)

    def _note(self, fields: Fields, data: memoryview) -> None:
        """A connection: which topic it is of."""
        (number,) = _LENGTH.unpack(fields[b"conn"])
        if number not in self.topics:
            own, _ = _fields(memoryview(_LENGTH.pack(len(data)) + bytes(data)), 0)
            name = "/" + fields[b"topic"].decode().strip("/")
            kind = full_name(normalize_msgtype(own[b"type"].decode()))
            definition = own[b"message_definition"].decode(errors="replace")
            self.topics[number] = BagTopic(name, kind, definition=definition, count=0, serialization="ros1")

    def _find_chunks(self, file: IO[bytes], size: int) -> Iterator[Chunk]:
        """Every chunk; behind a damaged record the next one is searched for."""
        place = len(MAGIC)
        while place < size:
            try:
                fields, found, data_bytes = _record(file, place)
                if fields[b"op"] == _CHUNK:
                    there = min(data_bytes, size - found)
                    yield _chunk(fields, found, there, there == data_bytes)
                elif fields[b"op"] == _CONNECTION:
                    # Of the index, which names those too whose chunk is damaged.
                    file.seek(found)
                    self._note(fields, memoryview(file.read(min(data_bytes, MAX_HEADER_BYTES))))
                place = found + data_bytes
            except BROKEN:
                self.lost += 1
                place = _next_chunk(file, place + 1, size)


def _fields(content: memoryview, place: int) -> tuple[Fields, int]:
    """A header's fields, and where it ends. Raises ValueError, struct.error."""
    (size,) = _LENGTH.unpack_from(content, place)
    place += _LENGTH.size
    end = place + size
    if not 0 < size <= max(MAX_HEADER_BYTES, len(content)) or end > len(content):
        raise ValueError("no header")
    fields = {}
    while place < end:
        (length,) = _LENGTH.unpack_from(content, place)
        place += _LENGTH.size
        name, equals, value = bytes(content[place : place + length]).partition(b"=")
        place += length
        if not equals or place > end:
            raise ValueError("no field")
        fields[name] = value
    return fields, end


def _record(file: IO[bytes], place: int) -> tuple[Fields, int, int]:
    """Of the record at a place: its fields, where its data begin, how many bytes. Raises one of BROKEN."""
    file.seek(place)
    head = memoryview(file.read(MAX_HEADER_BYTES + 2 * _LENGTH.size))
    fields, after = _fields(head, 0)
    return fields, place + after + _LENGTH.size, _LENGTH.unpack_from(head, after)[0]


def _chunk(fields: Fields, place: int, size: int, complete: bool) -> Chunk:
    (unpacked_size,) = _LENGTH.unpack(fields[b"size"])
    return Chunk(place, size, fields[b"compression"], unpacked_size, complete)


def read_chunk(file: IO[bytes], place: int) -> memoryview:
    """Content of the chunk at a place, no more than it declares. Raises one of BROKEN."""
    chunk = _chunk(*_record(file, place), True)
    file.seek(chunk.place)
    return _unpacked(file.read(chunk.size), chunk)


def _next_chunk(file: IO[bytes], place: int, size: int) -> int:
    """Where the next record begins that is a chunk's by its header; the file's end without any."""
    mark = b"\4\0\0\0op=" + _CHUNK
    while place < size:
        file.seek(place)
        block = file.read(_STEP + 200)
        at = block.find(mark)
        while at >= 0:
            for start in range(max(0, at - 100), at):
                try:
                    fields, end = _fields(memoryview(block[start : start + 200]), 0)
                except BROKEN:
                    continue
                if start + end > at and fields.get(b"op") == _CHUNK and b"compression" in fields:
                    return place + start
            at = block.find(mark, at + 1)
        place += _STEP
    return size


def _unpacked(data: bytes, chunk: Chunk) -> memoryview:
    """Content of a chunk, as far as a cut one gives it. Raises one of BROKEN."""
    if chunk.compression == b"none":
        return memoryview(data)
    most = min(chunk.unpacked_size, MAX_CHUNK_BYTES)
    return memoryview(_UNPACKERS[chunk.compression]().decompress(data, max_length=most))
