"""Each encoding that is read, against bytes that are put together here, pixel by pixel."""

import struct

import numpy as np
import pytest
from image_samples import bayer_mosaic, smooth_rgb

from ivfusion_ros.errors import ImageError
from ivfusion_ros.images.encodings import COLOUR_ENCODINGS, ENCODINGS, decode_image, encode_image
from ivfusion_ros.images.packed import PACKINGS

WIDTH, HEIGHT = 12, 6
PADDING = 8

GREY = {
    "mono8": (1, "B", 8), "8UC1": (1, "B", 8), "mono16": (2, "H", 16), "16UC1": (2, "H", 16),
    "y16": (2, "H", 16), "mono10": (2, "H", 10), "mono12": (2, "H", 12), "mono14": (2, "H", 14),
    "16SC1": (2, "h", 16), "32FC1": (4, "f", 0), "64FC1": (8, "d", 0),
}  # fmt: skip
COLOUR = {
    "rgb8": ("rgb", 8), "bgr8": ("bgr", 8), "8UC3": ("bgr", 8), "rgba8": ("rgba", 8), "bgra8": ("bgra", 8),
    "8UC4": ("bgra", 8), "rgb16": ("rgb", 16), "bgr16": ("bgr", 16), "16UC3": ("bgr", 16),
    "rgba16": ("rgba", 16), "bgra16": ("bgra", 16), "16UC4": ("bgra", 16),
}  # fmt: skip
BAYER = {f"bayer_{order}{bits}": bits for order in ("rggb", "bggr", "gbrg", "grbg") for bits in (8, 16)}
YUV = ("yuv422", "uyvy", "yuv422_yuy2", "yuyv", "8UC2", "nv12", "nv21", "nv24")


def decode(data, encoding, step, big=False, width=WIDTH, height=HEIGHT):
    return decode_image(data, encoding=encoding, width=width, height=height, step=step, is_bigendian=big)


