"""The size that an image file declares, read from its first bytes without decoding a pixel.

A few hundred bytes may declare a gigapixel, which a decoder takes memory for before it sees that the
pixels are missing. What does not declare its size in a way that is read here is not decoded at all.
"""

from __future__ import annotations

import math
import re
import struct
from typing import TYPE_CHECKING

from ivfusion_ros.config.pipeline import ImagesConfig
from ivfusion_ros.errors import ImageError

if TYPE_CHECKING:
    from ivfusion_ros.types import Size

MAX_PIXELS = ImagesConfig().max_pixels
"""Of an image that is decoded, where nobody says otherwise: more than any camera's."""

PNG = b"\x89PNG\r\n\x1a\n"
_JPEG_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
"""Markers of a JPEG's frame header; the three others are tables."""
_JPEG_ALONE = {0x01, *range(0xD0, 0xD9)}
"""Markers without a length."""
_BLOCK = 64
"""Pixels of a JPEG's block, for which Huffman's code needs a bit at least."""
_ARITHMETIC = re.compile(rb"\xff[\xc9-\xcb\xcd-\xcf]\0")
"""Frame headers of JPEGs of the other code, which can do with less."""
_DEFLATE = 1032
"""Bytes that one byte of a PNG unpacks to at most; a pixel takes a bit at least."""
_TIFF_TYPES = {1: "B", 3: "H", 4: "I", 16: "Q"}
_TIFF_SIZE_TAGS = (256, 257)
_OTHERS = {
    "a GIF": rb"GIF8",
    "a JPEG 2000": rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51",
    "a JPEG XL": rb"\0\0\0\x0cJXL |\xff\x0a",
    "an AVIF, HEIC or MP4": rb"....ftyp",
    "a PNM": rb"P[1-7FfS]\s",
    "a Radiance HDR": rb"#\?R",
    "an OpenEXR": rb"\x76\x2f\x31\x01",
    "a Sun raster": rb"\x59\xa6\x6a\x95",
    "a PDF": rb"%PDF",
    "an SVG, HTML or XML": rb"\s*<",
}
"""What people have that is no image file here, by how it begins."""


def check_declared_size(content: bytes, source: str, most: int = MAX_PIXELS) -> None:
    """Raise ImageError for an image that declares too much: more pixels than `most`, or bytes it lacks.

    Nor does anything pass whose size declared_size does not know: OpenCV decodes more formats, unbounded.
    """
    if content.startswith(PNG):
        _check_png_chunks(content, source)
    size = declared_size(content)
    if size is None:
        raise ImageError(_refusal(content, source))
    if size[0] * size[1] > most:
        raise ImageError(
            f"{source} declares {size[0]}x{size[1]} pixels in {len(content)} bytes, expected at most "
            f"{most / 1e6:g} million"
        )
    if size[0] * size[1] > _most_pixels(content):
        raise ImageError(
            f"{source} declares {size[0]}x{size[1]} pixels, which its {len(content)} bytes cannot hold; it "
            "is damaged"
        )


def cannot_be_decoded(content: bytes, source: str) -> str:
    """What to say of an image file of a known format, or of bytes that are anything."""
    return (
        f"{source} cannot be decoded: {len(content)} bytes starting with {content[:8]!r}; "
        "it is damaged, truncated, or not a PNG, JPEG, WebP, TIFF or BMP"
    )


def _refusal(content: bytes, source: str) -> str:
    for name, beginning in _OTHERS.items():
        if re.match(beginning, content, re.DOTALL):
            return f"{source} is {name} file; expected a PNG, JPEG, WebP, TIFF or BMP: convert it to one"
    return cannot_be_decoded(content, source)


def _most_pixels(content: bytes) -> float:
    """Of a JPEG or PNG: what so many bytes hold at most, however flat the image is."""
    if content.startswith(PNG):
        return len(content) * _DEFLATE * 8
    if content.startswith(b"\xff\xd8") and not _ARITHMETIC.search(content):
        return len(content) * 8 * _BLOCK
    return math.inf


