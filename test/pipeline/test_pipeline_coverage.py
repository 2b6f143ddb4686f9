"""A camera that sees less than the reference: the rest stays as it is, with every network that ships."""

import dataclasses
from functools import cache

import cv2
import numpy as np
import pytest
from pipeline_samples import configure, make_pair, rig_file, with_infos

from ivfusion_ros.config.pipeline import FusionConfig, RefinementConfig, RegistrationConfig
from ivfusion_ros.geometry.calibration import Calibration, write_calibration
from ivfusion_ros.images.thermal import ThermalScaler
from ivfusion_ros.metrics.eye import outside_change
from ivfusion_ros.models import read_models
from ivfusion_ros.pipeline.build import build_pipeline
from ivfusion_ros.registration.scene.dense import Residual
from ivfusion_ros.simulate import RgbConfig, RigConfig, SceneConfig, Simulator, ThermalCameraConfig
from ivfusion_ros.types import CAMERAS, Frame, FramePair, Image

SIZE = (320, 240)
BOX = 60, 45, 260, 195
"""Left, top, right and bottom of what the narrow camera sees."""
NETWORKS = [name for name, model in read_models().items() if model.task == "fusion"]


@cache
def street(illumination: str) -> tuple[Image, Image]:
    """Thermal and RGB of a simulated street, as one camera would see them."""
    at_one_place = ThermalCameraConfig(
        *SIZE, hfov_deg=54.0, principal_offset_px=(0, 0), distortion=(0, 0), position_m=(0, 0, 0),
        rotation_deg=(0, 0, 0), shutter_interval_s=0.0,
    )  # fmt: skip
    rgb = RgbConfig(*SIZE, principal_offset_px=(0, 0), distortion=(0, 0))
    simulator = Simulator(SceneConfig(illumination=illumination), RigConfig(rgb, at_one_place))
    thermal = ThermalScaler(configure("").thermal)(simulator.thermal_at(4.0), 0)
    return thermal, simulator.rgb_at(4.0)


def cut(image: Image) -> Image:
    left, top, right, bottom = BOX
    return np.ascontiguousarray(image[top:bottom, left:right])


def seen(margin: int = 0) -> np.ndarray:
    left, top, right, bottom = BOX
    mask = np.zeros(SIZE[::-1], bool)
    mask[top + margin : bottom - margin, left + margin : right - margin] = True
    return mask


def noisy(image: Image, seed: int) -> Image:
    """With up to two grey levels more or less, and nothing black."""
    noise = np.random.default_rng(seed).integers(-2, 3, image.shape)
    return (image + noise).clip(1, 255).astype(np.uint8)


def luminance(image: Image) -> np.ndarray:
    return image @ np.array([0.299, 0.587, 0.114])


def steepest(image: Image) -> float:
    """Of the lines along the border of what is seen, the largest mean step across it, grey levels."""
    grey = luminance(image)
    left, top, right, bottom = BOX
    across = [np.diff(grey[top:bottom], axis=1).mean(0), np.diff(grey[:, left:right], axis=0).mean(1)]
    near = [at + shift for at in (left, right) for shift in range(-4, 3)]
    below = [at + shift for at in (top, bottom) for shift in range(-4, 3)]
    return float(max(np.abs(across[0][near]).max(), np.abs(across[1][below]).max()))


@pytest.fixture
def narrow(tmp_path) -> RegistrationConfig:
    """The calibration of the narrow thermal camera."""
    left, top, right, bottom = BOX
    shift = np.array([[1, 0, left], [0, 1, top], [0, 0, 1.0]])
    path = tmp_path / "narrow.yaml"
    write_calibration(path, Calibration((right - left, bottom - top), SIZE, shift))
    return RegistrationConfig(str(path))


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("illumination", ["day", "night"])
def test_no_frame_with_any_network(network, illumination, narrow) -> None:
    thermal, rgb = street(illumination)
    config = dataclasses.replace(configure(""), fusion=FusionConfig(network), registration=narrow)
    with build_pipeline(config) as pipeline:
        result = pipeline.process(FramePair(Frame(cut(thermal), 0), Frame(rgb, 0)))
        whole = pipeline.fuser(thermal, rgb).copy()
        framed = pipeline.fuser(result.thermal, rgb).copy()
    np.testing.assert_array_equal(cut(result.thermal), cut(thermal))
    assert not result.thermal[~seen()].any() and np.array_equal(result.rgb, rgb)
    assert result.registration.seen_share == pytest.approx(seen().mean(), abs=0.02)
    assert outside_change(luminance(rgb), luminance(result.fused), seen()) == 0
    # Inside it is about as bright as if the thermal camera had seen all.
    change, framed_change = (
        np.abs((luminance(image) - luminance(whole))[seen(24)].mean()) for image in (result.fused, framed)
    )
    assert change < 12 and change < framed_change
    assert steepest(result.fused) < steepest(rgb) + 4 < steepest(framed)


