"""A deadline that the node cannot meet: what it says and what it still publishes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import harness
import numpy as np

if TYPE_CHECKING:
    from pathlib import Path


def test_a_resting_detector_is_told_and_publishes_no_old_boxes(
    probe: Any, blend_model: Path, box_model: Path
) -> None:
    probe.start_active(
        fusion__model=str(blend_model),
        detection__model=str(box_model),
        detection__backend="onnxruntime",
        deadline__budget_ms=0.001,
        deadline__patience_s=0.1,
    )
    cameras, diagnostics = harness.Cameras(probe), harness.Diagnostics(probe)
    statuses = probe.listen(harness.DiagnosticStatus, "/fusion_node/status")
    detections = probe.listen(harness.Detection2DArray, "/detections")
    random = np.random.default_rng(0)

    def values_of_next() -> dict[str, str]:
        """Status of the fused image of a new pair."""
        rgb = harness.image(random.integers(0, 256, (64, 96, 3), np.uint8), "rgb8")
        thermal = harness.image(random.integers(0, 256, (64, 96), np.uint8), "mono8")
        fused = cameras.send(rgb, thermal)
        stamp = f"{fused.header.stamp.sec}.{fused.header.stamp.nanosec:09d}"
        status = statuses.wait_for(
            lambda message: harness.status_values(message).get("stamp") == stamp, "status of the image"
        )
        return harness.status_values(status) | {"stamp_ns": str(harness.stamp_of(fused))}

    resting = harness.wait_until(
        lambda: (values := values_of_next())["detector_stride"] == "4" and values, "stride 4", 120
    )
    assert resting["level"] == "WARN" and "detection on one image in 4" in resting["message"]
    diagnostics.wait("fusion", lambda values: values.get("detection") == "on one image in 4")
    seen = [values_of_next() for _ in range(8)]
    old = {int(values["stamp_ns"]) for values in seen if float(values["detections_age_ms"]) > 0}
    fresh = {int(values["stamp_ns"]) for values in seen} - old
    assert old and fresh
    harness.wait_until(
        lambda: fresh <= {harness.stamp_of(message) for message in detections.messages}, "fresh boxes"
    )
    assert not old & {harness.stamp_of(message) for message in detections.messages}
