"""A camera with a fault is named and faded out of the fused image."""

import dataclasses

import cv2
import numpy as np
from pipeline_samples import configure, make_pair

from ivfusion_ros.config.pipeline import FaultConfig
from ivfusion_ros.pipeline.build import build_pipeline
from ivfusion_ros.types import Frame, FramePair


def covered_pairs(count: int) -> list[FramePair]:
    """A textured RGB scene at 10 Hz, and a thermal camera whose lens is covered."""
    rgb = cv2.GaussianBlur(make_pair().rgb.image, (0, 0), 3)
    rgb = cv2.normalize(rgb, None, 0, 200, cv2.NORM_MINMAX)
    pairs = []
    for index in range(count):
        random = np.random.default_rng(index)
        thermal = random.integers(98, 103, (64, 96)).astype(np.uint8)
        seen = random.integers(-2, 3, rgb.shape) + rgb
        stamp_ns = index * 100_000_000
        pairs.append(
            FramePair(Frame(thermal, stamp_ns), Frame(seen.clip(0, 255).astype(np.uint8), stamp_ns))
        )
    return pairs


def blend_of(pair: FramePair) -> np.ndarray:
    return (pair.rgb.image.astype(int) + pair.thermal.image[..., None]) // 2


def test_a_covered_camera_is_named_and_faded_out(blend_model) -> None:
    pairs = covered_pairs(16)
    with build_pipeline(configure(blend_model)) as pipeline:
        results = [pipeline.process(pair) for pair in pairs]
        last = results[-1]
        # Sound so far as is known: exactly the network's output.
        np.testing.assert_array_equal(results[0].fused, blend_of(pairs[0]))
        assert results[0].faults.labels == () and last.faults.labels == ("thermal_flat",)
        assert (last.faults.thermal_weight, last.faults.rgb_weight) == (0.0, 1.0)
        np.testing.assert_array_equal(last.fused, pairs[-1].rgb.image)
        pipeline.reset()
        np.testing.assert_array_equal(pipeline.process(pairs[-1]).fused, blend_of(pairs[-1]))


def test_gating_is_live(blend_model) -> None:
    pairs = covered_pairs(16)
    config = configure(blend_model)
    with build_pipeline(config) as pipeline:
        pipeline.set_config(dataclasses.replace(config, faults=FaultConfig(gate=False)))
        last = [pipeline.process(pair) for pair in pairs][-1]
    assert last.faults.labels == ("thermal_flat",) and last.faults.thermal_weight == 1.0
    np.testing.assert_array_equal(last.fused, blend_of(pairs[-1]))


def test_one_camera_alone_has_no_faults(blend_model) -> None:
    pairs = covered_pairs(16)
    with build_pipeline(configure(blend_model)) as pipeline:
        results = [pipeline.detect(pipeline.thermal_only(pair.thermal, None)) for pair in pairs]
    assert results[-1].faults.labels == ()
