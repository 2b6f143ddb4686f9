"""The records of an MCAP file (https://mcap.dev/spec), read so that damage stays local.

rosbags' and Foxglove's readers stop at the first damaged chunk and need a whole last chunk; a bag cut
off by a power failure has neither an index nor a whole last chunk.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ivfusion_ros.bags.compression import DamageError, unpack_chunk

if TYPE_CHECKING:
    from collections.abc import Iterator

MAGIC = b"\x89MCAP0\r\n"
HEADER, FOOTER, SCHEMA, CHANNEL, MESSAGE, CHUNK, MESSAGE_INDEX, CHUNK_INDEX = range(1, 9)
STATISTICS, DATA_END = 0x0B, 0x0F

RECORD_HEAD = struct.Struct("<BQ")
MESSAGE_HEAD = struct.Struct("<HIQQ")
MAX_RECORD_BYTES = 2**29
"""A record that claims to be larger, packed or unpacked, is taken as damaged."""


class Fields:
    """Reads the fields of one record's body in order. Raises DamageError."""

    def __init__(self, body: memoryview) -> None:
        self.body = body
        self.position = 0

    def numbers(self, layout: str) -> tuple[int, ...]:
        """Integers by struct layout letters, little endian, unaligned."""
        try:
            values = struct.unpack_from("<" + layout, self.body, self.position)
        except struct.error as error:
            raise DamageError("a record is shorter than its fields") from error
        self.position += struct.calcsize("<" + layout)
        return values

    def block(self) -> memoryview:
        """Bytes after their 32-bit length."""
        (length,) = self.numbers("I")
        if length > len(self.body) - self.position:
            raise DamageError("a record is shorter than its fields")
        self.position += length
        return self.body[self.position - length : self.position]

    def text(self) -> str:
        """UTF-8 string after its 32-bit length."""
        try:
            return bytes(self.block()).decode()
        except UnicodeDecodeError as error:
            raise DamageError("a text field is not UTF-8") from error

    def text_map(self) -> dict[str, str]:
        """String to string map after its 32-bit length in bytes."""
        inner, result = Fields(self.block()), {}
        while inner.position < len(inner.body):
            key = inner.text()
            result[key] = inner.text()
        return result


@dataclass(frozen=True)
class Channel:
    """A channel record joined with its schema's name and text."""

    topic: str
    type: str
    definition: str
    message_encoding: str
    metadata: dict[str, str]
    schema: bytes = b""
    """of protobuf: a FileDescriptorSet"""


def read_schema(body: memoryview) -> tuple[int, tuple[str, str, bytes]]:
    """(schema id, (type name, definition, schema)); '' unless a text of ROS, b"" unless protobuf's."""
    fields = Fields(body)
    (schema_id,) = fields.numbers("H")
    name, encoding, text = fields.text(), fields.text(), bytes(fields.block())
    definition = text.decode(errors="replace") if encoding in ("ros2msg", "ros2idl", "ros1msg") else ""
    return schema_id, (name, definition, text if encoding == "protobuf" else b"")


def read_channel(body: memoryview, schemas: dict[int, tuple[str, str, bytes]]) -> tuple[int, Channel]:
    """(channel id, channel)."""
    fields = Fields(body)
    channel_id, schema_id = fields.numbers("HH")
    name, definition, schema = schemas.get(schema_id, ("", "", b""))
    topic, encoding, metadata = fields.text(), fields.text(), fields.text_map()
    return channel_id, Channel(topic, name, definition, encoding, metadata, schema)


def read_message_head(body: memoryview) -> tuple[int, int]:
    """(channel id, log time in ns)."""
    channel_id, _, log_time_ns, _ = Fields(body[: MESSAGE_HEAD.size]).numbers("HIQQ")
    return channel_id, log_time_ns


def walk_records(data: memoryview) -> Iterator[tuple[int, memoryview]]:
    """(opcode, body) of each record. Raises DamageError at the first that is not whole."""
    position = 0
    while position < len(data):
        if len(data) - position < RECORD_HEAD.size:
            raise DamageError("cut off inside a record")
        opcode, length = RECORD_HEAD.unpack_from(data, position)
        position += RECORD_HEAD.size
        if opcode == 0:
            raise DamageError("no valid record")
        if length > len(data) - position:
            raise DamageError("cut off inside a record")
        yield opcode, data[position : position + length]
        position += length


def walk_chunk(body: memoryview) -> Iterator[tuple[int, memoryview]]:
    """(opcode, body) of the records in a chunk; of a cut one, those before the cut.

    Raises DamageError where the chunk cannot be unpacked, fails its checksum, or is cut.
    """
    fields = Fields(body)
    _, _, size, checksum = fields.numbers("QQQI")
    compression = fields.text()
    (packed_size,) = fields.numbers("Q")
    packed = body[fields.position : fields.position + packed_size]
    whole = len(packed) == packed_size
    if size > MAX_RECORD_BYTES:
        raise DamageError(f"says that it unpacks to {size} bytes")
    data = unpack_chunk(packed, compression, size)
    if whole and len(data) != size:
        raise DamageError(f"unpacks to {len(data)} bytes instead of {size}")
    if whole and checksum and zlib.crc32(data) != checksum:
        raise DamageError("checksum mismatch")
    yield from walk_records(data)
    if not whole:
        raise DamageError("cut off")
