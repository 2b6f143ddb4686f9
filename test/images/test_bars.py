"""Black bars: found to the pixel, never again where something was, and nothing in real pictures."""

import cv2
import numpy as np
import pytest

from ivfusion_ros.images.bars import Bars
from ivfusion_ros.images.encodings import to_grey
from ivfusion_ros.images.files import read_image

SIZE = 60, 80
WHOLE = 0, 0, 80, 60


def framed(left: int, top: int, right: int, bottom: int, dtype=np.uint8, low=9) -> np.ndarray:
    """Noise within a window, zeros around it."""
    image = np.zeros(SIZE, dtype)
    shape = bottom - top, right - left
    image[top:bottom, left:right] = np.random.default_rng(0).integers(low, 200, shape)
    return image


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("window", [(10, 5, 70, 52), (0, 8, 80, 52), (0, 0, 79, 60), (40, 0, 80, 60)])
def test_bars_are_found_to_the_pixel(window, dtype) -> None:
    assert Bars()(framed(*window, dtype)) == window
    colour = np.repeat(framed(*window)[:, :, None], 3, 2)
    assert Bars()(colour) == window


def test_no_bars_and_no_picture() -> None:
    assert Bars()(framed(*WHOLE, low=0)) is None
    assert Bars()(np.zeros(SIZE, np.uint8)) is None
    # One pixel of a line is enough, and a black area that is no bar is none.
    image = framed(10, 0, 80, 60)
    image[30, 0] = 1
    assert Bars()(image) is None


def test_something_on_black_has_no_bars() -> None:
    """A head in a slice of MRI, or a hot thing before a cold sky: its outline touches no line for long."""
    image = np.zeros(SIZE, np.uint8)
    cv2.ellipse(image, (40, 30), (25, 20), 0, 0, 360, 180, -1)
    assert Bars()(image) is None
    # Of a picture with a bar on the left and such a thing at the top, the bar is left.
    image[:] = 0
    image[20:, 20:] = 90
    cv2.circle(image, (50, 24), 10, 200, -1)
    assert Bars()(image) == (20, 0, 80, 60)


def test_what_compression_spills_belongs_to_the_bar() -> None:
    image = np.zeros((240, 320), np.uint8)
    image[44:190] = np.random.default_rng(0).integers(60, 200, (146, 320))
    told, stored = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 80])
    assert told
    found = Bars()(cv2.imdecode(stored, cv2.IMREAD_GRAYSCALE))
    assert found is not None and np.abs(np.subtract(found, (0, 44, 320, 190))).max() <= 7


def test_bars_only_shrink() -> None:
    """And no darkness within the picture makes them grow, or go."""
    bars = Bars()
    assert bars(framed(10, 5, 70, 52)) == (10, 5, 70, 52)
    assert bars(framed(20, 4, 70, 52)) == (10, 4, 70, 52)
    assert bars(np.zeros(SIZE, np.uint8)) is None
    assert bars(framed(20, 20, 40, 40)) == (10, 4, 70, 52)
    assert bars(framed(*WHOLE)) is None
    assert bars(framed(10, 5, 70, 52)) is None
    # Another size, or a fresh start.
    assert bars(framed(10, 5, 70, 52)[:55]) == (10, 5, 70, 52)
    bars.reset()
    assert bars(framed(10, 5, 70, 52)) == (10, 5, 70, 52)


def test_real_pictures_have_none(shared) -> None:
    for name in ("msrs", "roadscene_test", "hit_uav/val", "m3svd/0111_1716"):
        paths = sorted((shared / "data" / name / "thermal").iterdir())[::8]
        assert paths, name
        for path in paths:
            assert Bars()(to_grey(read_image(path))) is None, path
