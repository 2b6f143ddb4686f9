"""The outer layer of an ONNX file, read without any library: its metadata, and whether it is whole.

An ONNX file is a protobuf message, a sequence of (field number, wire type, payload). Reading only the
top level costs nothing even for large models, gives every backend the same metadata, and turns a
missing, foreign or truncated file into the same clear error before a library sees it. Only read_model,
which reads all of it, needs onnx.
"""

from __future__ import annotations

import mmap
from pathlib import Path
from typing import TYPE_CHECKING

from ivfusion_ros.errors import ModelError
from ivfusion_ros.files import whole_file

if TYPE_CHECKING:
    from collections.abc import Iterator

    import onnx

PRECISION_KEY = "ivfusion.precision"
"""Metadata key: f16 in a half model, int8 in a quantised one; neither has it in f32."""

THERMAL = "thermal"
"""Input with the registered thermal image: a fusion network's, and that of a detector of two images."""

_GRAPH = 7
_OPSET_IMPORT = 8
_METADATA = 14
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


class _NotProtobufError(Exception):
    pass


class _TruncatedError(Exception):
    pass


def read_model(path: Path) -> onnx.ModelProto:
    """The whole model. Raises ModelError; ImportError where onnx is missing."""
    import onnx

    try:
        return onnx.load(path)
    # A damaged file raises an error of protobuf, which shares no base class but Exception.
    except Exception as error:
        raise ModelError(f"{path} cannot be read as ONNX ({error}); export it again") from error


def set_metadata(path: Path, key: str, value: str) -> None:
    """Write one entry of a model's metadata. Raises ModelError; ImportError where onnx is missing."""
    import onnx

    model = read_model(path)
    for entry in [item for item in model.metadata_props if item.key == key]:
        model.metadata_props.remove(entry)
    model.metadata_props.add(key=key, value=value)
    with whole_file(path) as staged:
        onnx.save(model, staged)


def read_metadata(path: str | Path) -> dict[str, str]:
    """The custom metadata of an ONNX file. Raises ModelError if it is missing, truncated or not ONNX."""
    path = Path(path)
    try:
        with path.open("rb") as file:
            if path.stat().st_size == 0:
                raise ModelError(f"model {path} is empty; download or export it again")
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                return _metadata(data)
    except FileNotFoundError as error:
        raise ModelError(f"model {path} does not exist; expected an ONNX file") from error
    except OSError as error:
        raise ModelError(f"cannot read model {path}: {error.strerror or error}") from error
    except _TruncatedError as error:
        raise ModelError(f"model {path} is truncated; download or export it again") from error
    except (_NotProtobufError, UnicodeDecodeError) as error:
        raise ModelError(f"model {path} is not an ONNX file; export the network as .onnx") from error


def _metadata(data: mmap.mmap) -> dict[str, str]:
    seen: set[int] = set()
    metadata: dict[str, str] = {}
    for number, payload in _fields(data, keep=(_METADATA,)):
        seen.add(number)
        if number == _METADATA:
            entry = dict(_fields(payload, keep=(1, 2)))
            metadata[entry.get(1, b"").decode()] = entry.get(2, b"").decode()
    if not {_GRAPH, _OPSET_IMPORT} <= seen:
        # Fields may come in any order, so a file cut between two of them still parses.
        raise _TruncatedError if _GRAPH in seen else _NotProtobufError
    return metadata


def _fields(data: mmap.mmap | bytes, keep: tuple[int, ...]) -> Iterator[tuple[int, bytes]]:
    """(field number, payload) of a message; the payloads of fields not in keep stay unread."""
    position = 0
    while position < len(data):
        key, position = _varint(data, position)
        number, wire_type = key >> 3, key & 7
        if wire_type == _VARINT:
            end = _varint(data, position)[1]
        elif wire_type == _BYTES:
            length, position = _varint(data, position)
            end = position + length
        elif wire_type in (_FIXED64, _FIXED32):
            end = position + (8 if wire_type == _FIXED64 else 4)
        else:
            raise _NotProtobufError
        # Text read as protobuf soon claims an absurd field; a real ONNX file has none past 25.
        if not 1 <= number <= 99:
            raise _NotProtobufError
        if end > len(data):
            raise _TruncatedError
        yield number, bytes(data[position:end]) if number in keep else b""
        position = end


def _varint(data: mmap.mmap | bytes, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(data):
            raise _TruncatedError
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise _NotProtobufError
