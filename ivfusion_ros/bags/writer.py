"""Fusion results and camera frames -> rosbag2 (MCAP), complete under its name or not there at all."""

from __future__ import annotations

import errno
import shutil
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Any, Literal

from rosbags.interfaces import Qos, QosDurability, QosHistory, QosLiveliness, QosReliability, QosTime
from rosbags.rosbag2 import StoragePlugin, Writer, WriterError
from rosbags.typesys import Stores, get_types_from_idl, get_types_from_msg, get_typestore

from ivfusion_ros.bags.mcap_storage import McapStorage
from ivfusion_ros.bags.messages import make, serialize, typestore
from ivfusion_ros.bags.serializations import to_cdr
from ivfusion_ros.errors import BagError
from ivfusion_ros.files import make_folder, whole_files
from ivfusion_ros.images.files import JPEG_QUALITY
from ivfusion_ros.images.names import SUFFIXES as IMAGE_SUFFIXES
from ivfusion_ros.messages import LABELS_TOPIC, MARKS_TOPIC, OUTPUTS, make_mark, outputs_of
from ivfusion_ros.messages.detections import make_label_info
from ivfusion_ros.messages.images import make_camera_info, make_compressed_image, make_image

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ivfusion_ros.bags.topics import BagTopic
    from ivfusion_ros.types import Frame, FusionResult

LABEL_INFO = f"/{LABELS_TOPIC}"
OUTPUT_TOPICS = frozenset(f"/{output.topic}" for output in OUTPUTS if output.replay != "never") | {
    LABEL_INFO
}

METADATA_VERSION: Literal[8] = 8
"""Newer metadata.yaml writes QoS as a mapping, on which ROS 2 Humble fails; Jazzy reads both."""

NO_FOLDERS = (
    *(".db3", ".bag", ".mp4", ".avi", ".mkv", ".mov", ".json", ".yaml", ".yml", ".txt", ".csv", ".onnx"),
    *(".html", ".rrd", ".npz"),
    *IMAGE_SUFFIXES,
)
"""A name that ends so means a file of another kind, not a rosbag2 folder."""

FOREVER = QosTime(9223372036, 854775807)
UNKNOWN_HASH = "RIHS01_" + 64 * "0"


def _reliable(depth: int, durability: QosDurability) -> Qos:
    return Qos(
        QosHistory.KEEP_LAST,
        depth,
        QosReliability.RELIABLE,
        durability,
        FOREVER,
        FOREVER,
        QosLiveliness.AUTOMATIC,
        FOREVER,
        False,
    )


STREAM = _reliable(10, QosDurability.VOLATILE)
LATCHED = _reliable(1, QosDurability.TRANSIENT_LOCAL)


class _Writer(Writer):
    STORAGE_PLUGINS = MappingProxyType({**Writer.STORAGE_PLUGINS, StoragePlugin.MCAP: McapStorage})


def check_bag_target(path: Path, *, overwrite: bool) -> None:
    """Raises BagError for a path that no bag can have, or that must not be replaced."""
    if path.suffix.lower() in NO_FOLDERS:
        raise BagError(f"bags are written as MCAP; {path} must end in .mcap or name a folder")
    if not path.exists():
        return
    if not overwrite:
        raise BagError(f"{path} exists already; name another output or overwrite it (--force)")
    single = _is_single(path)
    is_bag = path.is_dir() and (path / "metadata.yaml").exists()
    if path.is_dir() if single else not is_bag:
        expected = "an .mcap file" if single else "a rosbag2 folder with metadata.yaml"
        raise BagError(f"{path} is not {expected}, so it is not overwritten; remove it yourself")


def _is_single(path: Path) -> bool:
    """Whether a bag of this name is one file."""
    return path.suffix == ".mcap"


