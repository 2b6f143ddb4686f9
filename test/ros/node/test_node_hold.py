"""A slow thermal camera does not limit the rate of a node, whose results are those of a replay."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import harness
import numpy as np
from node_images import HEIGHT, WIDTH, pixels
from test_node_time import RELIABLE

from ivfusion_ros.config.pipeline import PairingConfig, PipelineConfig
from ivfusion_ros.sync.pairing import READ_AHEAD
from ivfusion_ros.sync.synchronizer import Synchronizer
from ivfusion_ros.types import Frame

if TYPE_CHECKING:
    from pathlib import Path

COUNT, RATIO, PERIOD_NS = 90, 4, 40 * harness.MS
HOLD_MS = 250.0


def frames(start_ns: int) -> list[tuple[Any, Frame]]:
    """RGB at 25 Hz, thermal at 6.25 Hz and 3 ms earlier; each thermal image has a grey of its own."""
    found = []
    for index in range(COUNT):
        stamp_ns = start_ns + index * PERIOD_NS
        if index % RATIO == 0:
            grey = np.full((HEIGHT, WIDTH), 2 * index, np.uint8)
            found.append(("thermal", Frame(grey, stamp_ns - 3 * harness.MS)))
        found.append(("rgb", Frame(np.full((HEIGHT, WIDTH, 3), 60, np.uint8), stamp_ns)))
    return found


def expected(arrivals: list[tuple[Any, Frame]]) -> dict[int, tuple[int, float]]:
    """By RGB stamp the fused grey and the skew of a replay, ms."""
    config = PipelineConfig(PairingConfig(hold_thermal_ms=HOLD_MS))
    synchronizer = Synchronizer(config, READ_AHEAD)
    pairs = [pair for arrival in arrivals for pair in synchronizer.add(*arrival)] + synchronizer.flush()
    return {
        pair.rgb.stamp_ns: ((60 + int(pair.thermal.image[0, 0])) // 2, pair.skew_ns / harness.MS)
        for pair in pairs
    }


def test_every_rgb_image_has_the_thermal_image_that_a_replay_gives_it(
    probe: Any, blend_model: Path
) -> None:
    probe.start_active(fusion__model=str(blend_model), pairing__hold_thermal_ms=HOLD_MS, **RELIABLE)
    fused = probe.listen(harness.Image, "/fused/image_raw")
    statuses = probe.listen(harness.DiagnosticStatus, "/fusion_node/status")
    publishers = {
        camera: probe.publisher(harness.Image, f"/{camera}/image_raw", harness.profile(100))
        for camera in ("thermal", "rgb")
    }
    arrivals = frames(10**18)
    wanted = expected(arrivals)
    assert len(wanted) == COUNT
    for camera, frame in arrivals:
        encoding = "rgb8" if camera == "rgb" else "mono8"
        publishers[camera].publish(harness.image(frame.image, encoding, frame.stamp_ns))
        if camera == "rgb":
            time.sleep(PERIOD_NS / 1e9)
    # Some are lost while the node wakes up; without holding, only a fourth could come.
    harness.wait_until(lambda: len(fused.messages) >= COUNT // 2, "fused images", 10.0)
    for message in fused.messages:
        assert pixels(message)[0, 0, 0] == wanted[harness.stamp_of(message)][0]
    told = [harness.status_values(message) for message in statuses.messages]
    ages = {values["thermal_age_ms"] for values in told if "thermal_age_ms" in values}
    assert ages == {"43.000", "83.000", "123.000"}
    assert {values["skew_ms"] for values in told} >= {"-3.000", "-43.000"}
