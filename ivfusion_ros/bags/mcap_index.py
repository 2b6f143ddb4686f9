"""Where the messages of an MCAP file are: from its summary, or rebuilt by a walk over its records."""

from __future__ import annotations

import zlib
from collections import Counter
from dataclasses import dataclass, field
from typing import BinaryIO

from ivfusion_ros.bags.compression import DamageError
from ivfusion_ros.bags.mcap_records import (
    CHANNEL,
    CHUNK,
    CHUNK_INDEX,
    DATA_END,
    FOOTER,
    MAGIC,
    MAX_RECORD_BYTES,
    MESSAGE,
    MESSAGE_HEAD,
    MESSAGE_INDEX,
    RECORD_HEAD,
    SCHEMA,
    STATISTICS,
    Channel,
    Fields,
    read_channel,
    read_message_head,
    read_schema,
    walk_chunk,
    walk_records,
)

FOOTER_BYTES = RECORD_HEAD.size + 20 + len(MAGIC)
RUN_BYTES = 4 * 2**20
"""Messages outside chunks are read in runs of about this size."""


@dataclass
class Block:
    """A chunk, or a run of messages outside chunks.

    offset, length: of its records in the file, bytes. channels: ids inside, None where unknown.
    """

    offset: int
    length: int
    start_ns: int
    end_ns: int
    channels: set[int] | None


@dataclass
class McapIndex:
    """Channels, message counts by channel id, and blocks in file order; losses say what is missing."""

    channels: dict[int, Channel] = field(default_factory=dict)
    schemas: dict[int, tuple[str, str, bytes]] = field(default_factory=dict)
    counts: Counter[int] = field(default_factory=Counter)
    blocks: list[Block] = field(default_factory=list)
    losses: list[str] = field(default_factory=list)

    def learn(self, opcode: int, body: memoryview) -> None:
        """Take in a schema or channel record, ignore others."""
        if opcode == SCHEMA:
            schema_id, schema = read_schema(body)
            self.schemas[schema_id] = schema
        elif opcode == CHANNEL:
            channel_id, channel = read_channel(body, self.schemas)
            self.channels[channel_id] = channel


def read_index(file: BinaryIO, size: int) -> McapIndex:
    """The index of a file that starts with MAGIC; from its summary if that is whole."""
    loss = ""
    try:
        index = _read_summary(file, size)
        if index is not None:
            return index
    except DamageError as error:
        loss = f"the index is missing or damaged ({error}), so the whole file was searched"
    scan = _Scan(file, size)
    scan.run()
    if loss:
        scan.index.losses.insert(0, loss)
    return scan.index


def _read_summary(file: BinaryIO, size: int) -> McapIndex | None:
    """The index in the summary; None for a sound file without one. Raises DamageError."""
    file.seek(max(0, size - FOOTER_BYTES))
    tail = file.read(FOOTER_BYTES)
    if len(tail) < FOOTER_BYTES or not tail.endswith(MAGIC):
        raise DamageError("the file has no end, the recording was cut off")
    footer = Fields(memoryview(tail))
    opcode, length, start, _, checksum = footer.numbers("BQQQI")
    if (opcode, length) != (FOOTER, 20) or start > size - FOOTER_BYTES:
        raise DamageError("the footer is invalid")
    if start == 0:
        return None
    if size - start > MAX_RECORD_BYTES:
        raise DamageError("the summary is too large")
    file.seek(start)
    summary = file.read(size - FOOTER_BYTES - start)
    if checksum and zlib.crc32(summary + tail[: footer.position - 4]) != checksum:
        raise DamageError("checksum mismatch")
    index, statistics = McapIndex(), None
    for opcode, body in walk_records(memoryview(summary)):
        index.learn(opcode, body)
        if opcode == CHUNK_INDEX:
            index.blocks.append(_indexed_block(body, size))
        elif opcode == STATISTICS:
            statistics = _read_statistics(body)
    if statistics is None:
        return None
    messages, channels, chunks, index.counts = statistics
    whole = len(index.channels) == channels and len(index.blocks) == chunks and (chunks or not messages)
    return index if whole else None


def _read_statistics(body: memoryview) -> tuple[int, int, int, Counter[int]]:
    """(messages, channels, chunks, messages by channel id)."""
    fields = Fields(body)
    messages, _, channels, _, _, chunks, _, _ = fields.numbers("QHIIIIQQ")
    rows, counts = Fields(fields.block()), Counter[int]()
    while rows.position < len(rows.body):
        channel_id, count = rows.numbers("HQ")
        counts[channel_id] = count
    return messages, channels, chunks, counts


