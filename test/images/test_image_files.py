"""Compressed images and image files, and what is wrong with damaged ones."""

import array
import io

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from image_samples import bayer_mosaic, smooth_rgb

from ivfusion_ros.errors import ImageError
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


def test_alpha_is_dropped_and_16_bit_colour_reduced():
    bgra = np.dstack([smooth_rgb()[:, :, ::-1], np.full((48, 64), 77, np.uint8)])
    np.testing.assert_array_equal(decode_compressed(cv2.imencode(".png", bgra)[1]), smooth_rgb())
    deep = smooth_rgb()[:, :, ::-1].astype(np.uint16) * 257
    np.testing.assert_array_equal(decode_compressed(cv2.imencode(".png", deep)[1]), smooth_rgb())


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


def test_compressed_depth_is_named():
    png = encode_compressed(np.zeros((8, 8), np.uint16), "png")
    for data, format in ((png, "16UC1; compressedDepth png"), (bytes(12) + png, "")):
        with pytest.raises(ImageError, match=r"compressedDepth.*/compressed"):
            decode_compressed(data, format)


@settings(max_examples=60, deadline=None)
@given(
    data=st.binary(max_size=64), start=st.sampled_from([b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"BM"])
)
def test_random_bytes_are_image_errors(data, start):
    with pytest.raises(ImageError):
        decode_compressed(start + data)


def test_encode_compressed_refuses_what_does_not_fit():
    with pytest.raises(ImageError, match=r"has 16: use \.png"):
        encode_compressed(np.zeros((4, 4), np.uint16), "jpeg")
    with pytest.raises(ImageError, match="'gif', expected jpeg or png"):
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
    cv2.imwrite(str(tmp_path / "float.tiff"), np.zeros((4, 4), np.float32))
    for name, message in (
        ("missing.png", "cannot read.*missing.png.*No such file"),
        (".", "cannot read"),
        ("text.png", "text.png cannot be decoded.*hello"),
        ("empty.png", "empty.png cannot be decoded: 0 bytes"),
        ("float.tiff", "float32 pixels"),
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
    with pytest.raises(ImageError, match="has 16"):
        write_image(tmp_path / "a.jpg", np.zeros((4, 4), np.uint16))
