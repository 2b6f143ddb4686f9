"""How much of the network's output is shown: strength and faults in one blend, ends exactly."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as numpy_st
from pipeline_samples import configure, make_pair

from ivfusion_ros.config.pipeline import FaultConfig, RegistrationConfig
from ivfusion_ros.pipeline.blend import blend
from ivfusion_ros.pipeline.build import build_pipeline
from ivfusion_ros.registration.coverage import coverage_of
from ivfusion_ros.registration.registrar import Registered
from ivfusion_ros.types import CAMERAS, OTHER_CAMERA, FaultReport, RegistrationReport

IMAGES = numpy_st.arrays(np.uint8, (3, 4, 3))
SHARES = st.floats(0, 1)
SOUND = FaultReport()


def registered(thermal, rgb, coverage=None) -> Registered:
    return Registered(thermal, rgb, {}, RegistrationReport(), coverage)


@settings(max_examples=50, deadline=None)
@given(IMAGES, IMAGES, SHARES, SHARES, SHARES, st.sampled_from(CAMERAS))
def test_strength_and_faults(fused, rgb, thermal_weight, rgb_weight, strength, reference) -> None:
    """First the strength, then the faults, as if each were a blend of its own."""
    thermal = rgb[:, :, 0] // 2 + 40
    faults = FaultReport((), thermal_weight, rgb_weight)
    blended = blend(fused, registered(thermal, rgb), reference, faults, strength)
    images = {"thermal": thermal[:, :, None].astype(float), "rgb": rgb.astype(float)}
    shares = {"rgb": (1 - thermal_weight) * rgb_weight, "thermal": (1 - rgb_weight) * thermal_weight}
    expected = strength * fused.astype(float) + (1 - strength) * images[reference]
    for camera in (reference, OTHER_CAMERA[reference]):
        expected = (1 - shares[camera]) * expected + shares[camera] * images[camera]
    np.testing.assert_allclose(blended, expected, atol=1.01)


@pytest.mark.parametrize("reference", CAMERAS)
def test_exact_at_the_ends(reference) -> None:
    random = np.random.default_rng(0)
    fused, rgb = random.integers(0, 256, (2, 6, 8, 3), np.uint8)
    thermal = random.integers(0, 256, (6, 8), np.uint8)
    images = {"rgb": rgb, "thermal": np.repeat(thermal[:, :, None], 3, axis=2)}

    def blended(faults: FaultReport, strength: float = 1.0):
        return blend(fused, registered(thermal, rgb), reference, faults, strength)

    assert blended(SOUND) is fused
    assert blended(FaultReport(("thermal_flat", "rgb_dark"), 0.0, 0.0)) is fused
    np.testing.assert_array_equal(blended(SOUND, 0.0), images[reference])
    for strength in (1.0, 0.3):
        np.testing.assert_array_equal(blended(FaultReport((), 0.0, 1.0), strength), images["rgb"])
        np.testing.assert_array_equal(blended(FaultReport((), 1.0, 0.0), strength), images["thermal"])


def test_what_is_unseen_stays_the_reference_whatever_is_blended() -> None:
    """Not even a fault of the RGB camera lets the empty part of the thermal image in."""
    random = np.random.default_rng(1)
    fused, rgb = random.integers(0, 256, (2, 60, 80, 3), np.uint8)
    thermal, shown = np.zeros((2, 60, 80), np.uint8)
    shown[:, :50], thermal[:, :50] = 255, 200
    seen = registered(thermal, rgb, coverage_of(shown))
    for faults, strength in ((SOUND, 0.5), (FaultReport((), 1.0, 0.0), 1.0)):
        blended = blend(fused, seen, "rgb", faults, strength)
        np.testing.assert_array_equal(blended[:, 50:], rgb[:, 50:])
    np.testing.assert_array_equal(blended[:, :30], np.full((60, 30, 3), 200))


@pytest.mark.parametrize("reference", CAMERAS)
def test_strength_is_live(blend_model, reference) -> None:
    registration, faults = RegistrationConfig(reference=reference), FaultConfig(gate=False)
    config = configure(blend_model, registration=registration, faults=faults)
    pair = make_pair()
    thermal = pair.thermal.image[:, :, None].astype(float)
    whole = (pair.rgb.image + thermal) // 2
    plain = {"rgb": pair.rgb.image, "thermal": thermal}[reference]
    with build_pipeline(config) as pipeline:
        np.testing.assert_array_equal(pipeline.process(pair).fused, whole)
        for strength in (0.25, 0.0, 1.0):
            fusion = dataclasses.replace(config.fusion, strength=strength)
            pipeline.set_config(dataclasses.replace(config, fusion=fusion))
            expected = strength * whole + (1 - strength) * plain
            atol = 0.51 if 0 < strength < 1 else 0
            np.testing.assert_allclose(pipeline.process(pair).fused - expected, 0, atol=atol)
