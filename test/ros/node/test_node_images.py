"""Images that a running node takes: encodings, sizes, compressed ones, and bad ones that it survives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import harness
import numpy as np
import pytest
from image_samples import bayer_mosaic
from node_images import HEIGHT, WIDTH, blend, grey, noise, pixels, send

if TYPE_CHECKING:
    from pathlib import Path


def encoded(encoding: str) -> tuple[np.ndarray, np.ndarray]:
    """(array as sent, RGB image that it means) of flat colour, so that Bayer and YUV are exact enough."""
    red, green, blue = 200, 120, 40
    rgb = np.empty((HEIGHT, WIDTH, 3), np.uint8)
    rgb[:] = red, green, blue
    alpha = np.full((HEIGHT, WIDTH, 1), 9, np.uint8)
    if encoding in ("rgb8", "rgba8"):
        return (rgb if encoding == "rgb8" else np.concatenate([rgb, alpha], 2)), rgb
    if encoding in ("bgr8", "8UC3", "bgra8"):
        bgr = rgb[..., ::-1].copy()
        return (np.concatenate([bgr, alpha], 2) if encoding == "bgra8" else bgr), rgb
    if encoding in ("mono8", "8UC1"):
        return rgb[..., 1].copy(), np.repeat(rgb[..., 1:2], 3, 2)
    if encoding.startswith("bayer_"):
        return bayer_mosaic(rgb, encoding.removeprefix("bayer_").removesuffix("8")), rgb
    return yuv(rgb, encoding), rgb


def yuv(rgb: np.ndarray, encoding: str) -> np.ndarray:
    # Limited range (BT.601), which is what cameras send and OpenCV's 4:2:2 conversions expect.
    r, g, b = rgb[0, 0].astype(float)
    y = 16 + 0.257 * r + 0.504 * g + 0.098 * b
    u = 128 - 0.148 * r - 0.291 * g + 0.439 * b
    v = 128 + 0.439 * r - 0.368 * g - 0.071 * b
    order = (u, y, v, y) if encoding in ("yuv422", "uyvy") else (y, u, y, v)
    row = np.tile(np.round(order).astype(np.uint8), WIDTH // 2)
    return np.tile(row, (HEIGHT, 1)).reshape(HEIGHT, WIDTH, 2)


COLOUR = ("rgb8", "bgr8", "8UC3", "rgba8", "bgra8", "mono8", "8UC1")
BAYER = ("bayer_rggb8", "bayer_bggr8", "bayer_gbrg8", "bayer_grbg8")
YUV = ("yuv422", "uyvy", "yuv422_yuy2", "yuyv")


@pytest.mark.parametrize("encoding", [*COLOUR, *BAYER, *YUV])
def test_rgb_encodings(cameras: Any, encoding: str) -> None:
    raw, rgb = encoded(encoding)
    fused = cameras.send(harness.image(raw, encoding), harness.image(grey(100), "mono8"))
    difference = np.abs(pixels(fused).astype(int) - blend(rgb, grey(100)))
    assert difference[2:-2, 2:-2].max() <= (2 if encoding in YUV else 0)


@pytest.mark.parametrize("encoding", ["mono16", "16UC1"])
@pytest.mark.parametrize("big_endian", [False, True])
def test_16_bit_thermal(cameras: Any, encoding: str, big_endian: bool) -> None:
    counts = np.full((HEIGHT, WIDTH), 29000, np.uint16)
    counts[:, WIDTH // 2 :] = 31000
    raw = counts.astype(">u2" if big_endian else "<u2")
    black = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    thermal = harness.image(raw, encoding, is_bigendian=int(big_endian))
    fused = pixels(cameras.send(harness.image(black, "rgb8"), thermal))
    assert (fused[0, 0].tolist(), fused[0, -1].tolist()) == ([0, 0, 0], [127, 127, 127])


def test_false_colour_thermal_and_padded_rows(cameras: Any) -> None:
    padded = np.zeros((HEIGHT, 3 * WIDTH + 20), np.uint8)
    rgb = noise(3)
    padded[:, : 3 * WIDTH] = rgb.reshape(HEIGHT, -1)
    thermal = np.full((HEIGHT, WIDTH, 3), 80, np.uint8)
    fused = cameras.send(harness.image(padded, "rgb8", width=WIDTH), harness.image(thermal, "bgr8"))
    assert np.array_equal(pixels(fused), blend(rgb, grey(80)))


def test_sizes_may_change_in_mid_stream(cameras: Any) -> None:
    for height, width in ((48, 64), (64, 96), (120, 160), (64, 96)):
        rgb = noise(height, height, width)
        fused = send(cameras, rgb, grey(100, height // 2, width // 2))
        assert np.array_equal(pixels(fused), blend(rgb, grey(100, height, width)))


BAD_IMAGES: dict[str, dict[str, Any]] = {
    "no pixels": {"data": b""},
    "truncated": {"data": bytes(WIDTH * HEIGHT)},
    "unknown encoding": {"encoding": "32FC1"},
    "no encoding": {"encoding": ""},
    "zero size": {"width": 0, "height": 0},
    "short step": {"step": 7},
    "16 bit for rgb": {"encoding": "mono16", "step": 2 * WIDTH},
    "tiny": {"width": 2, "height": 2},
}


@pytest.mark.parametrize("case", list(BAD_IMAGES))
def test_bad_images_are_named_and_survived(cameras: Any, node: Any, case: str) -> None:
    before = len(node.log())
    # The pairer may hold the first one back, as a good frame could still come in between.
    stamps_ns = []
    for _ in range(3):
        cameras.now_ns += 100 * harness.MS
        stamps_ns.append(cameras.now_ns)
        bad = harness.image(noise(), "rgb8", cameras.now_ns)
        for name, value in BAD_IMAGES[case].items():
            setattr(bad, name, value)
        cameras.rgb.publish(bad)
        cameras.thermal.publish(harness.image(grey(), "mono8", cameras.now_ns))
    harness.wait_until(lambda: "[ERROR]" in node.log()[before:], f"a complaint about {case}")
    send(cameras)
    assert not {*stamps_ns} & {harness.stamp_of(message) for message in cameras.fused.messages}


def test_diagnostics_count_what_was_unreadable(module_probe: Any, cameras: Any, node: Any) -> None:
    diagnostics = harness.Diagnostics(module_probe)
    first = diagnostics.wait("cameras", lambda values: "dropped: rgb_unreadable" in values)
    cameras.rgb.publish(harness.image(noise(), "what8"))
    expected = str(int(first["dropped: rgb_unreadable"]) + 1)
    diagnostics.wait("cameras", lambda values: values["dropped: rgb_unreadable"] == expected)
    values = diagnostics.wait("fusion", lambda values: "fusion backend" in values)
    assert "ONNX Runtime" in values["fusion backend"] and "ONNX Runtime" in values["detection backend"]
    assert values["clock"] == "system"


def test_compressed_inputs(probe: Any, blend_model: Path) -> None:
    node = probe.start_active(
        fusion__model=str(blend_model),
        node__rgb_transport="compressed",
        node__thermal_transport="compressed",
    )
    topics = {camera: f"{camera}/image_raw/compressed" for camera in ("rgb", "thermal")}
    cameras = harness.Cameras(probe, kind=harness.CompressedImage, **topics)
    colour = noise()
    png = cv2.imencode(".png", colour[..., ::-1])[1].tobytes()
    counts = np.full((HEIGHT, WIDTH), 29000, np.uint16)
    counts[:, WIDTH // 2 :] = 31000
    png16 = cv2.imencode(".png", counts)[1].tobytes()
    rgb, thermal = "rgb8; png compressed bgr8", "mono16; png compressed "
    fused = cameras.send(harness.compressed(png, rgb, 0), harness.compressed(png16, thermal, 0))
    grey_thermal = np.where(counts == 29000, 0, 255)
    assert np.array_equal(pixels(fused), blend(colour, grey_thermal))
    cameras.rgb.publish(harness.compressed(png[:100], rgb, cameras.now_ns + 100 * harness.MS))
    node.wait_for_log("cannot be decoded")
    assert "Traceback" not in node.log()
