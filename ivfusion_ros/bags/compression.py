"""The compressions of rosbag2: of MCAP chunks, of single messages, of whole files."""

from __future__ import annotations

import sys
from typing import IO, TYPE_CHECKING, Any

import lz4.frame  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

MAX_MESSAGE_BYTES = 2**29
"""Of a message that is unpacked: five times the largest image that is decoded by default, in bytes."""

MAX_RATIO = 1000
"""Of a file that is unpacked, beyond MAX_MESSAGE_BYTES: hundreds of times what images give."""

FILE_MAGICS = (b"\x89MCAP", b"SQLite format 3\0", b"#ROSBAG")

ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"


PART_BYTES = 2**24
"""In memory at a time while a file is unpacked to the disk."""


class DamageError(Exception):
    """Bytes that cannot be what they should be; never leaves ivfusion_ros.bags."""


def unpack_chunk(packed: memoryview, compression: str, size: int) -> memoryview:
    """Content of an MCAP chunk of `size` bytes; of incomplete input, as many as it gives.

    More than size + 1 bytes are never unpacked. Raises DamageError.
    """
    if compression == "":
        return packed
    unpackers: dict[str, Any] = {"zstd": zstd.ZstdDecompressor, "lz4": lz4.frame.LZ4FrameDecompressor}
    if compression not in unpackers:
        raise DamageError(f"unknown compression {compression[:20]!r}")
    try:
        return memoryview(unpackers[compression]().decompress(packed, max_length=size + 1))
    except (zstd.ZstdError, RuntimeError, EOFError, ValueError, MemoryError) as error:
        raise DamageError(f"{compression} data is damaged") from error


def unpack_message(data: memoryview) -> memoryview:
    """Content of a message that rosbag2 compressed by itself; others pass. Raises DamageError."""
    # A CDR message never starts so: its first byte is zero.
    if data[:4] != ZSTD_MAGIC:
        return data
    unpacker, parts, size = zstd.ZstdDecompressor(), [], 0
    try:
        while True:
            parts.append(unpacker.decompress(data, max_length=MAX_MESSAGE_BYTES + 1 - size))
            size += len(parts[-1])
            if size > MAX_MESSAGE_BYTES:
                raise DamageError(f"it unpacks to more than {MAX_MESSAGE_BYTES} bytes")
            if not unpacker.eof:
                raise DamageError("zstd data is cut off")
            if not unpacker.unused_data:
                return memoryview(b"".join(parts))
            unpacker, data = zstd.ZstdDecompressor(), memoryview(unpacker.unused_data)
    except (zstd.ZstdError, MemoryError) as error:
        raise DamageError(f"zstd data is damaged ({error})") from error


def unpack_file(packed: Path, target: Path) -> str:
    """Unpack a zstd file as far as it goes and is a bag's; what was lost, or ''. Raises OSError."""
    most = max(MAX_MESSAGE_BYTES, MAX_RATIO * packed.stat().st_size)
    reason, written = "cut off", 0
    with packed.open("rb") as source, target.open("wb") as output:
        try:
            for part in _parts(source):
                if not written and not part.startswith(FILE_MAGICS):
                    reason = "it holds no bag"
                    break
                if written + len(part) > most:
                    reason = f"it unpacks to more than {most} bytes, which no recording does"
                    break
                output.write(part)
                written += len(part)
            else:
                return ""
        except EOFError:
            pass
        except (zstd.ZstdError, MemoryError) as error:
            reason = f"damaged ({str(error) or 'out of memory'})"
    return f"{packed.name}: {reason}; only the first {written} bytes could be unpacked"


def _parts(source: IO[bytes]) -> Iterator[bytes]:
    """Content of the first zstd frame. Raises EOFError where it is cut off, and ZstdError."""
    unpacker = zstd.ZstdDecompressor()
    while not unpacker.eof:
        block = source.read(2**20)
        if not block:
            raise EOFError
        part = unpacker.decompress(block, max_length=PART_BYTES)
        while part:
            yield part
            more = not unpacker.needs_input and not unpacker.eof
            part = unpacker.decompress(b"", max_length=PART_BYTES) if more else b""
