"""What is done to a thermal camera's images before anybody looks at them."""

import logging

import numpy as np
import pytest

from ivfusion_ros.config.pipeline import ThermalConfig
from ivfusion_ros.errors import ConfigError, ImageError
from ivfusion_ros.images.thermal import ThermalScaler
from ivfusion_ros.images.thermal_input import ThermalInput
from ivfusion_ros.types import CameraInfo, Frame

SIZE = (80, 60)


def smooth(low=29000.0, high=31000.0):
    """A scene of temperatures or counts without noise."""
    y, x = np.mgrid[: SIZE[1], : SIZE[0]]
    wave = 0.5 + 0.5 * np.sin(x / 9) * np.cos(y / 7)
    return low + (high - low) * wave


def counts(**span):
    return smooth(**span).astype(np.uint16)


def said(caplog, text):
    return sum(text in record.getMessage() for record in caplog.records)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16])
def test_what_needs_nothing_passes_as_it_is(dtype, caplog):
    frame = Frame(smooth(20, 120).astype(dtype), 5)
    assert ThermalInput(ThermalConfig())(frame) is frame
    assert not caplog.records


def test_crop_leaves_out_telemetry_and_moves_the_principal_point():
    scene = counts()
    whole = np.vstack([scene, np.zeros((2, SIZE[0]), np.uint16)])
    k = (100.0, 0.0, 40.0, 0.0, 100.0, 31.0, 0.0, 0.0, 1.0)
    info = CameraInfo(80, 62, k=k)
    crop = ThermalInput(ThermalConfig(crop=(10, 5, 60, 55)))
    frame = crop(Frame(whole, 7, "thermal", info))
    np.testing.assert_array_equal(frame.image, scene[5:60, 10:70])
    assert (frame.stamp_ns, frame.frame_id, crop.size((80, 62))) == (7, "thermal", (60, 55))
    assert frame.camera_info is not None
    assert (frame.camera_info.width, frame.camera_info.height) == (60, 55)
    assert (frame.camera_info.k[2], frame.camera_info.k[5]) == (30.0, 26.0)
    # A camera_info that is of the cropped image already.
    own = CameraInfo(60, 55, k=k)
    assert crop(Frame(whole, 7, "thermal", own)).camera_info is own


def test_a_crop_that_does_not_fit_says_so():
    with pytest.raises(ImageError, match=r"80x60, too small for thermal\.crop, 80x61 at \(0, 0\)"):
        ThermalInput(ThermalConfig(crop=(0, 0, 80, 61)))(Frame(counts(), 0))


@pytest.mark.parametrize("crop", [(1, 2, 3), (0, 0, 0, 5)])
def test_a_crop_is_four_numbers(crop):
    with pytest.raises(ConfigError, match=r"thermal\.crop.*x, y, width, height"):
        ThermalConfig(crop=crop)


def test_sizes_with_rows_that_are_no_scene_are_told_once(caplog):
    known = ThermalInput(ThermalConfig())
    for _ in range(3):
        known(Frame(np.zeros((384, 256), np.uint8), 0))
    assert said(caplog, "[0, 192, 256, 192] for the counts below") == 1
    ThermalInput(ThermalConfig(crop=(0, 0, 256, 192)))(Frame(np.zeros((384, 256), np.uint8), 0))
    assert len(caplog.records) == 1


@pytest.mark.parametrize("order", ["as_sent", "swapped"])
def test_the_wrong_byte_order_is_told_and_the_right_one_is_not(order, caplog):
    sent = counts().byteswap() if order == "swapped" else counts()
    right = ThermalInput(ThermalConfig(byte_order=order))
    np.testing.assert_array_equal(right(Frame(sent, 0)).image, counts())
    assert not caplog.records
    other = {"as_sent": "swapped", "swapped": "as_sent"}[order]
    wrong = ThermalInput(ThermalConfig(byte_order=other))
    wrong(Frame(sent, 0))
    wrong(Frame(sent, 1))
    assert said(caplog, f"set thermal.byte_order={order}") == 1


