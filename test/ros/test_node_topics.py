"""What goes into and comes out of a running node, message by message."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import harness
import numpy as np
import pytest
import yaml

WIDTH, HEIGHT = 96, 64
SKEW_NS = 3 * harness.MS


@pytest.fixture(scope="module")
def node(module_probe: Any, blend_model: Path, box_model: Path) -> Iterator[Any]:
    """A process whose fused image is (rgb + thermal) // 2, and which finds one person."""
    process = module_probe.start_active(
        fusion__model=str(blend_model),
        detection__model=str(box_model),
        detection__backend="onnxruntime",
        pairing__max_skew_ms=5,
    )
    yield process
    status, _ = process.stop()
    assert status == 0, process.log()
    assert "Traceback" not in process.log()


@pytest.fixture(scope="module")
def cameras(module_probe: Any, node: Any) -> Any:
    return harness.Cameras(module_probe)


def noise(seed: int = 1, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def grey(value: int = 100, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    return np.full((height, width), value, np.uint8)


def pixels(message: Any) -> np.ndarray:
    assert (message.encoding, message.is_bigendian, message.step) == ("rgb8", 0, 3 * message.width)
    return np.frombuffer(message.data, np.uint8).reshape(message.height, message.width, 3)


def blend(rgb: np.ndarray, thermal: np.ndarray) -> np.ndarray:
    return ((rgb.astype(int) + thermal[..., None]) // 2).astype(np.uint8)


def send(cameras: Any, rgb: np.ndarray | None = None, thermal: np.ndarray | None = None) -> Any:
    rgb = noise() if rgb is None else rgb
    thermal = grey() if thermal is None else thermal
    return cameras.send(
        harness.image(rgb, "rgb8", frame_id="rgb_optical_frame"),
        harness.image(thermal, "mono8", frame_id="thermal_optical_frame"),
        SKEW_NS,
    )


def send_until(
    cameras: Any, listener: Any, before_each: Callable[[], None] = lambda: None, **images: np.ndarray
) -> Any:
    """Send pairs until the listener gets what belongs to the newest one; returns that."""

    def found() -> Any:
        before_each()
        send(cameras, **images)
        return listener.find(lambda message: harness.stamp_of(message) >= cameras.now_ns, 0.5)

    return harness.wait_until(found, "a message of the newest pair")


def test_fused_image_has_the_rgb_header_to_the_nanosecond(cameras: Any) -> None:
    rgb, thermal = noise(7), noise(8)[..., 0]
    send(cameras)
    fused = send(cameras, rgb, thermal)
    assert (fused.header.stamp.sec, fused.header.stamp.nanosec) == divmod(cameras.now_ns, 10**9)
    assert fused.header.frame_id == "rgb_optical_frame"
    assert np.array_equal(pixels(fused), blend(rgb, thermal))


def test_camera_info_is_that_of_the_rgb_camera(module_probe: Any, cameras: Any) -> None:
    infos = module_probe.listen(harness.CameraInfo, "/fused/camera_info")
    info = harness.CameraInfo(width=WIDTH, height=HEIGHT, distortion_model="plumb_bob")
    info.k = [float(value) for value in range(9)]
    info.p = [float(value) for value in range(12)]
    info.d = [0.1, -0.2, 0.0, 0.0, 0.5]
    publisher = module_probe.publisher(harness.CameraInfo, "/rgb/camera_info")
    found = send_until(cameras, infos, lambda: publisher.publish(info))
    assert harness.stamp_of(found) == cameras.now_ns and found.header.frame_id == "rgb_optical_frame"
    assert (list(found.k), list(found.p), list(found.d)) == (list(info.k), list(info.p), list(info.d))


def test_detections_name_the_class_and_labels_are_latched(module_probe: Any, cameras: Any) -> None:
    detections = module_probe.listen(harness.Detection2DArray, "/detections")
    latched = harness.profile(1, latched=True)
    labels = module_probe.listen(harness.LabelInfo, "/detections/label_info", latched)
    classes = [(item.class_id, item.class_name) for item in labels.wait(1)[0].class_map]
    assert classes == [(0, "person"), (1, "car")]
    message = send_until(cameras, detections)
    (found,) = message.detections
    assert found.header == message.header and message.header.frame_id == "rgb_optical_frame"
    assert harness.stamp_of(message) == cameras.now_ns
    box = found.bbox
    assert (box.center.position.x, box.center.position.y, box.size_x, box.size_y) == (20, 40, 20, 40)
    assert found.results[0].hypothesis.class_id == "person"
    assert found.results[0].hypothesis.score == pytest.approx(0.9)


def test_detections_in_the_pixels_of_each_camera(module_probe: Any, cameras: Any) -> None:
    listeners = {
        camera: module_probe.listen(harness.Detection2DArray, f"/{camera}/detections")
        for camera in ("thermal", "rgb")
    }
    small = grey(100, HEIGHT // 2, WIDTH // 2)
    for camera, scale, stamp_ns in (("thermal", 0.5, SKEW_NS), ("rgb", 1.0, 0)):
        found = send_until(cameras, listeners[camera], thermal=small)
        assert harness.stamp_of(found) == cameras.now_ns + stamp_ns
        (detection,) = found.detections
        assert detection.header == found.header
        assert detection.header.frame_id == f"{camera}_optical_frame"
        box = detection.bbox
        assert (box.size_x, box.size_y) == pytest.approx((20 * scale, 40 * scale), abs=1e-3)
        assert detection.id == "0" and len(detection.results) == 1
        assert detection.results[0].hypothesis.class_id == "person"


def test_status_tells_of_each_pair(module_probe: Any, cameras: Any) -> None:
    statuses = module_probe.listen(harness.DiagnosticStatus, "/fusion_node/status")
    begin_s = time.monotonic()
    values = harness.status_values(send_until(cameras, statuses))
    assert (values["level"], values["mode"], values["skew_ms"]) == ("OK", "fused", "3.000")
    assert values["stamp"] == "{}.{:09d}".format(*divmod(cameras.now_ns, 10**9))
    stages = [float(values[f"{stage}_ms"]) for stage in ("faults", "scale", "register", "fuse", "detect")]
    assert float(values["pipeline_ms"]) == pytest.approx(sum(stages), abs=0.01)
    assert float(values["pipeline_ms"]) < float(values["node_ms"]) < (time.monotonic() - begin_s) * 1e3


def test_a_covered_camera_is_in_status_and_diagnostics(module_probe: Any, cameras: Any) -> None:
    diagnostics = harness.Diagnostics(module_probe)
    statuses = module_probe.listen(harness.DiagnosticStatus, "/fusion_node/status")
    sound = harness.status_values(send_until(cameras, statuses))
    assert (sound["level"], sound["faults"]) == ("OK", "")
    rgb = cv2.resize(noise(3, 8, 12), (WIDTH, HEIGHT), interpolation=cv2.INTER_NEAREST)
    assert module_probe.set(faults__least_contrast=1.0) == ""
    try:
        for _ in range(16):
            fused = send(cameras, rgb)
        values = harness.status_values(
            statuses.wait_for(lambda item: harness.stamp_of(item) == cameras.now_ns, "its status")
        )
    finally:
        module_probe.set(faults__least_contrast=0.0)
    assert np.array_equal(pixels(fused), rgb)
    assert (values["level"], values["faults"]) == ("WARN", "thermal_flat")
    assert (values["thermal_weight"], values["rgb_weight"]) == ("0.000", "1.000")
    counted = diagnostics.wait("fusion", lambda values: values.get("pairs with thermal_flat", "0") != "0")
    assert counted["pairs with rgb_flat"] == "0"
    for _ in range(16):
        send(cameras, rgb)


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
        return bayer(rgb, encoding), rgb
    return yuv(rgb, encoding), rgb


def bayer(rgb: np.ndarray, encoding: str) -> np.ndarray:
    mosaic = np.empty(rgb.shape[:2], np.uint8)
    for index, letter in enumerate(encoding.removeprefix("bayer_")[:4]):
        row, column = divmod(index, 2)
        mosaic[row::2, column::2] = rgb[row::2, column::2, "rgb".index(letter)]
    return mosaic


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


def test_rare_encodings_go_through_cv_bridge() -> None:
    pytest.importorskip("cv_bridge")
    from sensor_msgs.msg import Image

    from ivfusion_ros.errors import ImageError
    from ivfusion_ros.ros.messages import image_frame

    pixels = np.full((4, 6, 3), (65535, 32768, 0), "<u2")
    message = Image(encoding="rgb16", height=4, width=6, step=36)
    message.data = pixels.tobytes()
    frame = image_frame(message)
    assert frame.image.shape == (4, 6, 3) and frame.image.dtype == np.uint8
    assert np.abs(frame.image[0, 0].astype(int) - (255, 128, 0)).max() <= 1
    message.encoding = "nonsense8"
    with pytest.raises(ImageError, match=r"'nonsense8', supported are mono8.*cv_bridge says"):
        image_frame(message)


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


def test_costly_outputs_come_while_subscribed(module_probe: Any, cameras: Any) -> None:
    rgb = cv2.GaussianBlur(noise(5), (0, 0), 5)
    jpegs = module_probe.listen(harness.CompressedImage, "/fused/image_raw/compressed")
    drawn = module_probe.listen(harness.Image, "/fused/image_annotated")
    plain = blend(rgb, grey())
    jpeg = send_until(cameras, jpegs, rgb=rgb)
    decoded = cv2.imdecode(np.frombuffer(jpeg.data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    assert np.abs(decoded.astype(int) - plain).mean() < 3
    boxed = pixels(send_until(cameras, drawn, rgb=rgb))
    assert not np.array_equal(boxed[20:60, 10:30], plain[20:60, 10:30])
    assert np.array_equal(boxed[62:], plain[62:])


def test_rviz_and_foxglove_show_topics_that_exist(module_probe: Any, cameras: Any) -> None:
    rviz = yaml.safe_load((harness.REPOSITORY / "config/fusion.rviz").read_text())
    shown = {display["Topic"]["Value"] for display in rviz["Visualization Manager"]["Displays"]}
    panels = json.loads((harness.REPOSITORY / "config/foxglove.json").read_text())["configById"].values()
    for panel in panels:
        shown |= {*panel.get("imageMode", {}).values()}
        shown |= {panel[key] for key in ("topicPath", "topicToRender") if key in panel}

    def existing() -> set[str]:
        return {name for name, _ in module_probe.node.get_topic_names_and_types()}

    assert len(shown) == 8
    harness.wait_until(lambda: shown <= existing(), "the topics")


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


def test_thermal_camera_as_the_reference(probe: Any, blend_model: Path) -> None:
    node = probe.start_active(
        fusion__model=str(blend_model), registration__reference="thermal", node__silent_after_s=0.5
    )
    cameras = harness.Cameras(probe, reference="thermal")
    rgb = grey(200)[..., None].repeat(3, 2)
    fused = send(cameras, rgb, grey(100, HEIGHT // 2, WIDTH // 2))
    assert fused.header.frame_id == "thermal_optical_frame"
    assert harness.stamp_of(fused) == cameras.now_ns + SKEW_NS
    assert np.array_equal(pixels(fused), np.full((HEIGHT // 2, WIDTH // 2, 3), 150))

    def lone_image() -> Any:
        cameras.now_ns += 100 * harness.MS
        cameras.rgb.publish(harness.image(rgb, "rgb8", cameras.now_ns, "rgb_optical_frame"))
        return cameras.fused.find(lambda item: item.data[0] == 200, 0.02)

    lone = harness.wait_until(lone_image, "an RGB image alone")
    node.wait_for_log("the thermal camera is silent")
    assert lone.header.frame_id == "thermal_optical_frame" and lone.width == WIDTH // 2


def test_what_was_learned_is_written_on_request(probe: Any, blend_model: Path, tmp_path: Path) -> None:
    path = tmp_path / "rig.yaml"
    size = [160, 128]
    path.write_text(f"thermal_size: {size}\nrgb_size: {size}\naffine: [[1, 0, 0], [0, 1, 0]]\n")
    node = probe.start_active(
        fusion__model=str(blend_model),
        registration__calibration=str(path),
        registration__refine__model="shift",
        registration__refine__max_rate_px_s=20.0,
    )
    cameras = harness.Cameras(probe)
    statuses = probe.listen(harness.DiagnosticStatus, "/fusion_node/status")
    request = harness.Trigger.Request()
    refused = probe.call(harness.Trigger, "/fusion_node/accept_calibration", request)
    assert not refused.success and "nothing to write" in refused.message
    random = np.random.default_rng(5)
    scene = cv2.GaussianBlur(random.normal(0, 1, (128, 220)).astype(np.float32), (0, 0), 4)
    scene = np.where(scene > 0, 180, 60)
    drift_px = 0.0
    for index in range(200):
        seen = (scene + random.normal(0, 2, scene.shape)).clip(0, 255).astype(np.uint8)
        # Noise of its own in each camera does not matter here.
        send(cameras, seen[:, 20:180, None].repeat(3, 2).copy(), seen[:, 24:184].copy())
        status = statuses.find(lambda item: harness.stamp_of(item) == cameras.now_ns, 0.5)
        drift_px = float(harness.status_values(status).get("drift_px", 0)) if status else drift_px
        if index >= 40 and drift_px > 3:
            break
    assert drift_px > 3
    accepted = probe.call(harness.Trigger, "/fusion_node/accept_calibration", request)
    assert accepted.success and str(tmp_path / "rig_accepted_1.yaml") in accepted.message
    shift_x = yaml.safe_load((tmp_path / "rig_accepted_1.yaml").read_text())["affine"][0][2]
    assert shift_x == pytest.approx(4, abs=1) and "Traceback" not in node.log()
