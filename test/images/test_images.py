"""Pixels of messages to images and back, in every encoding."""

import array
import struct
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from image_samples import bayer_mosaic, smooth_rgb

from ivfusion_ros.errors import ImageError
from ivfusion_ros.images.encodings import (
    ENCODINGS,
    NATURAL_ENCODINGS,
    decode_image,
    encode_image,
    natural_encoding,
    to_grey,
    to_rgb,
)


def pad_rows(rows, padding):
    """(H, bytes) -> buffer of rows that each end with `padding` bytes of rubbish."""
    filler = np.full((len(rows), padding), 0xEE, np.uint8)
    return np.hstack([rows, filler]).tobytes()


def decode(data, encoding, width, height, step=None, is_bigendian=False):
    channels = {"rgb8": 3, "bgr8": 3, "8UC3": 3, "rgba8": 4, "bgra8": 4}.get(encoding, 1)
    if encoding in ("mono16", "16UC1") or "yu" in encoding or encoding == "uyvy":
        channels = 2
    return decode_image(
        data,
        encoding=encoding,
        width=width,
        height=height,
        step=step or width * channels,
        is_bigendian=is_bigendian,
    )


@settings(max_examples=60, deadline=None)
@given(
    width=st.integers(1, 9),
    height=st.integers(1, 7),
    padding=st.integers(0, 5),
    extra=st.integers(0, 4),
    big=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_mono16_of_any_padding_and_byte_order(width, height, padding, extra, big, seed):
    counts = np.random.default_rng(seed).integers(0, 65536, (height, width))
    rows = [struct.pack(f"{'>' if big else '<'}{width}H", *row) + b"\xee" * padding for row in counts]
    data = b"".join(rows) + b"\xaa" * extra
    image = decode(data, "mono16", width, height, 2 * width + padding, big)
    assert image.dtype == np.uint16 and image.dtype.isnative and image.flags.aligned
    np.testing.assert_array_equal(image, counts)


@settings(max_examples=60, deadline=None)
@given(
    encoding=st.sampled_from(["mono8", "8UC1", "rgb8", "bgr8", "8UC3", "rgba8", "bgra8"]),
    width=st.integers(1, 9),
    height=st.integers(1, 7),
    padding=st.integers(0, 5),
    seed=st.integers(0, 1000),
)
def test_8_bit_encodings_of_any_padding(encoding, width, height, padding, seed):
    rgba = np.random.default_rng(seed).integers(0, 256, (height, width, 4), dtype=np.uint8)
    order = {
        "mono8": [0],
        "8UC1": [0],
        "rgb8": [0, 1, 2],
        "bgr8": [2, 1, 0],
        "8UC3": [2, 1, 0],
        "rgba8": [0, 1, 2, 3],
        "bgra8": [2, 1, 0, 3],
    }[encoding]
    stored = rgba[:, :, order].reshape(height, -1)
    image = decode(pad_rows(stored, padding), encoding, width, height, stored.shape[1] + padding)
    expected = rgba[:, :, 0] if len(order) == 1 else rgba[:, :, :3]
    assert image.dtype == np.uint8
    np.testing.assert_array_equal(image, expected)


@pytest.mark.parametrize(
    ("encoding", "shape"), [("mono8", (4, 6)), ("mono16", (4, 6, 2)), ("rgb8", (4, 6, 3))]
)
@pytest.mark.parametrize("padding", [0, 4])
def test_plain_encodings_alias_the_message(encoding, shape, padding):
    row_bytes = int(np.prod(shape[1:]))
    buffer = bytearray(4 * (row_bytes + padding))
    image = decode(buffer, encoding, 6, 4, row_bytes + padding, sys.byteorder == "big")
    assert not image.any()
    buffer[:] = b"\x07" * len(buffer)
    assert (image == (0x0707 if encoding == "mono16" else 7)).all()


@pytest.mark.parametrize("container", [bytes, bytearray, memoryview, lambda d: array.array("B", d)])
def test_any_buffer_is_taken(container):
    pixels = np.arange(12, dtype=np.uint8)
    np.testing.assert_array_equal(decode(container(pixels.tobytes()), "mono8", 4, 3), pixels.reshape(3, 4))
    np.testing.assert_array_equal(decode(pixels.reshape(2, 6), "mono8", 4, 3), pixels.reshape(3, 4))


@pytest.mark.parametrize("pattern", ["rggb", "bggr", "gbrg", "grbg"])
def test_bayer_patterns_follow_ros_names(pattern):
    rgb = smooth_rgb()
    stored = bayer_mosaic(rgb, pattern)
    image = decode(pad_rows(stored, 3), f"bayer_{pattern}8", 64, 48, 67)
    inside = (slice(2, -2), slice(2, -2))
    # Bilinear interpolation of a plane is exact but for rounding.
    assert np.abs(image[inside].astype(int) - rgb[inside]).max() <= 1


def yuv_to_rgb(y, u, v):
    """BT.601, video range, written out."""
    y, u, v = (plane.astype(float) for plane in (y, u, v))
    luma = 1.164383 * (y - 16)
    red = luma + 1.596027 * (v - 128)
    green = luma - 0.391762 * (u - 128) - 0.812968 * (v - 128)
    blue = luma + 2.017232 * (u - 128)
    return np.clip(np.stack([red, green, blue], axis=-1), 0, 255)


@pytest.mark.parametrize(
    ("encoding", "order"),
    [("yuv422", "uyvy"), ("uyvy", "uyvy"), ("yuv422_yuy2", "yuyv"), ("yuyv", "yuyv")],
)
def test_yuv422(encoding, order):
    random = np.random.default_rng(3)
    luma = random.integers(16, 236, (6, 8)).astype(np.uint8)
    u, v = random.integers(80, 176, (2, 6, 4)).astype(np.uint8)
    stored = np.zeros((6, 4, 4), np.uint8)
    first, second = (index for index, letter in enumerate(order) if letter == "y")
    stored[:, :, first], stored[:, :, second] = luma[:, 0::2], luma[:, 1::2]
    stored[:, :, order.index("u")], stored[:, :, order.index("v")] = u, v
    image = decode(pad_rows(stored.reshape(6, 16), 5), encoding, 8, 6, 21)
    expected = yuv_to_rgb(luma, u.repeat(2, axis=1), v.repeat(2, axis=1))
    assert np.abs(image - expected).max() <= 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"encoding": "mono9"}, "mono9.*supported are.*mono8.*bayer_rggb8"),
        ({"width": 0}, "0x3"),
        ({"height": -1}, "4x-1"),
        ({"step": 3}, "steps of 3 bytes, expected 4"),
        ({"data": bytes(11)}, "11 bytes.*expected 12"),
        ({"data": b""}, "0 bytes.*expected 12"),
        ({"data": [0] * 12}, "list, expected"),
        ({"data": np.zeros((12, 2), np.uint8)[:, 0]}, "contiguous"),
        ({"encoding": "yuv422", "width": 3, "step": 6, "height": 2}, "3 pixels wide.*even"),
        ({"encoding": "bayer_rggb8", "width": 2, "step": 2, "height": 2}, "at least 4x4"),
    ],
)
def test_bad_messages_say_what_is_wrong(change, message):
    fields = {
        "data": bytes(12),
        "encoding": "mono8",
        "width": 4,
        "height": 3,
        "step": 4,
        "is_bigendian": False,
    }
    fields.update(change)
    data = fields.pop("data")
    with pytest.raises(ImageError, match=message):
        decode_image(data, **fields)


