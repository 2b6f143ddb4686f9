"""A bag as a stream of frames, read without ROS and with flat memory."""

from __future__ import annotations

import heapq
import itertools
from collections import Counter
from contextlib import ExitStack, suppress
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ivfusion_ros.bags import topics
from ivfusion_ros.bags.compression import DamageError, unpack_message
from ivfusion_ros.bags.displaced import in_place
from ivfusion_ros.bags.files import BagFile, find_files, open_file
from ivfusion_ros.bags.mcap_file import EVER
from ivfusion_ros.bags.serializations import decode
from ivfusion_ros.bags.video_topics import VideoTopics
from ivfusion_ros.errors import BagError, IvfusionError
from ivfusion_ros.files import scratch_folder
from ivfusion_ros.geometry.camera_info import newest_info
from ivfusion_ros.images.declared import MAX_PIXELS
from ivfusion_ros.messages.frames import encoding_of, to_camera_info, to_frame
from ivfusion_ros.messages.type_names import CAMERA_INFOS, IMAGES, RAW_IMAGES, VIDEOS
from ivfusion_ros.messages.video import CODECS, video_codec

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
    from types import TracebackType

    from ivfusion_ros.bags.mcap_file import Between, RawMessage
    from ivfusion_ros.bags.topics import BagTopic, Topics
    from ivfusion_ros.types import CameraInfo, CameraName, Frame

PEEK_IMAGES = 500
"""How many image messages are read to learn the pixel encodings of all image topics."""


