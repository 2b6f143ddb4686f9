"""One ROS 1 bag (.bag) as a source of messages in log time order, through rosbags."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from rosbags.rosbag1 import Reader, ReaderError

from ivfusion_ros.bags.topics import BagTopic
from ivfusion_ros.errors import BagError
from ivfusion_ros.messages.type_names import full_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from ivfusion_ros.bags.mcap_file import RawMessage

UNREADABLE = (ReaderError, OSError, AssertionError, ValueError, KeyError, EOFError, RuntimeError)
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
                chosen = [item for item in reader.connections if wanted(self._topics[item.id])]
                if not chosen:
                    return
                for item, log_time_ns, data in reader.messages(chosen):
                    yield self._topics[item.id], log_time_ns, memoryview(data)
        except UNREADABLE as error:
            self.losses.append(f"{self.path.name}: reading stopped early: {error}")