def _indexed_block(body: memoryview, file_size: int) -> Block:
    fields = Fields(body)
    start_ns, end_ns, offset, length = fields.numbers("QQQQ")
    if offset + length > file_size or length > MAX_RECORD_BYTES:
        raise DamageError("it points outside of the file")
    rows, channels = Fields(fields.block()), set()
    while rows.position < len(rows.body):
        channel_id, _ = rows.numbers("HQ")
        channels.add(channel_id)
    # Message indexes are optional; without them the chunk may hold any channel.
    return Block(offset, length, start_ns, end_ns, channels or None)


class _Scan:
    """Walks over the records of a file and unpacks only the chunks that bring new channels."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self.file = file
        self.size = size
        self.index = McapIndex()
        self.chunk: Block | None = None
        self.chunk_counts: Counter[int] = Counter()
        self.run_of_messages: Block | None = None

    def run(self) -> None:
        position, ended = len(MAGIC), False
        while position < self.size and not ended:
            self.file.seek(position)
            head = self.file.read(RECORD_HEAD.size)
            opcode, length = RECORD_HEAD.unpack(head.ljust(RECORD_HEAD.size, b"\0"))
            end = position + RECORD_HEAD.size + length
            if opcode == 0 or (end > self.size and opcode != CHUNK):
                reason = "cut off inside a record" if opcode else "no valid record"
                rest = self.size - position
                self.index.losses.append(f"{reason} at byte {position}; the last {rest} bytes are lost")
                break
            ended = opcode in (DATA_END, FOOTER)
            try:
                self._take(opcode, position, min(end, self.size) - position)
            except DamageError as error:
                self.index.losses.append(f"record at byte {position}: {error}")
            position = end
        # Without the end of the data, the last chunk's message indexes may not be all there.
        self._finish_chunk(trust_counts=ended)

    def _take(self, opcode: int, position: int, length: int) -> None:
        body_length = min(max(0, length - RECORD_HEAD.size), MAX_RECORD_BYTES)
        if opcode == MESSAGE_INDEX:
            body = Fields(memoryview(self.file.read(min(6, body_length))))
            channel_id, entries_bytes = body.numbers("HI")
            self.chunk_counts[channel_id] += entries_bytes // 16
            return
        self._finish_chunk(trust_counts=True)
        self.file.seek(position + RECORD_HEAD.size)
        if opcode == CHUNK:
            start_ns, end_ns = Fields(memoryview(self.file.read(min(16, body_length)))).numbers("QQ")
            self.chunk = Block(position, min(length, MAX_RECORD_BYTES), start_ns, end_ns, None)
            self.index.blocks.append(self.chunk)
        elif opcode == MESSAGE:
            head = memoryview(self.file.read(min(MESSAGE_HEAD.size, body_length)))
            self._take_message(position, length, *read_message_head(head))
        elif opcode in (SCHEMA, CHANNEL):
            self.index.learn(opcode, memoryview(self.file.read(body_length)))

    def _take_message(self, position: int, length: int, channel_id: int, log_time_ns: int) -> None:
        self.index.counts[channel_id] += 1
        run = self.run_of_messages
        if run is None or run.offset + run.length != position or run.length > RUN_BYTES:
            run = Block(position, 0, log_time_ns, log_time_ns, set())
            self.run_of_messages = run
            self.index.blocks.append(run)
        run.length += length
        run.start_ns, run.end_ns = min(run.start_ns, log_time_ns), max(run.end_ns, log_time_ns)
        run.channels = (run.channels or set()) | {channel_id}

    def _finish_chunk(self, trust_counts: bool) -> None:
        """Count a chunk's messages; unpack it where its message indexes are not enough."""
        chunk, counts = self.chunk, self.chunk_counts
        self.chunk, self.chunk_counts = None, Counter()
        if chunk is None:
            return
        if trust_counts and counts:
            self.index.counts += counts
            chunk.channels = set(counts)
            if chunk.channels <= set(self.index.channels):
                return
        self.file.seek(chunk.offset + RECORD_HEAD.size)
        body = memoryview(self.file.read(chunk.length - RECORD_HEAD.size))
        times: list[int] = []
        try:
            for opcode, record in walk_chunk(body):
                self.index.learn(opcode, record)
                if opcode == MESSAGE and chunk.channels is None:
                    channel_id, log_time_ns = read_message_head(record)
                    self.index.counts[channel_id] += 1
                    times.append(log_time_ns)
        except DamageError:
            # Reading the chunk's messages meets the same damage and reports it.
            if chunk.channels is None:
                # Its header includes messages that are lost.
                chunk.start_ns, chunk.end_ns = min(times, default=0), max(times, default=0)
