"""A node that makes itself ready at configure for images of the size that it will get."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import harness
import numpy as np
import pytest
from node_images import blend, noise, pixels

if TYPE_CHECKING:
    from pathlib import Path


def configured(probe: Any, blend_model: Path, **parameters: Any) -> Any:
    node = probe.start(fusion__model=str(blend_model), **parameters)
    node.wait_for_log("waiting for: ros2 lifecycle set")
    assert probe.change_state("configure")
    return node


def test_ready_for_the_expected_size(probe: Any, blend_model: Path) -> None:
    node = configured(probe, blend_model, fusion__expected_size="48x32,96x64")
    node.wait_for_log("ready for thermal images of 48x32 and RGB images of 96x64 after")
    assert probe.change_state("activate")
    cameras = harness.Cameras(probe)
    rgb, thermal = noise(3), noise(4)[..., 0]
    fused = cameras.send(harness.image(rgb, "rgb8"), harness.image(thermal, "mono8"))
    # Nothing of the rehearsal is left in what comes of the first images.
    assert np.array_equal(pixels(fused), blend(rgb, thermal))
    assert harness.stamp_of(cameras.fused.messages[0]) > 0
    assert "the rehearsal failed" not in node.log()


def test_ready_as_camera_info_says(probe: Any, blend_model: Path) -> None:
    for camera, (width, height) in (("thermal", (64, 48)), ("rgb", (96, 64))):
        info = harness.CameraInfo(width=2 * width, height=2 * height, binning_x=2, binning_y=2)
        publisher = probe.node.create_publisher(harness.CameraInfo, f"/{camera}/camera_info", 10)
        probe.node.create_timer(0.02, lambda publisher=publisher, info=info: publisher.publish(info))
    node = configured(probe, blend_model)
    node.wait_for_log("ready for thermal images of 64x48 and RGB images of 96x64 after")


def test_what_cannot_be_rehearsed_is_no_hindrance(probe: Any, blend_model: Path, tmp_path: Path) -> None:
    """The lenses of this rig come with camera_info alone, which is not there yet."""
    calibration = tmp_path / "rig.yaml"
    calibration.write_text("thermal_size: [96, 64]\nrgb_size: [96, 64]\nrig: {}\n")
    node = configured(
        probe, blend_model, fusion__expected_size="96x64", registration__calibration=str(calibration)
    )
    assert "Traceback" not in node.log() and probe.change_state("activate")


@pytest.mark.parametrize("size", ["big", "5x0", "1x1,2x2,3x3"])
def test_a_size_that_is_none_is_refused(probe: Any, blend_model: Path, size: str) -> None:
    node = probe.start(fusion__model=str(blend_model), fusion__expected_size=size)
    assert not probe.change_state("configure")
    assert f"fusion.expected_size is '{size}', expected WxH" in node.log()
    assert probe.set(fusion__expected_size="") == "" and probe.change_state("configure")