@pytest.mark.parametrize(
    "image",
    [
        np.random.default_rng(0).integers(0, 65536, (60, 80)).astype(np.uint16),
        smooth(0, 255).astype(np.uint8).astype(np.uint16) << 8,
        np.full((60, 80), 4660, np.uint16),
        (counts() + np.random.default_rng(1).normal(0, 150, (60, 80))).astype(np.uint16),
    ],
    ids=["noise", "8 bits above", "flat", "noisy scene"],
)
def test_no_word_where_either_order_may_be_right(image, caplog):
    ThermalInput(ThermalConfig())(Frame(image, 0))
    assert not caplog.records


@pytest.mark.parametrize(
    ("low", "high", "unit", "words"),
    [
        (280.0, 310.0, "kelvin", "taken for kelvin"),
        (-5.0, 36.0, "celsius", "taken for degrees Celsius"),
        (7000.0, 9000.0, "counts", "taken for counts"),
        (0.0, 1.0, "normalised", "taken for shares of the full range"),
    ],
)
def test_units_of_floats(low, high, unit, words, caplog):
    caplog.set_level(logging.INFO)
    values = smooth(low, high).astype(np.float32)
    guess, told = ThermalInput(ThermalConfig()), ThermalInput(ThermalConfig(float_unit=unit))
    image = guess(Frame(values, 0)).image
    assert said(caplog, words) == 1
    np.testing.assert_array_equal(image, told(Frame(values, 0)).image)
    assert len(caplog.records) == 1
    assert guess.tells_kelvin == told.tells_kelvin == (unit in ("kelvin", "celsius"))
    kelvin = ThermalScaler(ThermalConfig()).kelvin(image)
    expected = {
        "kelvin": values,
        "celsius": values + 273.15,
        "counts": 0.01 * values,
        "normalised": 655.35 * values,
    }[unit]
    np.testing.assert_allclose(kelvin, expected, atol=1e-3, rtol=0)


def test_a_unit_stays_until_reset():
    unit = ThermalInput(ThermalConfig())
    unit(Frame(smooth(20, 40).astype(np.float32), 0))
    hot = unit(Frame(smooth(200, 400).astype(np.float32), 1)).image
    assert hot.max() == pytest.approx((400 + 273.15) / 0.01, rel=1e-3)
    unit.reset()
    assert unit(Frame(smooth(200, 400).astype(np.float32), 2)).image.max() == pytest.approx(40000, rel=1e-3)


def test_what_is_not_known_of_floats_does_not_widen_the_range():
    values = smooth(280, 310).astype(np.float32)
    broken = values.copy()
    broken[:4], broken[4, :5], broken[5, 0], broken[6, 0] = 0, np.nan, np.inf, -np.inf
    broken[7, 0], broken[7, 1] = -1e38, 3e38
    image = ThermalInput(ThermalConfig(float_unit="kelvin")).counts(broken)
    assert image.min() > 28000 - 1 and image.max() < 31000 + 1
    np.testing.assert_allclose(image[8:], 100 * values[8:], rtol=1e-6)
    with pytest.raises(ImageError, match="zeros, NaN, infinities"):
        ThermalInput(ThermalConfig()).counts(np.full((4, 4), np.nan, np.float32))


@pytest.mark.parametrize("sent", ["32FC1 kelvin", "16SC1 tenths of a degree", "mono16"])
def test_the_hottest_are_the_brightest(sent):
    kelvin = smooth(285, 305)
    frame, config = {
        "32FC1 kelvin": (kelvin.astype(np.float32), ThermalConfig()),
        "16SC1 tenths of a degree": (((kelvin - 273.15) * 10).astype(np.int16), ThermalConfig(min_span=1)),
        "mono16": ((kelvin * 100).astype(np.uint16), ThermalConfig()),
    }[sent]
    grey = ThermalScaler(config)(ThermalInput(config).counts(frame), 0)
    assert np.ptp(grey) == 255
    hottest = kelvin >= np.percentile(kelvin, 98)
    assert grey[hottest].min() >= np.percentile(grey, 96)