class BagWriter:
    """Writes a bag to a hidden folder beside path and moves it there when the `with` block succeeds.

    path: a name in .mcap gives that one file; any other name a rosbag2 folder with metadata.yaml.
    compressed: images as CompressedImage, colour in JPEG and grey in PNG. overwrite: replace an
    existing bag, once the new one is complete. layout: detection.message_layout. jpeg_quality: 1 to 100.
    left_out: topics that write_raw did not copy because this writer owns their names, or rosbag2 has no
    such messages. Everything raises BagError, also for a full disk.

    Log times are received_ns of what is written, or else the stamps.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        compressed: bool = False,
        overwrite: bool = False,
        layout: str = "vision_msgs",
        jpeg_quality: int = JPEG_QUALITY,
    ) -> None:
        self.path = Path(path)
        self.compressed = compressed
        self.overwrite = overwrite
        self.left_out: set[str] = set()
        self._jpeg_quality = jpeg_quality
        self._outputs = outputs_of(layout, lambda: jpeg_quality)
        self._single = _is_single(self.path)
        self._connections: dict[tuple[str, str], Any] = {}
        self._has_labels = False

    def __enter__(self) -> BagWriter:
        path = self.path.absolute()
        with self._as_bag_error(), ExitStack() as stack:
            check_bag_target(self.path, overwrite=self.overwrite)
            make_folder(path.parent)
            self._staged = stack.enter_context(whole_files(path))
            # rosbags always writes a folder.
            self._bag = self._staged.with_name("folder") if self._single else self._staged
            self._writer = _Writer(self._bag, version=METADATA_VERSION, storage_plugin=StoragePlugin.MCAP)
            self._writer.open()
            stack.push(self._finish)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with self._as_bag_error():
            self._stack.__exit__(kind, error, traceback)

    def write_result(self, result: FusionResult) -> None:
        """What the topics of messages/outputs.py have of it and, once, /detections/label_info.

        The `class_id` of a detection is its class's number in label_info, which has the names.
        """
        log_time_ns = result.stamp_ns if result.received_ns is None else result.received_ns
        for output in self._outputs:
            wanted = output.replay in ("always", "compressed" if self.compressed else "raw")
            message = output.message(make, result) if wanted else None
            if message is None:
                continue
            if output.by_detector:
                self._write_labels(result, log_time_ns)
            self._write(f"/{output.topic}", message, log_time_ns)

    def write_frame(self, camera: str, frame: Frame) -> None:
        """/<camera>/image_raw[/compressed] and, where the frame has one, /<camera>/camera_info."""
        header, name = frame.header, f"/{camera.strip('/')}"
        log_time_ns = frame.stamp_ns if frame.received_ns is None else frame.received_ns
        # First, so that a reader knows the camera when its first image comes.
        if frame.camera_info is not None:
            info = make_camera_info(make, header, frame.camera_info)
            self._write(f"{name}/camera_info", info, log_time_ns)
        if self.compressed:
            message = make_compressed_image(make, header, frame.image, self._jpeg_quality)
            self._write(f"{name}/image_raw/compressed", message, log_time_ns)
        else:
            self._write(f"{name}/image_raw", make_image(make, header, frame.image), log_time_ns)

    def write_mark(self, stamp_ns: int, text: str) -> None:
        """/marks: a moment that somebody marked, by the stamp of the result that was to be seen."""
        self._write(f"/{MARKS_TOPIC}", make_mark(make, stamp_ns, text), stamp_ns)

    def write_raw(self, topic: BagTopic, log_time_ns: int, data: bytes | memoryview) -> None:
        """Copy a message, for example as BagReader.frames' each_message; one of ROS 1 as ROS 2 has it."""
        if topic.name in OUTPUT_TOPICS:
            self.left_out.add(topic.name)
            return
        self.write_again(topic, log_time_ns, data)

    def write_again(self, topic: BagTopic, log_time_ns: int, data: bytes | memoryview) -> None:
        """As write_raw, also of topics that this writer owns: where bags of results become one."""
        content = to_cdr(topic, data)
        if content is None:
            self.left_out.add(topic.name)
            return
        with self._as_bag_error():
            connection = self._connections.get((topic.name, topic.type)) or self._connect_raw(topic)
            self._writer.write(connection, max(0, log_time_ns), content)

    def _write_labels(self, result: FusionResult, log_time_ns: int) -> None:
        if not self._has_labels and result.detections is not None and result.detections.class_names:
            header = result.header
            found = result.detections
            labels = make_label_info(make, header, found.class_names, found.threshold)
            self._write(LABEL_INFO, labels, log_time_ns, LATCHED)
            self._has_labels = True

    def _write(self, topic: str, message: Any, log_time_ns: int, qos: Qos = STREAM) -> None:
        msgtype = message.__msgtype__
        with self._as_bag_error():
            connection = self._connections.get((topic, msgtype))
            if connection is None:
                connection = self._writer.add_connection(
                    topic, msgtype, typestore=typestore(), offered_qos_profiles=[qos]
                )
                self._connections[topic, msgtype] = connection
            self._writer.write(connection, max(0, log_time_ns), serialize(message))

    def _connect_raw(self, topic: BagTopic) -> Any:
        definition, type_hash = topic.definition, topic.type_hash
        store = typestore()
        if (not definition or topic.serialization != "cdr") and topic.type in store.fielddefs:
            definition, type_hash = store.generate_msgdef(topic.type, ros_version=2)[0], ""
        connection = self._writer.add_connection(
            topic.name,
            topic.type,
            msgdef=definition,
            rihs01=type_hash or _type_hash(definition, topic.type),
            offered_qos_profiles=topic.qos,
        )
        self._connections[topic.name, topic.type] = connection
        return connection

    def _finish(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            with suppress(OSError):
                self._writer.abort()
            return
        self._writer.close()
        check_bag_target(self.path, overwrite=self.overwrite)
        if self._single:
            (self._bag / f"{self._bag.name}.mcap").replace(self._staged)
            shutil.rmtree(self._bag)

    @contextmanager
    def _as_bag_error(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise BagError(
                    f"the disk is full, {self.path} was not written; free some space or write elsewhere"
                ) from error
            raise BagError(f"cannot write {self.path}: {error.strerror or error}") from error
        except WriterError as error:
            raise BagError(f"cannot write {self.path}: {error}") from error


def _type_hash(definition: str, msgtype: str) -> str:
    """RIHS01 hash of a type from its definition."""
    store = get_typestore(Stores.EMPTY)
    separator = "=" * 80 + "\n"
    try:
        if definition.startswith(f"{separator}IDL: "):
            for part in definition.split(separator)[1:]:
                store.register(get_types_from_idl(part.split("\n", 1)[1]))
        else:
            store.register(get_types_from_msg(definition, msgtype))
        return str(store.hash_rihs01(msgtype))
    except Exception:  # noqa: BLE001
        # The text comes from a bag and may be anything; players do not need the hash.
        return UNKNOWN_HASH
