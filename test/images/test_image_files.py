"""Compressed images and image files, and what is wrong with damaged ones."""

import array
import io
import struct
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from image_samples import bayer_mosaic, smooth_rgb

from ivfusion_ros.errors import ImageError
from ivfusion_ros.images.encodings import to_grey, to_rgb
from ivfusion_ros.images.files import decode_compressed, encode_compressed, read_image, write_image


def test_jpeg_keeps_colours_in_rgb_order():
    rgb = np.zeros((32, 32, 3), np.uint8)
    rgb[:] = (200, 90, 30)
    for format in ("jpeg", "rgb8; jpeg compressed bgr8", "png", ""):
        image = decode_compressed(encode_compressed(rgb, "jpeg"), format)
        assert np.abs(image.astype(int) - rgb).max() <= 3


def test_jpeg_quality_counts():
    noise = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
    assert len(encode_compressed(noise, quality=30)) < len(encode_compressed(noise, quality=95)) / 2


@pytest.mark.parametrize(
    "image",
    [
        smooth_rgb(),
        smooth_rgb()[:, :, 0],
        np.arange(48 * 64, dtype=np.uint16).reshape(48, 64) * 21,
    ],
)
def test_png_is_lossless(image):
    again = decode_compressed(encode_compressed(image, "png"), "anything; png")
    assert again.dtype == image.dtype
    np.testing.assert_array_equal(again, image)


def test_bayer_in_a_compressed_image_is_demosaiced():
    rgb = smooth_rgb()
    data = encode_compressed(bayer_mosaic(rgb, "gbrg"), "png")
    image = decode_compressed(data, "bayer_gbrg8; png compressed ")
    assert np.abs(image[2:-2, 2:-2].astype(int) - rgb[2:-2, 2:-2]).max() <= 1


def test_compressed_input_may_be_any_buffer():
    data = encode_compressed(smooth_rgb(), "png")
    for buffer in (array.array("B", data), memoryview(data), np.frombuffer(data, np.uint8)):
        np.testing.assert_array_equal(decode_compressed(buffer), smooth_rgb())
    with pytest.raises(ImageError, match="list"):
        decode_compressed([1, 2, 3])


def test_alpha_is_dropped():
    bgra = np.dstack([smooth_rgb()[:, :, ::-1], np.full((48, 64), 77, np.uint8)])
    np.testing.assert_array_equal(decode_compressed(cv2.imencode(".png", bgra)[1]), smooth_rgb())


@pytest.mark.parametrize("alpha", [False, True])
def test_png_of_16_bit_colour_keeps_its_levels(alpha):
    rgb = np.random.default_rng(4).integers(0, 65536, (48, 64, 3)).astype(np.uint16)
    stored = np.dstack([rgb[..., ::-1], np.full((48, 64), 7, np.uint16)]) if alpha else rgb[..., ::-1]
    image = decode_compressed(cv2.imencode(".png", np.ascontiguousarray(stored))[1])
    np.testing.assert_array_equal(image, rgb)
    # As a camera's image it has eight bits, rounded; grey in three channels keeps all 16.
    assert np.abs(to_rgb(image) - rgb / 257).max() <= 0.5
    counts = np.repeat(rgb[..., :1], 3, axis=2)
    np.testing.assert_array_equal(to_grey(counts), counts[..., 0])


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int16, np.int32])
def test_tiff_of_floats_and_signed_numbers(tmp_path, dtype):
    values = (np.random.default_rng(5).normal(size=(12, 16)) * 500).astype(dtype)
    cv2.imwrite(str(tmp_path / "a.tiff"), values)
    image = read_image(tmp_path / "a.tiff")
    assert image.dtype == (np.int16 if dtype is np.int16 else np.float32)
    np.testing.assert_array_equal(image, values.astype(image.dtype))


def exif(orientation, order=">"):
    """An EXIF block with nothing but the orientation."""
    head = {"<": b"II", ">": b"MM"}[order]
    return head + struct.pack(order + "HIHHHIHHI", 42, 8, 1, 274, 3, 1, orientation, 0, 0)


