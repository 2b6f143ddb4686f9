"""Warnings about what people mix up: said once, and not where nothing is wrong."""

import logging

import cv2
import numpy as np
import pytest

from ivfusion_ros.images.encodings import to_rgb
from ivfusion_ros.images.files import read_image
from ivfusion_ros.pipeline.mixups import MixUps
from ivfusion_ros.registration.alike import PAIRS, Likeness
from ivfusion_ros.types import CameraInfo, Frame, FramePair


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


def scene(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(thermal, rgb) of flat shapes that both cameras see, at grey levels of their own."""
    random = np.random.default_rng(seed)
    thermal, rgb = np.full((96, 128), 60, np.uint8), np.full((96, 128, 3), 90, np.uint8)
    for _ in range(25):
        corners = random.integers(0, (128, 96), (4, 2)).astype(np.int32)
        hull = cv2.convexHull(corners)
        cv2.fillPoly(thermal, [hull], int(random.integers(0, 256)))
        cv2.fillPoly(rgb, [hull], random.integers(0, 256, 3).tolist())
    return thermal, rgb


def looked_at(caplog: pytest.LogCaptureFixture, apart: int, count: int, period_ns: int = 0) -> list[str]:
    """Warnings of pairs whose RGB image is of a scene so many further."""
    caplog.set_level(logging.WARNING)
    mixups = MixUps(calibrated=False)
    for index in range(count):
        mixups.look(scene(index)[0], scene(index + apart)[1], index * period_ns)
    return caplog.messages


def test_different_scenes_are_told_once(caplog) -> None:
    (text,) = looked_at(caplog, 100, 20)
    assert "do not look alike in 8 pairs" in text and "ivfusion calibrate" in text


@pytest.mark.parametrize(("apart", "count", "period_ns"), [(0, 20, 0), (100, 7, 0), (100, 200, 33_000_000)])
def test_one_scene_or_too_few_are_not_told(caplog, apart, count, period_ns) -> None:
    assert looked_at(caplog, apart, count, period_ns) == []


def test_real_pairs_are_told_where_they_are_mixed_up(shared) -> None:
    folders = [shared / "data" / name for name in ("roadscene_test", "misaligned_roadscene")]
    for folder in folders:
        pairs = [(to_rgb(read_image(path))[..., 1], to_rgb(read_image(folder / "rgb" / path.name)))
                 for path in sorted((folder / "thermal").iterdir())]  # fmt: skip
        found = {0: [], len(pairs) // 2: []}
        for apart, differ in found.items():
            for start in range(0, len(pairs) - PAIRS, 4):
                likeness = Likeness()
                for index in range(start, start + PAIRS):
                    rgb = pairs[(index + apart) % len(pairs)][1]
                    likeness.add(pairs[index][0], rgb)
                differ.append(likeness.differs())
        right, mixed = found.values()
        assert not any(right) and np.mean(mixed) >= 0.9, folder


def test_a_camera_info_of_another_size_is_told_once(caplog) -> None:
    info = CameraInfo(640, 480)
    other = FramePair(Frame(grey(64, 48), 0), Frame(coloured(64, 48), 0, camera_info=info))
    (text,) = said(caplog, other, other)
    assert "rgb camera_info is of 640x480 pixels, and its images are 64x48" in text
    caplog.clear()
    same = FramePair(Frame(grey(64, 48), 0), Frame(coloured(640, 480), 0, camera_info=info))
    assert not said(caplog, same)
