"""Seconds of a recording as bags of their own, all topics as they are."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ivfusion_ros.bags import BagReader, BagTopic, BagWriter, transform_topics
from ivfusion_ros.messages import CAMERA_INFOS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_MOST_KEPT = 1000
"""Messages from before a clip that it begins with."""


@dataclass(frozen=True)
class Clip:
    """A bag to write, and the log times that are in it, both included."""

    path: Path
    start_ns: int
    end_ns: int


def cut(recording: Path, clips: Iterable[Clip]) -> Iterator[Clip]:
    """Write clips of one recording, which is read once; each comes when it is whole.

    A clip begins with what a reader needs from before: static transforms, and each camera's newest
    intrinsics. Raises BagError.
    """
    waiting = sorted(clips, key=lambda clip: clip.start_ns)
    open_now: list[_Writing] = []
    with ExitStack() as stack, BagReader(recording) as reader:
        before = _Before(set(transform_topics(reader.topics, static=True)))
        for topic, log_ns, data in reader.messages():
            for done in [each for each in open_now if each.clip.end_ns < log_ns]:
                open_now.remove(done)
                yield done.end()
            while waiting and waiting[0].start_ns <= log_ns:
                open_now.append(_Writing(waiting.pop(0), stack))
                before.write(open_now[-1])
            for each in open_now:
                each.writer.write_raw(topic, log_ns, data)
            before.add(topic, data)
            if not (waiting or open_now):
                return
        for each in open_now:
            yield each.end()


class _Writing:
    """A clip that is written; not there where the stack ends by an error."""

    def __init__(self, clip: Clip, stack: ExitStack) -> None:
        self.clip = clip
        self.writer = BagWriter(clip.path, overwrite=True)
        self._own = ExitStack()
        stack.push(self._own)
        self._own.enter_context(self.writer)

    def end(self) -> Clip:
        self._own.close()
        return self.clip


@dataclass
class _Before:
    """What came before a clip and holds in it."""

    static: set[str]
    _transforms: list[tuple[BagTopic, bytes]] = field(default_factory=list)
    _intrinsics: dict[str, tuple[BagTopic, bytes]] = field(default_factory=dict)

    def add(self, topic: BagTopic, data: Any) -> None:
        if topic.name in self.static and len(self._transforms) < _MOST_KEPT:
            self._transforms.append((topic, bytes(data)))
        elif topic.type in CAMERA_INFOS:
            self._intrinsics[topic.name] = topic, bytes(data)

    def write(self, to: _Writing) -> None:
        for topic, data in (*self._transforms, *self._intrinsics.values()):
            to.writer.write_raw(topic, to.clip.start_ns, data)