def with_exif(content, block):
    """The file with the block where its kind has it."""
    if content.startswith(b"\xff\xd8"):
        body = b"Exif\0\0" + block
        return content[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + content[2:]
    chunk = b"eXIf" + block
    return (
        content[:33]
        + struct.pack(">I", len(block))
        + chunk
        + struct.pack(">I", zlib.crc32(chunk))
        + content[33:]
    )


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("suffix", [".png", ".jpg"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_obeyed(suffix, orientation, order):
    seen = np.zeros((32, 48, 3), np.uint8)
    seen[:16, :24], seen[:16, 24:], seen[16:, :24] = (220, 30, 30), (30, 220, 30), (30, 30, 220)
    # The definitions: where row 0 and column 0 of what is stored are in what is seen.
    stored = {
        1: seen,
        2: seen[:, ::-1],
        3: seen[::-1, ::-1],
        4: seen[::-1],
        5: seen.transpose(1, 0, 2),
        6: seen.transpose(1, 0, 2)[::-1],
        7: seen.transpose(1, 0, 2)[::-1, ::-1],
        8: seen.transpose(1, 0, 2)[:, ::-1],
    }[orientation]
    content = cv2.imencode(suffix, np.ascontiguousarray(stored[..., ::-1]))[1].tobytes()
    image = decode_compressed(with_exif(content, exif(orientation, order)))
    assert image.shape == seen.shape
    assert np.abs(image[4::8, 4::8].astype(int) - seen[4::8, 4::8]).max() <= 12


@pytest.mark.parametrize("format", ["jpeg", "png"])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.3, 0.7, 0.99])
def test_truncated_images_are_errors(format, share):
    data = encode_compressed(smooth_rgb(), format)
    with pytest.raises(ImageError, match="truncated"):
        decode_compressed(data[: int(share * len(data))], format)


def test_truncated_jpeg_is_found_without_the_decoder(monkeypatch):
    monkeypatch.setattr(cv2, "imdecode", lambda *_: np.zeros((48, 64, 3), np.uint8))
    data = encode_compressed(smooth_rgb())
    with pytest.raises(ImageError, match="truncated JPEG"):
        decode_compressed(data[:-2])
    assert decode_compressed(data + b"\0" * 64).shape == (48, 64, 3)


def test_compressed_depth_gives_its_counts():
    counts = np.random.default_rng(6).integers(0, 65536, (8, 10)).astype(np.uint16)
    png = encode_compressed(counts, "png")
    for data, format in (
        (bytes(12) + png, "16UC1; compressedDepth png"),
        (bytes(12) + png, ""),
        (png, "16UC1; compressedDepth"),
    ):
        np.testing.assert_array_equal(decode_compressed(data, format), counts)


def test_compressed_depth_of_floats():
    metres = np.random.default_rng(7).uniform(0.5, 10, (8, 10))
    # As compressed_depth_image_transport quantises: the inverse, finest near the camera.
    scale, shift = 100.0 * (100.0 + 1), 1.0 - 100.0 * (100.0 + 1) / 10.0
    counts = np.round(scale / metres + shift).astype(np.uint16)
    counts[0, 0] = 0
    data = struct.pack("<iff", 0, scale, shift) + encode_compressed(counts, "png")
    image = decode_compressed(data, "32FC1; compressedDepth png")
    assert image.dtype == np.float32 and np.isnan(image[0, 0])
    assert np.abs(image.ravel()[1:] / metres.ravel()[1:] - 1).max() < 1e-3


@pytest.mark.parametrize(
    ("format", "message"), [("rvl", "RVL.*set the publisher's format to png"), ("png", "are no PNG")]
)
def test_compressed_depth_that_is_not_read_says_why(format, message):
    with pytest.raises(ImageError, match=message):
        decode_compressed(bytes(40), f"16UC1; compressedDepth {format}")


@settings(max_examples=60, deadline=None)
@given(
    data=st.binary(max_size=64), start=st.sampled_from([b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"BM"])
)
def test_random_bytes_are_image_errors(data, start):
    with pytest.raises(ImageError):
        decode_compressed(start + data)


def test_encode_compressed_refuses_what_does_not_fit():
    with pytest.raises(ImageError, match=r"\.jpeg cannot hold mono16 images: use \.png"):
        encode_compressed(np.zeros((4, 4), np.uint16), "jpeg")
    with pytest.raises(ImageError, match="'gif', expected jpeg, png, tiff or webp"):
        encode_compressed(np.zeros((4, 4), np.uint8), "gif")


@pytest.mark.parametrize("suffix", [".png", ".tiff", ".bmp"])
def test_files_of_lossless_kinds_come_back(tmp_path, suffix):
    images = [smooth_rgb(), smooth_rgb()[:, :, 1]]
    if suffix != ".bmp":
        images.append(np.arange(48 * 64, dtype=np.uint16).reshape(48, 64))
    for number, image in enumerate(images):
        path = tmp_path / f"{number}{suffix}"
        write_image(path, image)
        again = read_image(path)
        assert again.dtype == image.dtype
        np.testing.assert_array_equal(again, image)
    assert len(list(tmp_path.iterdir())) == len(images)


@pytest.mark.parametrize("suffix", [".jpg", ".JPG", ".webp"])
def test_files_of_lossy_kinds_come_back_nearly(tmp_path, suffix):
    rgb = np.full((32, 32, 3), (180, 100, 40), np.uint8)
    write_image(tmp_path / f"a{suffix}", rgb)
    assert np.abs(read_image(str(tmp_path / f"a{suffix}")).astype(int) - rgb).max() <= 4


def test_files_are_in_rgb_order(tmp_path):
    path = tmp_path / "a.bmp"
    cv2.imwrite(str(path), np.full((2, 2, 3), (1, 2, 3), np.uint8))
    assert read_image(path)[0, 0].tolist() == [3, 2, 1]


def test_reading_what_is_no_image(tmp_path):
    (tmp_path / "text.png").write_text("hello")
    (tmp_path / "empty.png").touch()
    cv2.imwrite(str(tmp_path / "three.tiff"), np.zeros((4, 4, 3), np.float32))
    cv2.imwrite(str(tmp_path / "large.tiff"), np.full((4, 4), 2**24 + 1, np.int32))
    for name, message in (
        ("missing.png", "cannot read.*missing.png.*No such file"),
        (".", "cannot read"),
        ("text.png", "text.png cannot be decoded.*hello"),
        ("empty.png", "empty.png cannot be decoded: 0 bytes"),
        ("three.tiff", "3 channels of float32, expected one"),
        ("large.tiff", "int32 pixels above 16777216"),
    ):
        with pytest.raises(ImageError, match=message):
            read_image(tmp_path / name)


def test_writing_leaves_no_part_behind(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    write_image(path, smooth_rgb())
    before = path.read_bytes()

    def full_disk(self, data):
        with io.FileIO(self, "w") as file:
            file.write(data[:10])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", full_disk)
    with pytest.raises(ImageError, match=r"cannot write.*No space left"):
        write_image(path, np.zeros((4, 4), np.uint8))
    assert [item.name for item in tmp_path.iterdir()] == ["a.png"]
    assert path.read_bytes() == before


def test_writing_where_it_cannot_be(tmp_path):
    with pytest.raises(ImageError, match=r"suffix is '\.xyz', expected one of \.png"):
        write_image(tmp_path / "a.xyz", smooth_rgb())
    with pytest.raises(ImageError, match="cannot write"):
        write_image(tmp_path / "no_folder" / "a.png", smooth_rgb())
    with pytest.raises(ImageError, match="cannot hold mono16"):
        write_image(tmp_path / "a.jpg", np.zeros((4, 4), np.uint16))


def damaged_jpeg(kind: str, seed: int) -> bytes:
    """A JPEG of a smooth scene with noise, damaged inside, with its end marker."""
    random = np.random.default_rng(seed)
    scene = cv2.resize(random.integers(0, 255, (12, 16, 3), np.uint8), (320, 240))
    content = bytearray(encode_compressed(scene + random.integers(0, 9, scene.shape, np.uint8), "jpeg"))
    place = int(random.integers(len(content) // 3, len(content) * 2 // 3))
    if kind == "cut":
        return bytes(content[:place] + b"\xff\xd9")
    if kind == "gap":
        del content[place : place + 1000]
    else:
        content[place : place + 1000] = random.bytes(1000) if kind == "noise" else bytes(1000)
    return bytes(content)


@pytest.mark.parametrize("kind", ["cut", "gap", "noise", "zeros"])
def test_a_jpeg_damaged_inside_is_refused(kind: str) -> None:
    pytest.importorskip("simplejpeg")
    refused = 0
    for seed in range(20):
        try:
            decode_compressed(damaged_jpeg(kind, seed))
        except ImageError as error:
            refused += "damaged JPEG" in str(error)
    assert refused >= 18


@pytest.mark.parametrize("shape", [(60, 81), (60, 81, 3)])
def test_a_whole_jpeg_is_as_opencv_has_it(shape: tuple[int, ...]) -> None:
    image = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    content = encode_compressed(image, "jpeg")
    expected = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(
        decode_compressed(content), expected[..., ::-1] if image.ndim == 3 else expected
    )
    # Many USB cameras leave some bytes before the end marker, and the picture is whole.
    np.testing.assert_array_equal(
        decode_compressed(content[:-2] + b"\0\0\0\xff\xd9"), decode_compressed(content)
    )


@pytest.mark.parametrize("kind", ["jpeg", "png"])
def test_more_pixels_than_the_bytes_can_hold(kind: str) -> None:
    content = bytearray(encode_compressed(np.zeros((120, 160, 3), np.uint8), kind))
    if kind == "jpeg":
        place = content.index(b"\xff\xc0") + 5
        content[place : place + 4] = struct.pack(">HH", 8000, 8000)
    else:
        header = b"IHDR" + struct.pack(">II", 9000, 9000) + content[24:29]
        content[12:33] = header + struct.pack(">I", zlib.crc32(header))
    with pytest.raises(ImageError, match="bytes cannot hold"):
        decode_compressed(bytes(content))
    # The flattest images are read.
    flat = np.zeros((2000, 2000), np.uint8)
    np.testing.assert_array_equal(decode_compressed(encode_compressed(flat, kind)), flat)
