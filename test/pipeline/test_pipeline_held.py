"""Thermal images that are used again: no fault of their camera, and results at the RGB camera's rate."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from pipeline_samples import configure, make_pair

from ivfusion_ros.config.pipeline import PairingConfig, RegistrationConfig
from ivfusion_ros.errors import ConfigError
from ivfusion_ros.pipeline.build import build_pipeline
from ivfusion_ros.pipeline.replay import Replay
from ivfusion_ros.sync.synchronizer import Synchronizer
from ivfusion_ros.types import Frame

MS = 1_000_000
HELD = PairingConfig(hold_thermal_ms=300.0)


def scene(seed: int, shape: tuple[int, ...]) -> np.ndarray:
    noise = np.random.default_rng(seed).integers(0, 256, shape, np.uint8)
    return cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 2), None, 0, 200, cv2.NORM_MINMAX)


def slow_thermal(count: int = 30) -> list[tuple[str, Frame]]:
    """RGB at 30 Hz, thermal at 4 Hz, both of a scene in motion."""
    rgb, thermal = scene(0, (64, 96 + 4 * count, 3)), scene(1, (64, 96 + 4 * count))
    frames = []
    for index in range(count):
        stamp_ns, window = index * 33 * MS, np.s_[:, 4 * index : 4 * index + 96]
        if index % 8 == 0:
            frames.append(("thermal", Frame(np.ascontiguousarray(thermal[window]), stamp_ns)))
        frames.append(("rgb", Frame(np.ascontiguousarray(rgb[window]), stamp_ns)))
    return frames


def test_each_rgb_image_has_a_result_and_the_thermal_camera_no_fault(blend_model) -> None:
    frames = slow_thermal()
    config = replace(configure(blend_model), pairing=HELD)
    with build_pipeline(config) as pipeline:
        replay = Replay(Synchronizer(config), pipeline)
        results = list(replay.results(iter(frames)))
    rgbs = [frame for name, frame in frames if name == "rgb"]
    assert [result.stamp_ns for result in results] == [frame.stamp_ns for frame in rgbs]
    assert not any("thermal_shutter" in result.faults.labels for result in results)
    assert not any("thermal_frozen" in result.faults.labels for result in results)
    thermals = [frame for name, frame in frames if name == "thermal"]
    held = [result for result in results if result.held]
    assert len(held) == len(rgbs) - len(thermals) == replay.report()["pairs_with_held_thermal"]
    for result, rgb in zip(results, rgbs, strict=True):
        thermal = next(item for item in thermals if item.stamp_ns == rgb.stamp_ns + result.skew_ns)
        expected = (rgb.image.astype(int) + thermal.image[..., None]) // 2
        np.testing.assert_array_equal(result.fused, expected)


def test_a_camera_that_repeats_its_image_by_itself_has_a_fault_all_the_same(blend_model) -> None:
    frames = [
        (name, frame) for name, frame in slow_thermal(60) if name == "rgb" or frame.stamp_ns < 500 * MS
    ]
    stuck = next(frame for name, frame in reversed(frames) if name == "thermal")
    frames += [("thermal", replace(stuck, stamp_ns=stamp * 33 * MS)) for stamp in range(16, 60, 4)]
    frames.sort(key=lambda item: item[1].stamp_ns)
    config = replace(configure(blend_model), pairing=HELD)
    with build_pipeline(config) as pipeline:
        results = list(Replay(Synchronizer(config), pipeline).results(iter(frames)))
    assert "thermal_frozen" in results[-1].faults.labels


def test_the_thermal_reference_cannot_be_held(blend_model) -> None:
    config = configure(blend_model, pairing=HELD, registration=RegistrationConfig(reference="thermal"))
    with pytest.raises(ConfigError, match=r"hold_thermal_ms is 300, but registration.reference is thermal"):
        build_pipeline(config)
    assert make_pair().held is False