@pytest.mark.parametrize("reference", CAMERAS)
def test_either_camera_may_see_less(blend_model, tmp_path, reference) -> None:
    """The view of a plane moves 16 of 96 pixels aside."""
    registration = dataclasses.replace(rig_file(tmp_path, plane_distance_m=1.0), reference=reference)
    pair = with_infos(make_pair())
    with build_pipeline(configure(blend_model, registration=registration)) as pipeline:
        result = pipeline.process(pair)
    unseen, own = np.s_[:, :16] if reference == "rgb" else np.s_[:, -16:], pair.frames[reference].image
    plain = own if own.ndim == 3 else np.repeat(own[:, :, None], 3, 2)
    np.testing.assert_array_equal(result.fused[unseen], plain[unseen])
    far = np.s_[:, 27:] if reference == "rgb" else np.s_[:, :-27]
    average = (result.rgb.astype(int) + result.thermal[:, :, None]) // 2
    np.testing.assert_array_equal(result.fused[far], average[far])
    assert (result.fused[unseen] != average[unseen]).any()


def test_the_unseen_part_follows_the_depth(blend_model, tmp_path) -> None:
    """4 of 96 pixels on the plane, 8 at a depth of 2 m, 16 at one of 1 m."""
    config = configure(blend_model, registration=rig_file(tmp_path))
    pair = with_infos(make_pair())
    with build_pipeline(config) as pipeline:
        for depth_m, shift in ((None, 4), (2.0, 8), (1.0, 16), (2.0, 8)):
            depth = None if depth_m is None else np.full((64, 96), depth_m, np.float32)
            result = pipeline.process(dataclasses.replace(pair, depth=depth))
            average = (result.rgb.astype(int) + result.thermal[:, :, None]) // 2
            np.testing.assert_array_equal(result.fused[:, :shift], result.rgb[:, :shift])
            np.testing.assert_array_equal(result.fused[:, shift + 11 :], average[:, shift + 11 :])
            assert result.registration.seen_share == pytest.approx(1 - shift / 96, abs=0.01)


def test_the_unseen_part_follows_the_residual(blend_model, tmp_path, monkeypatch) -> None:
    """4 of 96 pixels are unseen, and 10 more where the image moves to the right by them."""
    zeros = np.zeros((64, 96), np.float32)
    monkeypatch.setattr(
        "ivfusion_ros.registration.registrar.dense_residual",
        lambda *_: Residual(zeros - 10, zeros, 0.1, 1.0),
    )
    registration = dataclasses.replace(rig_file(tmp_path), residual="dense")
    with build_pipeline(configure(blend_model, registration=registration)) as pipeline:
        result = pipeline.process(with_infos(make_pair()))
    assert not result.thermal[:, :14].any()
    np.testing.assert_array_equal(result.fused[:, :14], result.rgb[:, :14])
    assert result.registration.seen_share == pytest.approx(1 - 14 / 96, abs=0.01)


def test_refinement_learns_from_what_is_seen(blend_model, narrow) -> None:
    """The frame of a narrow view draws the correction nowhere, and the seam goes along with it."""
    thermal, rgb = street("day")
    moved = cv2.warpAffine(thermal, np.array([[1, 0, 4.0], [0, 1, 0]]), SIZE)
    registration = dataclasses.replace(narrow, refine=RefinementConfig("shift", max_rate_px_s=20.0))
    with build_pipeline(configure(blend_model, registration=registration)) as pipeline:
        for index in range(40):
            images = (noisy(image, index) for image in (cut(moved), rgb))
            pair = FramePair(*(Frame(image, index * 40_000_000) for image in images))
            result = pipeline.process(pair)
            unseen = result.thermal == 0
    assert result.registration.drift_px == pytest.approx(4, abs=1)
    np.testing.assert_array_equal(result.fused[unseen], pair.rgb.image[unseen])
    assert unseen[100, 50] and not unseen[100, 57]


@pytest.mark.parametrize("counts", [False, True])
def test_an_empty_border_in_the_image_itself_is_unseen(blend_model, counts) -> None:
    """As of a letterbox, or of images that somebody else has registered: it is not cold, nor black."""
    thermal, rgb = street("day")
    left, top, right, bottom = BOX
    bordered = np.zeros_like(thermal)
    bordered[top:bottom, left:right] = cut(thermal).clip(1)
    alone = cut(thermal).clip(1)
    if counts:
        bordered, alone = (
            np.where(image, 7000 + 8 * image.astype(np.uint16), 0) for image in (bordered, alone)
        )
    with build_pipeline(configure(blend_model)) as pipeline:
        result = pipeline.process(FramePair(Frame(bordered.astype(alone.dtype), 0), Frame(rgb, 0)))
        scaled = pipeline.thermal_only(Frame(alone, 0), None).result.thermal
        assert pipeline.bars(bordered) == BOX
        pipeline.reset()
        assert pipeline.bars(thermal.clip(1)) is None
    np.testing.assert_array_equal(result.fused[~seen()], rgb[~seen()])
    np.testing.assert_array_equal(cut(result.thermal), scaled)
    assert result.registration.seen_share == pytest.approx(seen().mean(), abs=0.02)
    inner = np.s_[top + 24 : bottom - 24, left + 24 : right - 24]
    average = (rgb.astype(int) + result.thermal[:, :, None]) // 2
    np.testing.assert_array_equal(result.fused[inner], average[inner])


def test_a_whole_view_is_left_alone(blend_model) -> None:
    pair = make_pair(thermal_size=(48, 32))
    with build_pipeline(configure(blend_model)) as pipeline:
        result = pipeline.process(pair)
    np.testing.assert_array_equal(result.fused, (result.rgb.astype(int) + result.thermal[..., None]) // 2)
    assert result.registration.seen_share == 1.0