class BagReader:
    """Messages and frames of one or several bags, merged by log time.

    paths: rosbag2 folders, .mcap, .db3 and .bag files; a damaged file gives what is readable. max_pixels:
    of a compressed image that is decoded. between: log times of what frames() reads; each camera's first
    intrinsics and all static transforms are read in any case.

    files: the storage files behind paths. topics: all topics. losses: what could not be read (complete
    after reading). skipped: messages that could not be used, by topic, with skip_reasons giving the first
    reason. start_ns, end_ns: None where unknown.

    Raises BagError if nothing is readable.
    """

    def __init__(
        self,
        paths: str | Path | Sequence[str | Path],
        max_pixels: int = MAX_PIXELS,
        between: Between = EVER,
    ) -> None:
        self.paths = [Path(paths)] if isinstance(paths, (str, Path)) else [Path(path) for path in paths]
        if not self.paths:
            raise BagError("no bag was given")
        self._max_pixels = max_pixels
        self._between = between
        self.skipped: Counter[str] = Counter()
        self.skip_reasons: dict[str, str] = {}
        self.files: list[Path] = []
        self._found_losses: list[str] = []
        self._files: list[BagFile] = []
        self._stack = ExitStack()

    def __enter__(self) -> BagReader:
        try:
            self._open_files(cache(lambda: self._stack.enter_context(scratch_folder("ivfusion_bag"))))
        except OSError as error:
            self.close()
            raise _cannot_read(error) from error
        except BaseException:
            self.close()
            raise
        self.topics = _merge_topics(self._files)
        starts = [file.start_ns for file in self._files if file.start_ns is not None]
        ends = [file.end_ns for file in self._files if file.end_ns is not None]
        self.start_ns, self.end_ns = min(starts, default=None), max(ends, default=None)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Remove the unpacked copies of files that are compressed as a whole."""
        self._stack.close()

    @property
    def losses(self) -> list[str]:
        """What could not be read, one sentence each."""
        return self._found_losses + [loss for file in self._files for loss in file.losses]

    @property
    def message_counts(self) -> dict[str, int] | None:
        """Messages by topic name; None where a damaged file does not say."""
        counts: dict[str, int] = {}
        for topic in self.topics:
            if topic.count is None:
                return None
            counts[topic.name] = counts.get(topic.name, 0) + topic.count
        return counts

    def choose_topics(self, thermal: str | None = None, rgb: str | None = None) -> Topics:
        """topics.choose_topics for this bag, with the encodings of its first images. Raises BagError."""
        if not (thermal and rgb):
            self._peek_encodings()
        try:
            return topics.choose_topics(self.topics, thermal, rgb)
        except BagError as error:
            # What is missing may stand where the file is damaged.
            raise BagError("; ".join([str(error), *self.losses])) from error

    def choose_depth_topic(self, name: str | None = None) -> str:
        """topics.choose_depth_topic for this bag. Raises BagError."""
        if name is None:
            self._peek_encodings()
        return topics.choose_depth_topic(self.topics, name)

    def messages(
        self, names: Collection[str] | None = None, between: Between = EVER
    ) -> Iterator[RawMessage]:
        """(topic, log time in ns, serialised bytes) of the named topics, None for all."""
        streams = [_timed(file, names, between) for file in self._files]
        try:
            for _, message in heapq.merge(*streams, key=lambda item: item[0]):
                if message is not None:
                    yield message
        except OSError as error:
            raise _cannot_read(error) from error

    def frames(
        self,
        chosen: Topics,
        each_message: Callable[[BagTopic, int, memoryview], None] | None = None,
        others: Mapping[str, Callable[[Any], object]] | None = None,
        thermal_encoding: str = "",
    ) -> Iterator[tuple[CameraName, Frame]]:
        """Frames of both cameras by log time, each with its camera's newest CameraInfo that can be used.

        each_message: called with every message of every topic, before the frame that it becomes;
        for example BagWriter.write_raw, to keep the original topics. others: by topic name, what takes
        the messages of further topics, before the frames that follow them. thermal_encoding: what raw
        thermal images really are, '' for what they say. Unreadable messages are skipped; a frame without
        a log time, where others have one, comes by its stamp.
        """
        frames = self._logged_frames(chosen, each_message, others or {}, thermal_encoding)
        return in_place(frames) if self.end_ns else frames

    def _logged_frames(
        self,
        chosen: Topics,
        each_message: Callable[[BagTopic, int, memoryview], None] | None,
        others: Mapping[str, Callable[[Any], object]],
        thermal_encoding: str,
    ) -> Iterator[tuple[CameraName, Frame]]:
        """In order of log times; see frames."""
        cameras: dict[str, CameraName] = {chosen.thermal: "thermal", chosen.rgb: "rgb"}
        image_of = {chosen.thermal_info: chosen.thermal, chosen.rgb_info: chosen.rgb}
        infos = self._first_infos(image_of) if self._between != EVER else {}
        videos = VideoTopics(self._max_pixels)
        names = None if each_message else chosen.names | others.keys()
        for topic, log_time_ns, data in self.messages(names, self._between):
            if each_message:
                each_message(topic, log_time_ns, data)
            try:
                if topic.name in cameras and topic.type in IMAGES:
                    message, info = decode(topic, data), infos.get(topic.name)
                    encoding = thermal_encoding if topic.name == chosen.thermal else ""
                    for frame in self._frames(videos, topic, message, info, log_time_ns, encoding):
                        yield cameras[topic.name], frame
                elif topic.name in image_of and topic.type in CAMERA_INFOS:
                    image = image_of[topic.name]
                    told = to_camera_info(decode(topic, data), image)
                    infos[image] = newest_info(infos.get(image), told, image)
                elif topic.name in others:
                    others[topic.name](decode(topic, data))
            except IvfusionError as error:
                self._skip(topic.name, error)
            except Exception as error:  # noqa: BLE001
                # Of what no parser foresaw, too: one bad message costs itself, never the recording.
                reason = f"{type(error).__name__}: {error}"
                self._skip(topic.name, BagError(f"a {topic.type} message cannot be read ({reason})"))
        for name, left in videos.flush():
            if isinstance(left, IvfusionError):
                self._skip(name, left)
            else:
                yield from ((cameras[name], frame) for frame in left)

    def _first_infos(self, image_of: Mapping[str | None, str]) -> dict[str, CameraInfo]:
        """Intrinsics by image topic, as a camera that tells them once does at its start."""
        infos: dict[str, CameraInfo] = {}
        missing = {name for name in image_of if name is not None}
        for topic, _, data in self.messages(missing) if missing else ():
            if topic.name in missing and topic.type in CAMERA_INFOS:
                # It is read again in its turn, where what is wrong with it is told.
                with suppress(Exception):
                    image = image_of[topic.name]
                    infos[image] = to_camera_info(decode(topic, data), image)
                    missing.remove(topic.name)
            if not missing:
                break
        return infos

    def _frames(
        self,
        videos: VideoTopics,
        topic: BagTopic,
        message: Any,
        info: CameraInfo | None,
        log_time_ns: int,
        encoding: str,
    ) -> list[Frame]:
        """The frames that a message of an image topic completes."""
        codec = None if topic.type in RAW_IMAGES else video_codec(message)
        if codec is not None:
            return videos.add(topic.name, codec, message, info, log_time_ns)
        if topic.type in VIDEOS:
            raise BagError(f"{topic.name} is video of no known codec, expected {', '.join(CODECS)}")
        return [to_frame(message, info, log_time_ns, self._max_pixels, encoding)]

    def _skip(self, name: str, error: IvfusionError) -> None:
        self.skipped[name] += 1
        self.skip_reasons.setdefault(name, str(error))

    def _open_files(self, scratch: Callable[[], Path]) -> None:
        refusals: list[BagError] = []
        self.files = find_files(self.paths, self._found_losses)
        for path in self.files:
            try:
                self._files.append(open_file(path, scratch))
            except BagError as error:
                refusals.append(error)
        if not self._files:
            raise BagError("; ".join(map(str, refusals)))
        self._found_losses += [f"{error}; it was left out" for error in refusals]

    @staticmethod
    def _encoding(topic: BagTopic, data: memoryview) -> str:
        """Of pixels; '' for video."""
        return "" if topic.type in VIDEOS else encoding_of(decode(topic, data))

    def _peek_encodings(self) -> None:
        unknown = {topic.name for topic in self.topics if topic.type in IMAGES}
        encodings: dict[str, str] = {}
        for topic, _, data in itertools.islice(self.messages(frozenset(unknown)), PEEK_IMAGES):
            if topic.type not in IMAGES:
                # A damaged or joined bag may have messages of two types on one topic.
                continue
            try:
                encodings.setdefault(topic.name, self._encoding(topic, data))
            except BagError:
                continue
            if len(encodings) == len(unknown):
                break
        self.topics = [replace(item, encoding=encodings.get(item.name, "")) for item in self.topics]


def _cannot_read(error: OSError) -> BagError:
    return BagError(f"cannot read {error.filename or 'the bag'}: {error.strerror or error}")


def _timed(
    file: BagFile, names: Collection[str] | None, between: Between
) -> Iterator[tuple[int, RawMessage | None]]:
    # The start goes first, so that merging does not load the first chunk of every file at once.
    if file.start_ns is not None:
        yield file.start_ns, None
    for topic, log_time_ns, data in file.messages(
        lambda topic: names is None or topic.name in names, between
    ):
        try:
            data = unpack_message(data)
        except DamageError as error:
            loss = f"{file.path.name}: a message of {topic.name} is not readable: {error}"
            if loss not in file.losses:
                file.losses.append(loss)
            continue
        yield log_time_ns, (topic, log_time_ns, data)


def _merge_topics(files: Sequence[BagFile]) -> list[BagTopic]:
    """One entry per name and type, with the definition and count over all files, by name."""
    merged: dict[tuple[str, str], BagTopic] = {}
    for topic in (topic for file in files for topic in file.topics):
        known = merged.setdefault((topic.name, topic.type), replace(topic, count=0))
        counts = (known.count, topic.count)
        merged[topic.name, topic.type] = replace(
            known,
            definition=known.definition or topic.definition,
            type_hash=known.type_hash or topic.type_hash,
            qos=known.qos or topic.qos,
            count=None if None in counts else sum(count for count in counts if count is not None),
        )
    return [merged[key] for key in sorted(merged)]
