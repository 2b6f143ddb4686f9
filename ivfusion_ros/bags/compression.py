"""The compressions of rosbag2: of MCAP chunks, of single messages, of whole files."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import lz4.frame  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from pathlib import Path

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"


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
    try:
        return memoryview(zstd.decompress(data))
    except zstd.ZstdError as error:
        raise DamageError(f"zstd data is damaged ({error})") from error


def unpack_file(packed: Path, target: Path) -> str:
    """Unpack a zstd file as far as it goes; what was lost, or ''. Raises OSError."""
    unpacker, reason = zstd.ZstdDecompressor(), "cut off"
    with packed.open("rb") as source, target.open("wb") as output:
        try:
            while not unpacker.eof and (block := source.read(2**20)):
                output.write(unpacker.decompress(block))
        except zstd.ZstdError as error:
            reason = f"damaged ({error})"
        if unpacker.eof:
            return ""
        return f"{packed.name}: {reason}; only the first {output.tell()} bytes could be unpacked"