def test_every_encoding_is_tested_here():
    assert sorted(ENCODINGS) == sorted([*GREY, *COLOUR, *BAYER, *YUV, *PACKINGS])
    assert sorted(COLOUR_ENCODINGS) == sorted([*COLOUR, *BAYER, *YUV])


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("encoding", GREY)
def test_grey(encoding, big):
    size, code, bits = GREY[encoding]
    random = np.random.default_rng(1)
    if code in "fd":
        values = random.normal(20, 10, (HEIGHT, WIDTH)).astype(np.float32)
        values[0, 0] = np.nan
    else:
        low = -(2**15) if code == "h" else 0
        values = random.integers(low, low + 2**bits, (HEIGHT, WIDTH))
    rows = [struct.pack(f"{'>' if big else '<'}{WIDTH}{code}", *row) for row in values.tolist()]
    image = decode(b"".join(row + b"\xee" * PADDING for row in rows), encoding, WIDTH * size + PADDING, big)
    assert image.dtype == np.dtype({"d": "f"}.get(code, code)) and image.dtype.isnative
    np.testing.assert_array_equal(image, values)


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("encoding", COLOUR)
def test_colour_keeps_its_bits(encoding, big):
    order, bits = COLOUR[encoding]
    rgba = np.random.default_rng(2).integers(0, 2**bits, (HEIGHT, WIDTH, 4))
    stored = rgba[..., ["rgba".index(letter) for letter in order]]
    dtype = np.dtype(np.uint8 if bits == 8 else ">u2" if big else "<u2")
    data = stored.astype(dtype).tobytes()
    image = decode(data, encoding, len(data) // HEIGHT, big)
    assert image.dtype == (np.uint8 if bits == 8 else np.uint16)
    np.testing.assert_array_equal(image, rgba[..., :3])


@pytest.mark.parametrize("encoding", BAYER)
def test_bayer(encoding):
    rgb = smooth_rgb()
    scale = 1 if BAYER[encoding] == 8 else 200
    pattern = encoding.removeprefix("bayer_")[:4]
    mosaic = bayer_mosaic(rgb, pattern).astype(np.uint8 if scale == 1 else "<u2") * scale
    image = decode(mosaic.tobytes(), encoding, mosaic.strides[0], width=64, height=48)
    inside = (slice(2, -2), slice(2, -2))
    # Bilinear interpolation of a plane is exact but for rounding.
    assert np.abs(image[inside].astype(int) - scale * rgb[inside].astype(int)).max() <= scale


def yuv_planes():
    """Y, U and V, (H, W) each, U and V alike in blocks of 2x2; and RGB by BT.601, limited range."""
    random = np.random.default_rng(3)
    y = random.integers(40, 200, (HEIGHT, WIDTH)).astype(float)
    u, v = (random.integers(110, 146, (HEIGHT // 2, WIDTH // 2)).repeat(2, 0).repeat(2, 1) for _ in "uv")
    luma = 1.164383 * (y - 16)
    green = luma - 0.391762 * (u - 128) - 0.812968 * (v - 128)
    rgb = np.stack([luma + 1.596027 * (v - 128), green, luma + 2.017232 * (u - 128)], axis=-1)
    return y.astype(np.uint8), u.astype(np.uint8), v.astype(np.uint8), rgb


def yuv_rows(encoding, y, u, v):
    """Rows of bytes without padding."""
    if encoding == "nv24":
        # The colour plane has rows of two lines.
        return [*y, *np.dstack([u, v]).reshape(2 * HEIGHT, WIDTH)]
    if encoding.startswith("nv"):
        first, second = (u, v) if encoding == "nv12" else (v, u)
        return [*y, *np.dstack([first, second])[::2, ::2].reshape(HEIGHT // 2, WIDTH)]
    order = "uyvy" if encoding in ("yuv422", "uyvy") else "yuyv"
    planes = {"u": u[:, ::2], "v": v[:, ::2]}
    stored = np.zeros((HEIGHT, WIDTH // 2, 4), np.uint8)
    luma = iter((y[:, ::2], y[:, 1::2]))
    for place, letter in enumerate(order):
        stored[..., place] = next(luma) if letter == "y" else planes[letter]
    return list(stored.reshape(HEIGHT, -1))


@pytest.mark.parametrize("padding", [0, PADDING])
@pytest.mark.parametrize("encoding", YUV)
def test_yuv(encoding, padding):
    y, u, v, rgb = yuv_planes()
    rows = yuv_rows(encoding, y, u, v)
    if encoding == "nv24" and padding:
        # Two lines in a row: padded behind both.
        data = b"".join(bytes(row) + bytes(padding) for row in rows[:HEIGHT])
        pairs = zip(rows[HEIGHT::2], rows[HEIGHT + 1 :: 2], strict=True)
        data += b"".join(bytes(a) + bytes(b) + bytes(2 * padding) for a, b in pairs)
    else:
        data = b"".join(bytes(row) + bytes(padding) for row in rows)
    image = decode(data, encoding, len(rows[0]) + padding)
    assert np.abs(image - np.clip(rgb, 0, 255)).max() <= 2


def packed_row(name, counts):
    """The definitions of GenICam (p: bits from the lowest on) and of GigE Vision (packed)."""
    bits = int(name[4:6])
    if name.endswith("p"):
        whole = sum(int(count) << (bits * place) for place, count in enumerate(counts))
        return whole.to_bytes(-(-len(counts) * bits // 8), "little")
    row = b""
    for place in range(0, len(counts), 2):
        pair = [int(count) for count in counts[place : place + 2]]
        low = [count & (1 << (bits - 8)) - 1 for count in pair]
        shared = low[0] | (low[1] << 4 if len(low) > 1 else 0)
        row += bytes([pair[0] >> (bits - 8), shared, *(count >> (bits - 8) for count in pair[1:])])
    return row


@pytest.mark.parametrize("width", [1, 4, 7, 12])
@pytest.mark.parametrize("name", PACKINGS)
def test_packed_counts(name, width):
    counts = np.random.default_rng(width).integers(0, 2 ** int(name[4:6]), (HEIGHT, width))
    rows = [packed_row(name, row) for row in counts]
    for padding in (0, 3):
        data = b"".join(row + b"\xee" * padding for row in rows)
        image = decode(data, name, len(rows[0]) + padding, width=width)
        assert image.dtype == np.uint16
        np.testing.assert_array_equal(image, counts)


@pytest.mark.parametrize("encoding", ["mono8", "rgb8", "mono16", "32FC1", "nv12", "nv24", "mono12p"])
def test_step_may_be_left_out_of_complete_data(encoding):
    row = {"rgb8": 36, "mono16": 24, "32FC1": 48, "mono12p": 18}.get(encoding, WIDTH)
    lines = {"nv12": 9, "nv24": 18}.get(encoding, HEIGHT)
    data = np.random.default_rng(4).integers(0, 60, row * lines).astype(np.uint8).tobytes()
    np.testing.assert_array_equal(decode(data, encoding, 0), decode(data, encoding, row))
    for wrong in (data[:-1], data + b"\0"):
        with pytest.raises(ImageError, match=rf"steps of 0 bytes.*exactly {len(data)} bytes.*{len(wrong)}"):
            decode(wrong, encoding, 0)


@pytest.mark.parametrize(
    ("encoding", "size", "message"),
    [("nv12", (5, 4), "5 pixels wide.*even"), ("nv21", (4, 5), "5 pixels high.*even")],
)
def test_sizes_that_cannot_be(encoding, size, message):
    with pytest.raises(ImageError, match=message):
        decode(bytes(100), encoding, size[0], width=size[0], height=size[1])


@pytest.mark.parametrize(
    ("dtype", "encoding"), [(np.int16, "16SC1"), (np.float32, "32FC1"), (np.uint16, "rgb16")]
)
def test_what_is_written_comes_back(dtype, encoding):
    shape = (HEIGHT, WIDTH, 3) if encoding == "rgb16" else (HEIGHT, WIDTH)
    image = (np.random.default_rng(5).normal(300, 200, shape)).astype(np.int16).astype(dtype)
    raw = encode_image(image)
    assert raw.encoding == encoding
    again = decode(raw.data, encoding, raw.step, raw.is_bigendian)
    np.testing.assert_array_equal(again, image)


def test_a_height_that_counts_the_rows_of_colour_is_named() -> None:
    with pytest.raises(ImageError, match=r"count the rows of colour.*may be 4"):
        decode_image(bytes(8 * 6), encoding="nv12", width=8, height=6, step=8, is_bigendian=False)
