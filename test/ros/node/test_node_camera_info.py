"""fused/camera_info, as image_geometry reads it, of cameras that send a part of the sensor."""

from __future__ import annotations

from typing import Any

import harness
import numpy as np
import pytest
from node_images import HEIGHT, WIDTH, send_until

SENSOR = (400, 300)


def info_of(**fields: Any) -> Any:
    info = harness.CameraInfo(width=SENSOR[0], height=SENSOR[1], distortion_model="plumb_bob")
    info.k = [320.0, 0.0, 199.5, 0.0, 320.0, 149.5, 0.0, 0.0, 1.0]
    info.p = [310.0, 0.0, 201.0, 0.0, 0.0, 312.0, 148.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    info.r = np.eye(3).ravel()
    info.d = [-0.2, 0.05, 0.001, 0.0, 0.0]
    for name, value in fields.items():
        setattr(info, name, value)
    return info


def ray(info: Any, pixel: tuple[float, float]) -> tuple[float, ...]:
    """By image_geometry, of a rectified pixel."""
    image_geometry = pytest.importorskip("image_geometry")
    model = image_geometry.PinholeCameraModel()
    model.fromCameraInfo(info)
    return tuple(model.projectPixelTo3dRay(pixel))


def published(probe: Any, cameras: Any, info: Any) -> Any:
    """fused/camera_info for an rgb/camera_info."""
    infos = probe.listen(harness.CameraInfo, "/fused/camera_info")
    publisher = probe.publisher(harness.CameraInfo, "/rgb/camera_info")
    return send_until(cameras, infos, lambda: publisher.publish(info))


def test_a_region_and_binning_are_folded_in(module_probe: Any, cameras: Any, node: Any) -> None:
    info = info_of(binning_x=2, binning_y=2)
    info.roi.x_offset, info.roi.y_offset, info.roi.width, info.roi.height = 100, 60, 2 * WIDTH, 2 * HEIGHT
    found = published(module_probe, cameras, info)
    assert (found.width, found.height, found.binning_x, found.roi.width) == (WIDTH, HEIGHT, 0, 0)
    assert list(found.d) == list(info.d)
    for pixel in ((0.0, 0.0), (10.0, 50.0), (WIDTH - 1.0, HEIGHT - 1.0)):
        assert ray(found, pixel) == pytest.approx(ray(info, pixel), abs=1e-12)
    node.wait_for_log(
        "camera_info of /rgb/image_raw: region 192x128 at (100, 60) and binning 2x2 of 400x300 folded"
    )


def test_rectified_images_have_no_distortion_left(probe: Any, blend_model: Any) -> None:
    remap = ("--ros-args", "-r", "rgb/image_raw:=/rgb/image_rect", "--")
    node = probe.start_active(*remap, fusion__model=str(blend_model), pairing__max_skew_ms=5)
    cameras = harness.Cameras(probe, rgb="/rgb/image_rect")
    info = info_of()
    found = published(probe, cameras, info)
    assert not any(found.d) and list(found.p) == list(info.p)
    assert list(found.k) == [310.0, 0.0, 201.0, 0.0, 312.0, 148.0, 0.0, 0.0, 1.0]
    node.wait_for_log("camera_info of /rgb/image_rect: the images are rectified")


@pytest.mark.parametrize("when", ["before the node", "after it"])
def test_intrinsics_that_a_driver_sends_once_are_found(probe: Any, blend_model: Any, when: str) -> None:
    driver = None

    def begin() -> None:
        nonlocal driver
        driver = probe.node.create_publisher(
            harness.CameraInfo, "/rgb/camera_info", harness.profile(1, latched=True)
        )
        driver.publish(info_of(width=WIDTH, height=HEIGHT))

    if when == "before the node":
        begin()
    probe.start_active(fusion__model=str(blend_model))
    cameras = harness.Cameras(probe)
    infos = probe.listen(harness.CameraInfo, "/fused/camera_info")
    if when != "before the node":
        begin()
    found = send_until(cameras, infos)
    assert list(found.k) == list(info_of().k)


def test_camera_info_is_expected_beside_remapped_images(probe: Any, blend_model: Any) -> None:
    remap = ("-r", "rgb/image_raw:=/left/image_color", "-r", "thermal/image_raw:=/boson/image")
    other = ("-r", "thermal/camera_info:=/boson/raw/camera_info")
    probe.start_active("--ros-args", *remap, *other, "--", fusion__model=str(blend_model))
    for topic in ("/left/camera_info", "/boson/raw/camera_info"):
        assert probe.publisher(harness.CameraInfo, topic)
    assert not probe.node.count_subscribers("/rgb/camera_info")
