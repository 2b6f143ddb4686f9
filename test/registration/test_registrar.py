"""Registrar: one call for warp, correction and residual; what each step tells; points go the way back."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from pipeline_samples import make_pair, rig_file, with_infos

from ivfusion_ros.config.pipeline import RefinementConfig, RegistrationConfig
from ivfusion_ros.errors import ConfigError
from ivfusion_ros.registration.registrar import Registered, Registrar, build_registrar
from ivfusion_ros.types import CAMERAS, OTHER_CAMERA, Frame, FramePair

REFINE = RefinementConfig(model="shift")


def register(registrar: Registrar, pair: FramePair, stages: list[str], *, sound: bool = True) -> Registered:
    images = pair.thermal.image, pair.rgb.image
    return registrar(pair, *images, sound=sound, stage=stages.append)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (RegistrationConfig(), ["register"]),
        (RegistrationConfig(refine=REFINE), ["register", "refine"]),
        (RegistrationConfig(residual="dense"), ["register", "residual"]),
        (RegistrationConfig(residual="dense", refine=REFINE), ["register", "refine", "residual"]),
    ],
)
def test_each_step_that_is_on_is_told_and_reported(config: RegistrationConfig, expected: list[str]) -> None:
    stages: list[str] = []
    report = register(build_registrar(config), make_pair(), stages).report
    assert stages == expected
    assert (report.confidence is not None) == (report.drift_px is not None) == ("refine" in expected)
    assert (report.residual_share is not None) == ("residual" in expected)


@pytest.mark.parametrize("reference", CAMERAS)
@pytest.mark.parametrize("depth_m", [None, 2.0])
def test_a_dot_is_found_again_by_native_points(tmp_path, reference, depth_m) -> None:
    """Where the warped image shows a dot of the other camera's, its pixel leads back to the dot."""
    other = OTHER_CAMERA[reference]
    thermal, rgb = np.zeros((64, 96), np.uint8), np.zeros((64, 96, 3), np.uint8)
    cv2.circle(thermal if other == "thermal" else rgb, (40, 30), 2, (255, 255, 255), -1)
    depth = None if depth_m is None else np.full((64, 96), depth_m, np.float32)
    pair = with_infos(FramePair(Frame(thermal, 0), Frame(rgb, 0)), depth=depth)
    registrar = build_registrar(replace(rig_file(tmp_path), reference=reference))
    seen = register(registrar, pair, [])
    shown = seen.thermal if other == "thermal" else seen.rgb[..., 0]
    rows, columns = np.nonzero(shown)
    dot = np.array([[columns.mean(), rows.mean()]])
    assert abs(dot[0, 0] - 40) >= 3 and set(seen.native_points) == {other}
    depths = None if depth_m is None else np.array([depth_m])
    np.testing.assert_allclose(seen.native_points[other](dot, depths), [[40, 30]], atol=0.1)


@pytest.mark.parametrize("reference", CAMERAS)
def test_a_camera_alone_is_seen_as_in_a_pair(tmp_path, reference) -> None:
    registrar = build_registrar(replace(rig_file(tmp_path), reference=reference))
    pair = with_infos(make_pair())
    seen = register(registrar, pair, [])
    native = {"thermal": pair.thermal.image, "rgb": pair.rgb.image}
    other = OTHER_CAMERA[reference]
    image, points = registrar.alone(reference, native[reference])
    assert image is native[reference] and not points
    image, points = registrar.alone(other, native[other], (96, 64))
    np.testing.assert_array_equal(image, getattr(seen, other))
    where = np.array([[50.0, 20.0]])
    np.testing.assert_array_equal(points[other](where), seen.native_points[other](where))


def test_live_parameters_are_refused_before_anything_changes() -> None:
    registrar = build_registrar(RegistrationConfig())
    for take in (registrar.check_config, registrar.set_config):
        with pytest.raises(ConfigError, match="only a calibration with a rig"):
            take(RegistrationConfig(plane_distance_m=3.0))


def register_small(factor: int, upsampling: str, reference: str = "rgb") -> Registered:
    """A vertical edge in a thermal image of 96 / factor pixels."""
    thermal = np.full((64 // factor, 96 // factor), 50, np.uint8)
    thermal[:, 48 // factor :] = 200
    pair = FramePair(Frame(thermal, 0), Frame(np.zeros((64, 96, 3), np.uint8), 0))
    config = RegistrationConfig(reference=reference, upsampling=upsampling)
    return register(build_registrar(config), pair, [])


@pytest.mark.parametrize(("factor", "steeper"), [(2, False), (4, True), (8, True)])
def test_large_thermal_pixels_are_enlarged_such_that_their_means_stay(factor: int, steeper: bool) -> None:
    smooth, bilinear = (register_small(factor, how).thermal for how in ("smooth", "off"))
    slopes = [int(np.abs(np.diff(image[32].astype(int))).max()) for image in (smooth, bilinear)]
    assert (slopes[0] > 1.3 * slopes[1]) == steeper
    assert np.array_equal(smooth, bilinear) == (not steeper)
    if steeper:
        means = smooth.reshape(64 // factor, factor, 96 // factor, factor).mean((1, 3))
        # By 4 at most; what is left is the warp's, which is bilinear.
        within = 1.0 if factor <= 4 else 2.5
        np.testing.assert_allclose(means[:, : 48 // factor], 50, atol=within)
        np.testing.assert_allclose(means[:, 48 // factor :], 200, atol=within)


def test_points_of_an_enlarged_image_lead_to_its_own_pixels() -> None:
    points = register_small(4, "smooth").native_points["thermal"](np.array([[1.5, 5.5]]))
    np.testing.assert_allclose(points, [[0.0, 1.0]], atol=1e-6)


def test_a_thermal_reference_is_as_it_is() -> None:
    small = register_small(4, "smooth", reference="thermal")
    assert small.thermal.shape == (16, 24) and set(np.unique(small.thermal)) == {50, 200}
