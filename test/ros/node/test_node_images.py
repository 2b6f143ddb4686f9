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
    """Rows of bytes, (H, W, 2) of 4:2:2 or (lines, W) of planes."""
    # Limited range (BT.601), which is what cameras send and OpenCV's 4:2:2 conversions expect.
    r, g, b = rgb[0, 0].astype(float)
    y = 16 + 0.257 * r + 0.504 * g + 0.098 * b
    u = 128 - 0.148 * r - 0.291 * g + 0.439 * b
    v = 128 + 0.439 * r - 0.368 * g - 0.071 * b
    if encoding.startswith("nv"):
        pair = (v, u) if encoding == "nv21" else (u, v)
        lines = 2 * HEIGHT if encoding == "nv24" else HEIGHT // 2
        colour = np.tile(np.round(pair).astype(np.uint8), (lines, WIDTH // 2))
        return np.vstack([np.full((HEIGHT, WIDTH), round(y), np.uint8), colour])
    order = (u, y, v, y) if encoding in ("yuv422", "uyvy") else (y, u, y, v)
    row = np.tile(np.round(order).astype(np.uint8), WIDTH // 2)
    return np.tile(row, (HEIGHT, 1)).reshape(HEIGHT, WIDTH, 2)


COLOUR = ("rgb8", "bgr8", "8UC3", "rgba8", "bgra8", "mono8", "8UC1")
BAYER = ("bayer_rggb8", "bayer_bggr8", "bayer_gbrg8", "bayer_grbg8")
YUV = ("yuv422", "uyvy", "yuv422_yuy2", "yuyv", "8UC2", "nv12", "nv21", "nv24")


@pytest.mark.parametrize("encoding", [*COLOUR, *BAYER, *YUV])
def test_rgb_encodings(cameras: Any, encoding: str) -> None:
    raw, rgb = encoded(encoding)
    message = harness.image(raw, encoding)
    message.height = HEIGHT
    fused = cameras.send(message, harness.image(grey(100), "mono8"))
    difference = np.abs(pixels(fused).astype(int) - blend(rgb, grey(100)))
    assert difference[2:-2, 2:-2].max() <= (2 if encoding in YUV else 0)


@pytest.mark.parametrize("encoding", ["rgb16", "bgr16", "bayer_rggb16"])
def test_rgb_of_16_bits(cameras: Any, encoding: str) -> None:
    name = encoding.replace("16", "8")
    raw, rgb = encoded(name)
    deep = harness.image(raw.astype("<u2") * 257, encoding)
    fused = cameras.send(deep, harness.image(grey(100), "mono8"))
    difference = np.abs(pixels(fused).astype(int) - blend(rgb, grey(100)))
    assert difference[2:-2, 2:-2].max() <= 1


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
    "unknown encoding": {"encoding": "xyz24"},
    "floats for rgb": {"encoding": "32FC1", "width": WIDTH // 2, "step": 3 * WIDTH},
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


def test_bytes_that_are_no_message_are_named_and_survived(
    module_probe: Any, cameras: Any, node: Any
) -> None:
    info = module_probe.publisher(harness.CameraInfo, "/rgb/camera_info")
    texts = [f"bytes came for a sensor_msgs/msg/{kind} and are none" for kind in ("Image", "CameraInfo")]

    def told() -> bool:
        for publisher in (info, cameras.rgb, cameras.thermal):
            publisher.publish(b"\0\1\0\0" + b"\xff" * 500)
        return all(text in node.log() for text in texts)

    harness.wait_until(told, "complaints")
    send(cameras)
    module_probe.node.destroy_publisher(info)


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
    node.wait_for_log("is a damaged or truncated PNG")
    assert "Traceback" not in node.log()


def halves(cold: float, hot: float) -> np.ndarray:
    """Cold on the left, hot on the right."""
    values = np.full((HEIGHT, WIDTH), cold)
    values[:, WIDTH // 2 :] = hot
    return values


BLACK = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
IN_KELVIN = {"thermal__scaling": "fixed", "thermal__range_min": 28000.0, "thermal__range_max": 32000.0}


@pytest.mark.parametrize("encoding", ["32FC1", "64FC1"])
def test_floats_in_kelvin_and_rows_of_telemetry(probe: Any, blend_model: Path, encoding: str) -> None:
    node = probe.start_active(
        fusion__model=str(blend_model), thermal__crop=[0, 0, WIDTH, HEIGHT], **IN_KELVIN
    )
    cameras = harness.Cameras(probe)
    dtype = "<f4" if encoding == "32FC1" else "<f8"
    kelvin = np.vstack([halves(290.0, 310.0), np.full((2, WIDTH), np.nan)]).astype(dtype)
    fused = pixels(cameras.send(harness.image(BLACK, "rgb8"), harness.image(kelvin, encoding)))
    # 29000 and 31000 of 28000 to 32000, half of which the blend takes.
    expected = (round(255 / 4) // 2, round(255 * 3 / 4) // 2)
    assert (int(fused[0, 0, 0]), int(fused[0, -1, 0])) == expected
    node.wait_for_log("taken for kelvin")
    assert "Traceback" not in node.log()


def test_compressed_depth_is_a_transport_of_thermal_counts(probe: Any, blend_model: Path) -> None:
    node = probe.start_active(
        fusion__model=str(blend_model),
        node__thermal_transport="compressedDepth",
        node__rgb_transport="compressed",
        **IN_KELVIN,
    )
    cameras = harness.Cameras(
        probe,
        kind=harness.CompressedImage,
        rgb="rgb/image_raw/compressed",
        thermal="thermal/image_raw/compressedDepth",
    )
    png = cv2.imencode(".png", halves(29000, 31000).astype(np.uint16))[1].tobytes()
    thermal = harness.compressed(bytes(12) + png, "16UC1; compressedDepth png", 0)
    rgb = harness.compressed(cv2.imencode(".png", BLACK)[1].tobytes(), "rgb8; png compressed bgr8", 0)
    fused = pixels(cameras.send(rgb, thermal))
    assert (int(fused[0, 0, 0]), int(fused[0, -1, 0])) == (round(255 / 4) // 2, round(255 * 3 / 4) // 2)
    assert "Traceback" not in node.log()


def test_counts_below_the_picture_of_a_double_frame(probe: Any, blend_model: Path) -> None:
    crop = [0, HEIGHT, WIDTH, HEIGHT]
    probe.start_active(
        fusion__model=str(blend_model), thermal__crop=crop, thermal__encoding="mono16", **IN_KELVIN
    )
    cameras = harness.Cameras(probe)
    counts = halves(29000, 31000).astype("<u2").view(np.uint8).reshape(HEIGHT, WIDTH, 2)
    double = np.vstack([np.full_like(counts, 128), counts])
    fused = pixels(cameras.send(harness.image(BLACK, "rgb8"), harness.image(double, "yuv422_yuy2")))
    assert (int(fused[0, 0, 0]), int(fused[0, -1, 0])) == (round(255 / 4) // 2, round(255 * 3 / 4) // 2)
