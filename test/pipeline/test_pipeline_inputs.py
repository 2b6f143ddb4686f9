"""What cameras really send, on its way through the pipeline."""

import dataclasses

import numpy as np
import pytest
from pipeline_samples import K, configure, make_pair

from ivfusion_ros.config.pipeline import ThermalConfig
from ivfusion_ros.pipeline.build import build_pipeline
from ivfusion_ros.types import CameraInfo, Frame


def fused(blend_model, pair, detector="", **thermal):
    with build_pipeline(configure(blend_model, detector, thermal=ThermalConfig(**thermal))) as pipeline:
        return pipeline.process(pair)


def with_thermal(image, info=None):
    return dataclasses.replace(make_pair(), thermal=Frame(image, 1004, "t", info))


def counts():
    return np.random.default_rng(3).integers(29000, 31000, (64, 96)).astype(np.uint16)


def test_a_crop_gives_what_the_scene_alone_gives(blend_model):
    whole = np.pad(counts(), ((1, 2), (3, 4)))
    plain = fused(blend_model, with_thermal(counts()))
    cropped = fused(blend_model, with_thermal(whole), crop=(3, 1, 96, 64))
    np.testing.assert_array_equal(cropped.fused, plain.fused)


def test_the_camera_info_of_a_thermal_reference_is_of_the_crop(blend_model):
    info = CameraInfo(103, 67, k=K)
    config = configure(blend_model, thermal=ThermalConfig(crop=(3, 1, 96, 64)))
    registration = dataclasses.replace(config.registration, reference="thermal")
    pair = with_thermal(np.pad(counts(), ((1, 2), (3, 4))), info)
    with build_pipeline(dataclasses.replace(config, registration=registration)) as pipeline:
        found = pipeline.process(pair).camera_info
        alone = pipeline.rgb_only(pair.rgb, (103, 67)).result
    assert found is not None and (found.width, found.height) == (96, 64)
    assert (found.k[2], found.k[5]) == (K[2] - 3, K[5] - 1)
    assert alone.size == (96, 64)


@pytest.mark.parametrize("scale", [1.0, 100.0])
def test_floats_look_like_the_counts_that_they_are(blend_model, scale):
    kelvin = (counts() / 100).astype(np.float32)
    plain = fused(blend_model, with_thermal(counts()))
    unit = "kelvin" if scale == 1.0 else "counts"
    floats = fused(blend_model, with_thermal(kelvin * np.float32(scale)), float_unit=unit)
    assert np.abs(floats.fused.astype(int) - plain.fused).max() <= 1


def test_objects_have_temperatures_where_images_are_in_kelvin(blend_model, box_model):
    celsius = np.full((64, 96), 21.5, np.float32)
    celsius[::2] = 23.5
    found = fused(blend_model, with_thermal(celsius), box_model).detections
    assert (
        found is not None and len(found) and found.max_kelvin is not None and found.mean_kelvin is not None
    )
    np.testing.assert_allclose(found.max_kelvin, 273.15 + 23.5, atol=0.01)
    np.testing.assert_allclose(found.mean_kelvin, 273.15 + 22.5, atol=0.1)
    assert fused(blend_model, with_thermal(counts()), box_model).detections.max_kelvin is None


def test_colour_of_16_bits_looks_like_that_of_8(blend_model):
    pair = make_pair()
    deep = dataclasses.replace(pair.rgb, image=pair.rgb.image.astype(np.uint16) * 257)
    plain = fused(blend_model, pair)
    np.testing.assert_array_equal(
        fused(blend_model, dataclasses.replace(pair, rgb=deep)).fused, plain.fused
    )
