"""Bytes of a bag's messages -> messages with ROS 2's fields, by how the bag serialises them."""

from __future__ import annotations

import base64
import functools
import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from rosbags.convert.converter import migrate_bytes
from rosbags.typesys import Stores, get_typestore

from ivfusion_ros.bags.messages import deserialize, typestore
from ivfusion_ros.errors import BagError
from ivfusion_ros.messages.type_names import (
    CAMERA_INFO,
    FOXGLOVE_CALIBRATION,
    FOXGLOVE_COMPRESSED_IMAGE,
    FOXGLOVE_IMAGE,
    FOXGLOVE_VIDEO,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from ivfusion_ros.bags.topics import BagTopic


class Kind(NamedTuple):
    """What a decoder has to know: a type's full name, and protobuf's name and schema of it."""

    type_name: str
    written: str
    schema: bytes


def decode(topic: BagTopic, data: bytes | memoryview) -> Any:
    """A message with the fields of ROS 2's type, or of sensor_msgs' for Foxglove's. Raises BagError."""
    try:
        kind = Kind(topic.type, topic.written_type, topic.schema)
        message = _decoder(topic.serialization, kind)(memoryview(data))
        shape = SHAPES.get((topic.serialization, topic.type)) or SHAPES.get(("", topic.type))
        return shape(message) if shape else message
    except BagError:
        raise
    except Exception as error:
        # Bytes and schemas of a bag may be anything, and each library has its own errors.
        raise BagError(
            f"{len(data)} bytes are not a valid {topic.type} in {topic.serialization}: "
            f"{type(error).__name__}: {error}"
        ) from error


def to_cdr(topic: BagTopic, data: bytes | memoryview) -> memoryview | None:
    """A message as rosbag2 stores it; None for one that cannot be converted. Raises BagError."""
    if topic.serialization == "cdr":
        return memoryview(data)
    source, target = _ros1_store(), typestore()
    known = topic.type in source.fielddefs and topic.type in target.fielddefs
    if topic.serialization != "ros1" or not known:
        return None
    try:
        return migrate_bytes(
            source, target, topic.type, topic.type, _MIGRATION, data, src_is2=False, dst_is2=True
        )
    except Exception as error:
        raise BagError(f"{len(data)} bytes are not a valid {topic.type} of ROS 1: {error}") from error


_MIGRATION: dict[str, object] = {}
"""rosbags' plans of how fields of ROS 1's types become those of ROS 2's."""


@functools.cache
def _ros1_store() -> Any:
    return get_typestore(Stores.ROS1_NOETIC)


def _cdr(kind: Kind) -> Callable[[memoryview], Any]:
    return lambda data: deserialize(data, kind.type_name)


def _ros1(kind: Kind) -> Callable[[memoryview], Any]:
    store = _ros1_store()
    if kind.type_name not in store.types:
        # Types of packages that ROS 1 and ROS 2 have alike; their bytes differ, not their fields.
        store = typestore()
    return lambda data: store.deserialize_ros1(data, kind.type_name)


def _protobuf(kind: Kind) -> Callable[[memoryview], Any]:
    try:
        from mcap.records import Schema
        from mcap_protobuf.decoder import DecoderFactory
    except ImportError as error:
        raise BagError(
            f"messages in protobuf need mcap-protobuf-support ({error}); run: pip install "
            "'ivfusion_ros[foxglove]'"
        ) from error
    parse = DecoderFactory().decoder_for("protobuf", Schema(1, kind.schema, "protobuf", kind.written))
    if parse is None:
        raise BagError(f"the bag has no protobuf schema of {kind.written}")
    return lambda data: parse(bytes(data))


def _json(_kind: Kind) -> Callable[[memoryview], Any]:
    return lambda data: json.loads(bytes(data), object_hook=lambda fields: SimpleNamespace(**fields))


SERIALIZATIONS: dict[str, Callable[[Kind], Callable[[memoryview], Any]]] = {
    "cdr": _cdr,
    "ros1": _ros1,
    "protobuf": _protobuf,
    "json": _json,
}
"""By the message encoding that an MCAP file names."""


@functools.lru_cache(maxsize=256)
def _decoder(serialization: str, kind: Kind) -> Callable[[memoryview], Any]:
    return SERIALIZATIONS[serialization](kind)


def _header(message: Any) -> SimpleNamespace:
    """std_msgs/Header of Foxglove's messages: protobuf and JSON name the parts of a time otherwise."""
    time = message.timestamp
    sec = getattr(time, "sec", None)
    if sec is None:
        sec = time.seconds
    nanosec = next(getattr(time, name) for name in ("nanosec", "nsec", "nanos") if hasattr(time, name))
    return SimpleNamespace(
        stamp=SimpleNamespace(sec=int(sec), nanosec=int(nanosec)), frame_id=str(message.frame_id)
    )


def _bytes(data: Any) -> Any:
    """JSON has bytes as base64."""
    raw = base64.b64decode(data, validate=True) if isinstance(data, str) else data
    return np.frombuffer(raw, np.uint8)


def _image(message: Any) -> SimpleNamespace:
    return SimpleNamespace(
        header=_header(message),
        height=int(message.height),
        width=int(message.width),
        encoding=str(message.encoding),
        is_bigendian=0,
        step=int(message.step),
        data=_bytes(message.data),
    )


def _packed(message: Any) -> SimpleNamespace:
    return SimpleNamespace(header=_header(message), format=str(message.format), data=_bytes(message.data))


def _calibration(message: Any) -> SimpleNamespace:
    whole = SimpleNamespace(x_offset=0, y_offset=0, width=0, height=0, do_rectify=False)
    return SimpleNamespace(header=_header(message), binning_x=0, binning_y=0, roi=whole, **_lens(message))


def _ros1_info(message: Any) -> SimpleNamespace:
    rest = {name: getattr(message, name) for name in ("header", "binning_x", "binning_y", "roi")}
    return SimpleNamespace(**rest, **_lens(message))


def _lens(message: Any) -> dict[str, Any]:
    return {
        "height": int(message.height),
        "width": int(message.width),
        "distortion_model": str(message.distortion_model),
        "d": list(message.D),
        # Foxglove's arrays of a fixed length may be left out.
        "k": list(message.K) or [0.0] * 9,
        "r": list(message.R) or [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
        "p": list(message.P) or [0.0] * 12,
    }


SHAPES: dict[tuple[str, str], Callable[[Any], Any]] = {
    ("", FOXGLOVE_IMAGE): _image,
    ("", FOXGLOVE_COMPRESSED_IMAGE): _packed,
    ("", FOXGLOVE_VIDEO): _packed,
    ("", FOXGLOVE_CALIBRATION): _calibration,
    ("ros1", CAMERA_INFO): _ros1_info,
}
"""What gives a message the fields of sensor_msgs, by serialisation ('' for all) and type."""
