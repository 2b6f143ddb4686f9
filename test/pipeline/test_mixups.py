"""Warnings about what people mix up: said once, and not where nothing is wrong."""

import logging

import numpy as np
import pytest

from ivfusion_ros.pipeline.mixups import MixUps
from ivfusion_ros.types import Frame, FramePair


def pair(thermal: np.ndarray, rgb: np.ndarray) -> FramePair:
    return FramePair(Frame(thermal, 0), Frame(rgb, 0))


def grey(width: int, height: int) -> np.ndarray:
    return np.full((height, width), 90, np.uint8)


def coloured(width: int, height: int) -> np.ndarray:
    return np.full((height, width, 3), (200, 80, 30), np.uint8)


def said(caplog: pytest.LogCaptureFixture, *pairs: FramePair, calibrated: bool = False) -> list[str]:
    caplog.set_level(logging.WARNING)
    mixups = MixUps(calibrated=calibrated)
    for item in pairs:
        mixups(item)
    return caplog.messages


@pytest.mark.parametrize(
    ("thermal", "rgb", "factor"),
    [((640, 512), (1280, 720), "1.42"), ((120, 160), (320, 240), "1.78"), ((384, 288), (640, 640), "0.75")],
)
def test_a_stretched_image_is_told_once(caplog, thermal, rgb, factor) -> None:
    pairs = [pair(grey(*thermal), coloured(*rgb))] * 3
    (text,) = said(caplog, *pairs)
    assert f"{thermal[0]}x{thermal[1]}" in text and f"{rgb[0]}x{rgb[1]}" in text
    assert "aspect ratios differ" in text and f"by {factor} across" in text and "calibrate" in text


@pytest.mark.parametrize(
    ("thermal", "rgb"), [((640, 480), (640, 480)), ((160, 120), (1280, 960)), ((160, 120), (1282, 956))]
)
def test_equal_aspect_ratios_are_not_told(caplog, thermal, rgb) -> None:
    assert said(caplog, pair(grey(*thermal), coloured(*rgb))) == []


def test_a_calibration_answers_for_other_aspect_ratios(caplog) -> None:
    assert said(caplog, pair(grey(640, 512), coloured(1280, 720)), calibrated=True) == []


def test_a_size_that_changes_is_looked_at(caplog) -> None:
    pairs = [pair(grey(64, 48), coloured(64, 48)), pair(grey(64, 48), coloured(96, 48))]
    assert len(said(caplog, *pairs)) == 1


def test_swapped_cameras_are_told(caplog) -> None:
    (text,) = said(caplog, pair(coloured(64, 48), grey(64, 48)))
    assert "swapped?" in text


@pytest.mark.parametrize("of_rgb", [grey(64, 48), np.dstack([grey(64, 48)] * 3)])
def test_two_grey_images_are_no_sign_of_a_swap(caplog, of_rgb) -> None:
    assert said(caplog, pair(grey(64, 48), of_rgb)) == []


def test_thermal_in_false_colour_beside_colour_is_no_sign_of_a_swap(caplog) -> None:
    assert said(caplog, pair(coloured(64, 48), coloured(64, 48))) == []


def test_grey_with_the_colour_noise_of_jpeg_is_grey(caplog) -> None:
    noisy = np.dstack([grey(64, 48)] * 3)
    noisy[..., 2] += np.random.default_rng(0).integers(0, 9, (48, 64), np.uint8)
    assert said(caplog, pair(noisy, grey(64, 48))) == []
