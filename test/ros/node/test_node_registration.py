"""The thermal camera as the reference of a running node, and a calibration that it learned."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import harness
import numpy as np
import pytest
import yaml
from node_images import HEIGHT, SKEW_NS, WIDTH, grey, pixels, send

if TYPE_CHECKING:
    from pathlib import Path


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