@settings(max_examples=150, deadline=None)
@given(
    data=st.binary(max_size=200),
    encoding=st.sampled_from([*ENCODINGS, "", "jpeg"]),
    width=st.integers(-1, 12),
    height=st.integers(-1, 12),
    step=st.integers(-1, 40),
    big=st.booleans(),
)
def test_random_messages_give_an_image_or_an_image_error(data, encoding, width, height, step, big):
    try:
        image = decode_image(
            data, encoding=encoding, width=width, height=height, step=step, is_bigendian=big
        )
    except ImageError:
        return
    assert image.shape[:2] == (height, width)
    assert natural_encoding(image) in NATURAL_ENCODINGS.values()


@settings(max_examples=40, deadline=None)
@given(
    kind=st.sampled_from(["mono8", "mono16", "rgb8", "bgr8"]),
    width=st.integers(1, 9),
    height=st.integers(1, 9),
    strided=st.booleans(),
)
def test_encode_and_decode_are_inverse(kind, width, height, strided):
    shape = (height, width * 2 if strided else width, *([3] if "gb" in kind or "bg" in kind else []))
    random = np.random.default_rng(width * height)
    image = random.integers(0, 65536 if kind == "mono16" else 256, shape).astype(
        np.uint16 if kind == "mono16" else np.uint8
    )
    image = image[:, ::2] if strided else image
    message = encode_image(image, "bgr8" if kind == "bgr8" else None)
    assert (message.encoding, message.width, message.height) == (kind, width, height)
    assert message.data.nbytes == message.step * height and message.data.contiguous
    again = decode(message.data, kind, width, height, message.step, message.is_bigendian)
    np.testing.assert_array_equal(again, image)


def test_encoded_bytes_are_those_that_ros_defines():
    grey16 = np.array([[1, 0x0203]], np.uint16)
    message = encode_image(grey16)
    assert message.encoding == "mono16" and message.step == 4
    assert bytes(message.data) == struct.pack("=2H", 1, 0x0203)
    assert message.is_bigendian is (sys.byteorder == "big")
    rgb = np.array([[[1, 2, 3]]], np.uint8)
    assert bytes(encode_image(rgb).data) == b"\1\2\3"
    assert bytes(encode_image(rgb, "bgr8").data) == b"\3\2\1"


def test_encode_image_does_not_copy_what_is_contiguous():
    image = np.zeros((4, 4), np.uint8)
    message = encode_image(image)
    image[:] = 9
    assert bytes(message.data) == b"\t" * 16


@pytest.mark.parametrize(
    ("image", "encoding"),
    [
        (np.zeros((4, 4), np.float64), None),
        (np.zeros((0, 4), np.uint8), None),
        (np.zeros((4, 4, 4), np.uint8), None),
        (np.zeros((4, 4, 3), np.int16), None),
        (np.zeros((4, 4), np.uint8), "bgr8"),
        (np.zeros((4, 4, 3), np.uint8), "mono8"),
    ],
)
def test_encode_image_refuses_what_does_not_fit(image, encoding):
    with pytest.raises(ImageError, match=r"\(\d, 4"):
        encode_image(image, encoding)


def test_grey_and_colour():
    rgb, grey = smooth_rgb(), smooth_rgb()[:, :, 0]
    assert to_rgb(rgb) is rgb or np.shares_memory(to_rgb(rgb), rgb)
    np.testing.assert_array_equal(to_rgb(grey), np.stack([grey] * 3, axis=-1))
    assert to_grey(grey) is grey
    luminance = rgb @ np.array([0.299, 0.587, 0.114])
    assert np.abs(to_grey(rgb) - luminance).max() <= 1
    with pytest.raises(ImageError, match=r"uint16.*swapped"):
        to_rgb(np.zeros((4, 4), np.uint16))
    with pytest.raises(ImageError, match="float64"):
        to_grey(np.zeros((4, 4)))
