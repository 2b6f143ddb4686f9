"""Fusion at the thermal camera's resolution: what reaches the network, and what comes of it."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from ivfusion_ros.backends.choice import load_backend
from ivfusion_ros.config.parameters import make_config
from ivfusion_ros.config.pipeline import DetectionConfig, FusionConfig, PipelineConfig
from ivfusion_ros.errors import ConfigError
from ivfusion_ros.pipeline import guided as guided_module
from ivfusion_ros.pipeline.build import build_pipeline
from ivfusion_ros.pipeline.fuser import Fuser, reduction
from ivfusion_ros.pipeline.guided import guided, reduced
from ivfusion_ros.types import Frame, FramePair, Image

if TYPE_CHECKING:
    from pathlib import Path


def noise(shape: tuple[int, ...], side: int, seed: int) -> Image:
    """Soft shapes, about so many pixels large."""
    random = np.random.default_rng(seed)
    small = random.integers(20, 236, (shape[0] // side + 2, shape[1] // side + 2, *shape[2:]), np.uint8)
    return np.asarray(cv2.resize(small, shape[1::-1], interpolation=cv2.INTER_CUBIC), np.uint8)


def grey(image: Image) -> Image:
    return np.repeat(image[..., None], 3, axis=2)


def pair(shape: tuple[int, int], factor: int) -> tuple[Image, Image]:
    """Thermal without detail finer than a reduced pixel, RGB with some at every pixel."""
    light = noise(shape, 40, 1).astype(float) * 0.6 + noise(shape, 2, 2) * 0.3
    return noise(shape, 12 * factor, 0), grey(light.astype(np.uint8))


@pytest.mark.parametrize("shape", [(96, 120), (96, 120, 3)])
def test_reduced_is_the_mean_of_squares(shape: tuple[int, ...]) -> None:
    image = noise(shape, 3, 0)
    means = image.reshape(32, 3, 40, 3, -1).mean((1, 3))
    np.testing.assert_allclose(reduced(image, 3).reshape(means.shape), means, atol=0.51)


def test_sides_that_are_no_multiple_are_continued() -> None:
    image = noise((97, 121), 3, 0)
    found = reduced(image, 3)
    assert found.shape == (33, 41)
    np.testing.assert_array_equal(found[:-1, :-1], reduced(image[:96, :120], 3))
    assert found[-1, -1] == image[-1, -1]


@pytest.mark.parametrize(
    ("shape", "factor"), [((240, 320), 2), ((241, 319), 2), ((300, 403), 3), ((361, 640), 6)]
)
def test_detail_of_rgb_that_the_network_never_saw_is_in_the_result(
    shape: tuple[int, int], factor: int
) -> None:
    thermal, rgb = pair(shape, factor)

    def network(heat: Image, light: Image) -> Image:
        return np.asarray(0.4 * heat[..., None] + 0.5 * light + 12, np.uint8)

    small = reduced(thermal, factor), reduced(rgb, factor)
    found = guided(network(*small), small, (thermal, rgb), factor)
    assert found.shape == rgb.shape and found.dtype == np.uint8
    error = found.astype(float) - network(thermal, rgb)
    assert np.abs(error).mean() < 1.0
    # Nothing but enlarging, as a user would do without this, is several times as far away.
    plain = cv2.resize(network(*small), shape[::-1], interpolation=cv2.INTER_CUBIC)
    assert np.abs(plain.astype(float) - network(thermal, rgb)).mean() > 3 * np.abs(error).mean()


def test_rows_at_a_time_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    thermal, rgb = pair((301, 403), 3)
    small = reduced(thermal, 3), reduced(rgb, 3)
    # Anything that no linear function is.
    fused = np.asarray(255 - np.maximum(small[0][..., None], small[1]), np.uint8)
    found = []
    for pixels in (1, 2**14, 2**30):
        monkeypatch.setattr(guided_module, "_PIXELS", pixels)
        found.append(guided(fused, small, (thermal, rgb), 3))
    np.testing.assert_array_equal(found[0], found[2])
    np.testing.assert_array_equal(found[1], found[2])


def test_colours_stay_where_nothing_changes_and_nothing_overflows() -> None:
    thermal, rgb = noise((120, 160), 8, 0), noise((120, 160, 3), 5, 1)
    small = reduced(thermal, 2), reduced(rgb, 2)
    same = guided(small[1], small, (thermal, rgb), 2)
    assert np.abs(same.astype(int) - rgb).max() <= 1
    for level in (0, 255):
        found = guided(np.full_like(small[1], level), small, (thermal, rgb), 2)
        luminance = cv2.cvtColor(found, cv2.COLOR_RGB2GRAY)
        assert abs(float(np.median(luminance)) - level) < 60
    flat = np.full((120, 160), 9, np.uint8), np.full((120, 160, 3), 250, np.uint8)
    few = reduced(flat[0], 2), reduced(flat[1], 2)
    np.testing.assert_array_equal(guided(few[1] - 40, few, flat, 2), 210)


def test_by_how_much_images_are_reduced() -> None:
    assert reduction((1024, 1280), 2.36) == 2
    assert reduction((2160, 3840), 7.07) == 6
    # Not beyond a thermal pixel, not below 640 pixels, not below what a network takes.
    assert reduction((2160, 3840), 1.9) == 1
    assert reduction((480, 640), 8.0) == 1
    assert reduction((20, 3840), 8.0) == 2


def test_only_larger_images_are_reduced(blend_model: Path) -> None:
    fuser = Fuser(load_backend(blend_model, "onnxruntime"), "thermal")
    seen, run = [], fuser.backend.run

    def watched(inputs):
        seen.append((inputs["thermal"].shape, inputs["rgb"].shape))
        return run(inputs)

    fuser.backend.run = watched
    thermal, rgb = pair((960, 1283), 2)
    for pixel in (1.0, 2.0, 7.0):
        assert fuser(thermal, rgb, pixel).shape == rgb.shape
    fuser.resolution = "full"
    fuser(thermal, rgb, 2.0)
    whole, half = ((1, 960, 1283), (1, 960, 1283, 3)), ((1, 480, 642), (1, 480, 642, 3))
    assert seen == [whole, half, half, whole]


def test_a_pipeline_takes_the_size_of_a_thermal_pixel(blend_model: Path) -> None:
    """Of images of one field of view; live; and never where the thermal camera is the reference."""
    config = PipelineConfig(
        fusion=FusionConfig(model=str(blend_model), backend="onnxruntime", resolution="thermal"),
        detection=DetectionConfig(model=""),
    )
    thermal, rgb = noise((480, 640), 6, 0), grey(noise((960, 1280), 3, 1))
    frames = FramePair(Frame(thermal, 0), Frame(rgb, 0))
    shapes, fused = [], {}
    with build_pipeline(config) as pipeline:
        run = pipeline.fuser.backend.run

        def watched(inputs):
            shapes.append(inputs["thermal"].shape[1:])
            return run(inputs)

        pipeline.fuser.backend.run = watched
        for resolution in ("thermal", "full"):
            fusion = dataclasses.replace(config.fusion, resolution=resolution)
            pipeline.set_config(dataclasses.replace(config, fusion=fusion))
            fused[resolution] = pipeline.process(frames).fused
    assert shapes == [(480, 640), (960, 1280)]
    assert fused["thermal"].shape == rgb.shape
    assert np.abs(fused["thermal"].astype(int) - fused["full"]).mean() < 3
    by_thermal = dataclasses.replace(config.registration, reference="thermal")
    with build_pipeline(dataclasses.replace(config, registration=by_thermal)) as pipeline:
        assert pipeline.process(frames).fused.shape == (480, 640, 3)


def test_an_unknown_resolution_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"fusion.resolution.*'half'.*full, thermal"):
        make_config(PipelineConfig, {"fusion.resolution": "half"})
