"""One MCAP file, whole or damaged, as a source of messages in log time order."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, BinaryIO

from rosbags.rosbag2.metadata import parse_qos

from ivfusion_ros.bags.compression import DamageError
from ivfusion_ros.bags.mcap_index import Block, read_index
from ivfusion_ros.bags.mcap_records import (
    CHUNK,
    MAGIC,
    MESSAGE,
    MESSAGE_HEAD,
    RECORD_HEAD,
    Channel,
    read_message_head,
    walk_chunk,
    walk_records,
)
from ivfusion_ros.bags.serializations import SERIALIZATIONS
from ivfusion_ros.bags.topics import BagTopic
from ivfusion_ros.errors import BagError
from ivfusion_ros.messages.type_names import full_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

HELD_BYTES = 256 * 2**20
"""Messages of chunks that overlap in time wait in memory for their turn, up to this size."""

Between = tuple[int, int]
"""Log times in ns, both included."""
EVER: Between = (-(2**63), 2**63 - 1)

RawMessage = tuple[BagTopic, int, memoryview]
"""Topic, log time in ns, serialised bytes."""


class McapFile:
    """Reads a file with or without index; what cannot be read is named in losses.

    counts: messages by topic name, including those in damaged chunks. start_ns, end_ns: log times of
    the first and last message, None in a file without messages. Raises BagError.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.losses: list[str] = []
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(0)
            if file.read(len(MAGIC)) != MAGIC:
                raise BagError(f"{path} is {'no MCAP file' if size else 'empty'}")
            index = read_index(file, size)
        for loss in index.losses:
            self._lose(loss)
        used = [self._topic(channel, index.counts[key]) for key, channel in index.channels.items()]
        self._topics = dict(zip(index.channels, used, strict=True))
        self.topics = [topic for topic in used if topic]
        self._blocks = sorted(index.blocks, key=lambda block: (block.start_ns, block.offset))
        filled = [block for block in self._blocks if block.end_ns]
        self.start_ns = min((block.start_ns for block in filled), default=None)
        self.end_ns = max((block.end_ns for block in filled), default=None)

    def messages(self, wanted: Callable[[BagTopic], bool], between: Between = EVER) -> Iterator[RawMessage]:
        """Messages of the wanted topics; out of order only beyond HELD_BYTES of overlap."""
        topics = {key: topic for key, topic in self._topics.items() if topic and wanted(topic)}
        waiting: list[tuple[int, int, BagTopic, memoryview]] = []
        held = number = 0
        with self.path.open("rb") as file:
            for block in self._blocks:
                if block.channels is not None and not block.channels & set(topics):
                    continue
                if block.end_ns < between[0] or block.start_ns > between[1]:
                    continue
                while waiting and (waiting[0][0] <= block.start_ns or held > HELD_BYTES):
                    log_time_ns, _, topic, data = heapq.heappop(waiting)
                    held -= len(data)
                    yield topic, log_time_ns, data
                for topic, log_time_ns, data in self._read(file, block, topics):
                    if not between[0] <= log_time_ns <= between[1]:
                        continue
                    heapq.heappush(waiting, (log_time_ns, number, topic, data))
                    number += 1
                    held += len(data)
        while waiting:
            log_time_ns, _, topic, data = heapq.heappop(waiting)
            yield topic, log_time_ns, data

    def _read(self, file: BinaryIO, block: Block, topics: dict[int, BagTopic]) -> list[RawMessage]:
        found: list[RawMessage] = []
        try:
            file.seek(block.offset)
            data = memoryview(file.read(block.length))
            is_chunk = data[:1] == bytes([CHUNK])
            for opcode, body in walk_chunk(data[RECORD_HEAD.size :]) if is_chunk else walk_records(data):
                if opcode != MESSAGE:
                    continue
                channel_id, log_time_ns = read_message_head(body)
                if channel_id in topics:
                    found.append((topics[channel_id], log_time_ns, body[MESSAGE_HEAD.size :]))
        except (DamageError, OSError, MemoryError) as error:
            self._lose(
                f"chunk at byte {block.offset} ({block.length} bytes): {str(error) or 'out of memory'}; "
                f"{len(found)} of its messages were read"
            )
        return found

    def _lose(self, what: str) -> None:
        loss = f"{self.path.name}: {what}"
        if loss not in self.losses:
            self.losses.append(loss)

    def _topic(self, channel: Channel, count: int) -> BagTopic | None:
        if channel.message_encoding not in SERIALIZATIONS:
            self._lose(
                f"topic {channel.topic} is encoded as {channel.message_encoding or 'nothing known'}, "
                f"expected one of {', '.join(SERIALIZATIONS)}"
            )
            return None
        return BagTopic(
            channel.topic,
            full_name(channel.type),
            serialization=channel.message_encoding,
            written_type=channel.type,
            schema=channel.schema,
            definition=channel.definition,
            type_hash=channel.metadata.get("topic_type_hash", ""),
            qos=read_qos(channel.metadata.get("offered_qos_profiles", "")),
            count=count,
        )


def read_qos(text: str) -> tuple[object, ...]:
    """Offered QoS profiles from their YAML; none where it cannot be understood."""
    try:
        return tuple(parse_qos(text))
    # A YAML parser raises whatever its input makes Python raise; without a profile a topic is read as well.
    except Exception:  # noqa: BLE001
        return ()
