"""RGB images of 16 bits on their way to a network."""

import numpy as np
import pytest

from ivfusion_ros.config.pipeline import ImagesConfig
from ivfusion_ros.errors import ImageError
from ivfusion_ros.images.rgb_input import RgbInput
from ivfusion_ros.types import Frame


def colour(bits):
    return np.random.default_rng(bits).integers(0, 2**bits, (64, 64, 3)).astype(np.uint16)


@pytest.mark.parametrize("bits", [10, 12, 14, 16])
def test_all_bits_are_used(bits, caplog):
    image = RgbInput(ImagesConfig(colour_bits=bits))(Frame(colour(bits), 0)).image
    assert image.dtype == np.uint8
    assert np.abs(image - colour(bits) * (255 / (2**bits - 1))).max() <= 0.5
    assert not caplog.records


@pytest.mark.parametrize("bits", [10, 12, 14])
def test_dark_ones_are_told_once(bits, caplog):
    dark = RgbInput(ImagesConfig())
    for _ in range(2):
        dark(Frame(colour(bits), 0))
    assert len(caplog.records) == 1 and f"set images.colour_bits={bits}" in caplog.text


def test_eight_bits_pass_as_they_are():
    frame = Frame(np.zeros((8, 8, 3), np.uint8), 0)
    assert RgbInput(ImagesConfig(colour_bits=12))(frame) is frame


def test_counts_are_no_colour():
    with pytest.raises(ImageError, match="swapped"):
        RgbInput(ImagesConfig())(Frame(np.ones((8, 8), np.uint16), 0))