def declared_size(content: bytes) -> Size | None:
    """(width, height) of a PNG, JPEG, WebP, TIFF or BMP; None where it does not say."""
    for magic, read in (
        (PNG, _png),
        (b"\xff\xd8", _jpeg),
        (b"RIFF", _webp),
        (b"BM", _bmp),
        (b"II*\0", _tiff),
        (b"MM\0*", _tiff),
        (b"II+\0", _big_tiff),
        (b"MM\0+", _big_tiff),
    ):
        if content.startswith(magic):
            try:
                return read(content)
            except (struct.error, IndexError, OverflowError):
                return None
    return None


def _check_png_chunks(content: bytes, source: str) -> None:
    """OpenCV takes memory for as many bytes as a chunk declares, up to 4 GiB, before it looks for them."""
    place = len(PNG)
    while place + 8 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, place)
        place += 12 + length
        if place > len(content):
            raise ImageError(
                f"{source} is a damaged or truncated PNG: {len(content)} bytes, and its chunk {kind!r} "
                f"declares {length}, which end behind them"
            )
        if kind == b"IEND":
            return


def _png(content: bytes) -> Size:
    width, height = struct.unpack_from(">II", content, 16)
    return width, height


def _jpeg(content: bytes) -> Size | None:
    """The largest of its frame headers: a decoder may take any of several."""
    sizes = []
    place = 2
    while place + 4 <= len(content):
        if content[place] != 0xFF:
            # Entropy-coded data, or rubbish that decoders skip as well.
            place = content.find(b"\xff", place)
            if place < 0:
                break
            continue
        marker = content[place + 1]
        if marker in _JPEG_ALONE or marker in (0x00, 0xFF):
            place += 1 if marker == 0xFF else 2
            continue
        if marker in _JPEG_FRAMES and place + 9 <= len(content):
            height, width = struct.unpack_from(">HH", content, place + 5)
            sizes.append((width, height))
        if marker == 0xDA:
            break
        place += 2 + int(struct.unpack_from(">H", content, place + 2)[0])
    return max(sizes, key=lambda size: size[0] * size[1], default=None)


def _webp(content: bytes) -> Size | None:
    kind = content[12:16]
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", content, 26)
        return width & 0x3FFF, height & 0x3FFF
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", content, 21)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8X":
        width, height = (int.from_bytes(content[place : place + 3], "little") for place in (24, 27))
        return width + 1, height + 1
    return None


def _bmp(content: bytes) -> Size:
    (header,) = struct.unpack_from("<I", content, 14)
    width, height = struct.unpack_from("<HH" if header == 12 else "<ii", content, 18)
    return abs(width), abs(height)


def _tiff(content: bytes) -> Size | None:
    return _directory(content, "I", "H", 4)


def _big_tiff(content: bytes) -> Size | None:
    return _directory(content, "Q", "Q", 8)


def _directory(content: bytes, offset: str, count: str, start: int) -> Size | None:
    """ImageWidth and ImageLength of a TIFF's first directory. offset, count: struct formats of the file."""
    order = "<" if content[:2] == b"II" else ">"
    # A BigTIFF has the size of its offsets first.
    (place,) = struct.unpack_from(order + offset, content, start)
    (entries,) = struct.unpack_from(order + count, content, place)
    entry = struct.calcsize(f"{order}HH{offset}{offset}")
    found: dict[int, int] = {}
    for index in range(min(entries, 1000)):
        at = place + struct.calcsize(order + count) + index * entry
        tag, kind = struct.unpack_from(order + "HH", content, at)
        if tag in _TIFF_SIZE_TAGS and kind in _TIFF_TYPES:
            value_at = at + 4 + struct.calcsize(order + offset)
            (value,) = struct.unpack_from(order + _TIFF_TYPES[kind], content, value_at)
            # Of a tag that stands there twice, a decoder may take either.
            found[tag] = max(value, found.get(tag, 0))
    width, height = (found.get(tag) for tag in _TIFF_SIZE_TAGS)
    return None if width is None or height is None else (width, height)
