"""The size that a file declares: as OpenCV and Pillow write it, and checked before a pixel is decoded."""

import struct
import zlib

import cv2
import numpy as np
import pytest

from ivfusion_ros.errors import ImageError
from ivfusion_ros.images.declared import declared_size
from ivfusion_ros.images.files import decode_compressed, read_image


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif", ".bmp"])
@pytest.mark.parametrize("shape", [(33, 57), (33, 57, 3), (33, 57, 4)])
def test_the_size_is_the_one_that_opencv_wrote(suffix, shape) -> None:
    if suffix in (".jpg", ".bmp") and shape[2:] == (4,):
        shape = shape[:2]
    content = bytes(cv2.imencode(suffix, np.zeros(shape, np.uint8))[1])
    assert declared_size(content) == (57, 33)
    for cut in range(len(content)):
        assert declared_size(content[:cut]) in (None, (57, 33))


def test_rubbish_declares_nothing() -> None:
    random = np.random.default_rng(0)
    for magic in (b"", b"\xff\xd8", b"RIFF", b"BM", b"II*\0", b"MM\0+", b"\x89PNG\r\n\x1a\n"):
        for length in range(0, 200, 7):
            size = declared_size(magic + random.bytes(length))
            assert size is None or len(size) == 2


def huge_png() -> bytes:
    header = struct.pack(">IIBBBBB", 40000, 30000, 8, 0, 0, 0, 0)
    chunk = b"IHDR" + header
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))


def huge_jpeg() -> bytes:
    content = bytearray(cv2.imencode(".jpg", np.zeros((16, 16, 3), np.uint8))[1])
    place = content.index(b"\xff\xc0")
    content[place + 5 : place + 9] = struct.pack(">HH", 32000, 32000)
    return bytes(content)


@pytest.mark.parametrize("make", [huge_png, huge_jpeg])
def test_a_gigapixel_is_refused_before_it_is_decoded(make, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("decoded"))
    path = tmp_path / "huge"
    path.write_bytes(make())
    for read in (lambda: decode_compressed(make()), lambda: read_image(path)):
        with pytest.raises(ImageError, match=r"declares \d+x\d+ pixels in \d+ bytes, expected at most 100"):
            read()


OTHER_FORMATS = {
    ".gif": "a GIF",
    ".jp2": "a JPEG 2000",
    ".avif": "an AVIF, HEIC or MP4",
    ".pgm": "a PNM",
    ".ppm": "a PNM",
    ".hdr": "a Radiance HDR",
    ".ras": "a Sun raster",
}


@pytest.mark.parametrize(("suffix", "name"), OTHER_FORMATS.items())
def test_what_opencv_decodes_unbounded_is_named_and_never_decoded(suffix, name, tmp_path, monkeypatch):
    image = np.zeros((64, 64) if suffix == ".pgm" else (64, 64, 3), np.uint8)
    try:
        content = bytes(cv2.imencode(suffix, image.astype(np.float32) if suffix == ".hdr" else image)[1])
    except cv2.error:
        pytest.skip(f"this OpenCV does not write {suffix}")
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("decoded"))
    path = tmp_path / "a.png"
    path.write_bytes(content)
    said = rf"is {name} file; expected a PNG, JPEG, WebP, TIFF or BMP"
    for read in (lambda: decode_compressed(content, "png"), lambda: read_image(path)):
        with pytest.raises(ImageError, match=said):
            read()


def tiff(*entries) -> bytes:
    listed = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in entries)
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + listed + bytes(500)


def test_a_tiff_declares_the_most_of_what_any_decoder_may_take() -> None:
    assert declared_size(tiff((256, 1, 40), (257, 3, 30))) == (40, 30)
    assert declared_size(tiff((256, 4, 40000), (256, 4, 40), (257, 4, 30))) == (40000, 30)
    for without in (tiff((256, 4, 40)), tiff((256, 9, 40000), (257, 9, 40000))):
        with pytest.raises(
            ImageError, match=r"cannot be decoded: .* it is damaged, truncated, or not a PNG"
        ):
            decode_compressed(without)


def test_the_limit_can_be_raised_and_lowered() -> None:
    content = bytes(cv2.imencode(".png", np.zeros((20, 30), np.uint8))[1])
    assert decode_compressed(content, max_pixels=600).shape == (20, 30)
    with pytest.raises(ImageError, match="declares 30x20"):
        decode_compressed(content, max_pixels=599)
