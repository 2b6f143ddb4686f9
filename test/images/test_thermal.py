import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ivfusion_ros.config.pipeline import ThermalConfig
from ivfusion_ros.errors import ImageError
from ivfusion_ros.images.encodings import to_grey
from ivfusion_ros.images.files import read_image
from ivfusion_ros.images.thermal import ThermalScaler

SECOND = 1_000_000_000


def scene(low=7000, high=9000, shape=(64, 80), seed=0):
    """Counts spread evenly between low and high, in random places."""
    counts = np.linspace(low, high, shape[0] * shape[1])
    return np.random.default_rng(seed).permutation(counts).reshape(shape).round().astype(np.uint16)


def stretched(image, low, high):
    """The definition of a linear stretch, in float64."""
    return np.clip((image.astype(np.float64) - low) * 255 / (high - low), 0, 255)


def white_of(scaler, image, stamp_ns, low=7000):
    """Where the stretch ends, read from a grey that is inside of it."""
    out = scaler(image, stamp_ns).astype(float)
    inside = (out > 60) & (out < 200)
    return np.median((image[inside].astype(float) - low) * 255 / out[inside]) + low


def test_first_frame_is_stretched_between_its_percentiles():
    image = scene()
    config = ThermalConfig(percentile_low=2.0, percentile_high=90.0)
    out = ThermalScaler(config)(image, 123)
    assert out.dtype == np.uint8 and out.shape == image.shape
    expected = stretched(image, *np.percentile(image, (2, 90)))
    assert np.abs(out - expected).max() <= 0.51


def test_a_large_image_is_sampled_but_scaled_the_same():
    image = scene(shape=(512, 640))
    out = ThermalScaler(ThermalConfig())(image, 0)
    assert np.abs(out - stretched(image, *np.percentile(image, (0.5, 99.5)))).max() <= 3


def test_flat_scene_keeps_its_noise_small():
    noise = np.random.default_rng(0).integers(8000, 8004, (64, 80)).astype(np.uint16)
    out = ThermalScaler(ThermalConfig(min_span=100))(noise, 0)
    assert np.ptp(out) <= math.ceil(3 * 255 / 100)
    assert 110 <= out.mean() <= 145


@pytest.mark.parametrize("value", [0, 65535])
def test_constant_extremes_do_not_overflow(value):
    out = ThermalScaler(ThermalConfig())(np.full((8, 8), value, np.uint16), 0)
    assert (out == out[0, 0]).all() and 126 <= out[0, 0] <= 129


def test_smoothing_follows_its_time_constant():
    scaler = ThermalScaler(ThermalConfig(smoothing_s=2.0, percentile_low=0, percentile_high=100))
    scaler(scene(7000, 9000), 0)
    white = white_of(scaler, scene(7000, 10000), 1 * SECOND)
    assert white == pytest.approx(9000 + 1000 * (1 - math.exp(-0.5)), abs=15)


def test_smoothing_does_not_depend_on_the_rate():
    whites = []
    for frames in (1, 5, 50):
        scaler = ThermalScaler(ThermalConfig(smoothing_s=1.0, percentile_low=0, percentile_high=100))
        scaler(scene(7000, 9000), 0)
        for number in range(1, frames + 1):
            white = white_of(scaler, scene(7000, 10000), number * SECOND // frames)
        whites.append(white)
    assert whites == pytest.approx([9632, 9632, 9632], abs=15)


def test_no_flicker_from_a_passing_warm_object():
    warm = scene(7000, 9000)
    warm[:4] = 11000
    scaler = ThermalScaler(ThermalConfig())
    means = []
    for number in range(20):
        image = warm if number % 2 else scene(7000, 9000)
        means.append(scaler(image, number * SECOND // 25)[8:].mean())
    assert np.abs(np.diff(means)).max() < 8
    plain = [ThermalScaler(ThermalConfig())(image, 0)[8:].mean() for image in (warm, scene(7000, 9000))]
    assert abs(plain[0] - plain[1]) > 50, "the scenes would flicker without smoothing"


def test_no_smoothing_on_request():
    config = ThermalConfig(smoothing_s=0.0)
    scaler = ThermalScaler(config)
    scaler(scene(7000, 9000), 0)
    image = scene(7500, 9500)
    np.testing.assert_array_equal(scaler(image, 1), ThermalScaler(config)(image, 0))


def fresh(image):
    return ThermalScaler(ThermalConfig())(image, 0)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ((7000, 9000), (20000, 22000)),
        ((20000, 22000), (7000, 9000)),
        ((7000, 9000), (8800, 12000)),
        ((7000, 60000), (7000, 8000)),
        ((7000, 8000), (7000, 60000)),
    ],
)
def test_a_new_scene_is_seen_at_once(before, after):
    scaler = ThermalScaler(ThermalConfig(smoothing_s=60.0))
    scaler(scene(*before), 0)
    np.testing.assert_array_equal(scaler(scene(*after), SECOND // 25), fresh(scene(*after)))


def test_a_moderate_change_is_not_a_new_scene():
    scaler = ThermalScaler(ThermalConfig())
    scaler(scene(7000, 9000), 0)
    assert not np.array_equal(scaler(scene(7500, 9500), SECOND // 25), fresh(scene(7500, 9500)))


def test_time_that_jumps_back_starts_afresh():
    scaler = ThermalScaler(ThermalConfig())
    scaler(scene(7000, 9000), 10 * SECOND)
    np.testing.assert_array_equal(scaler(scene(7500, 9500), 9 * SECOND), fresh(scene(7500, 9500)))


def test_a_long_gap_starts_afresh():
    scaler = ThermalScaler(ThermalConfig())
    scaler(scene(7000, 9000), 0)
    after = scaler(scene(7500, 9500), 20 * SECOND)
    assert np.abs(after.astype(int) - fresh(scene(7500, 9500))).max() <= 1


def test_reset_starts_afresh():
    scaler = ThermalScaler(ThermalConfig())
    scaler(scene(7000, 9000), 0)
    scaler.reset()
    np.testing.assert_array_equal(scaler(scene(7500, 9500), 1), fresh(scene(7500, 9500)))


def test_fixed_range_in_counts():
    # Not 1500: where a half is rounded to depends on the CPU.
    image = np.array([[0, 999, 1000, 1501, 2000, 65535]], np.uint16)
    scaler = ThermalScaler(ThermalConfig(scaling="fixed", range_min=1000.0, range_max=2000.0))
    assert scaler(image, 0).tolist() == [[0, 0, 0, 128, 255, 255]]
    eight = np.array([[0, 50, 100, 255]], np.uint8)
    scaler = ThermalScaler(ThermalConfig(scaling="fixed", range_min=50.0, range_max=100.0))
    assert scaler(eight, 0).tolist() == [[0, 0, 255, 255]]


@settings(max_examples=50, deadline=None)
@given(
    low=st.floats(0, 60000),
    span=st.floats(1, 60000),
    values=st.lists(st.integers(0, 65535), min_size=1, max_size=20),
)
def test_fixed_range_against_its_definition(low, span, values):
    image = np.array([values], np.uint16)
    out = ThermalScaler(ThermalConfig(scaling="fixed", range_min=low, range_max=low + span))(image, 0)
    # float32 arithmetic inside OpenCV: half a level of rounding and a little of cancellation.
    tolerance = 0.5 + 65535 * 255 / span * 2e-7
    assert np.abs(out - stretched(image, low, low + span)).max() <= tolerance


def test_radiometric_range_in_kelvin():
    config = ThermalConfig(
        scaling="radiometric", kelvin_per_count=0.04, kelvin_offset=-20.0, range_min=280.0, range_max=320.0
    )
    scaler = ThermalScaler(config)
    image = np.array([[7000, 7500, 8000, 8500, 9000]], np.uint16)
    kelvin = scaler.kelvin(image)
    assert kelvin.dtype == np.float32
    np.testing.assert_allclose(kelvin, [[260.0, 280.0, 300.0, 320.0, 340.0]], rtol=1e-6)
    assert scaler(image, 0).tolist() == [[0, 0, 128, 255, 255]]
    with pytest.raises(ImageError, match="radiometric counts"):
        scaler.kelvin(np.zeros((4, 4, 3), np.uint8))


def test_temperatures_without_a_range_are_stretched_by_percentiles():
    # 0 to 65535 K would be black throughout.
    image = np.linspace(28000, 32000, 64 * 64).reshape(64, 64).astype(np.uint16)
    scaled = ThermalScaler(ThermalConfig(scaling="radiometric"))(image, 0)
    np.testing.assert_array_equal(scaled, ThermalScaler(ThermalConfig())(image, 0))
    assert scaled.min() == 0 and scaled.max() == 255


@pytest.mark.parametrize("image", [scene(), (scene() // 40).astype(np.uint8)])
def test_black_hot_is_the_negative(image):
    white = ThermalScaler(ThermalConfig())(image, 0)
    black = ThermalScaler(ThermalConfig(polarity="black_hot"))(image, 0)
    np.testing.assert_array_equal(black, 255 - white)


def test_false_colour_becomes_luminance():
    rgb = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    out = ThermalScaler(ThermalConfig())(rgb, 0)
    assert np.abs(out - rgb @ np.array([0.299, 0.587, 0.114])).max() <= 1


@pytest.mark.parametrize("image", [np.zeros((4, 4)), np.zeros((0, 4), np.uint8), np.zeros(4, np.uint16)])
def test_other_images_are_errors(image):
    with pytest.raises(ImageError, match="expected"):
        ThermalScaler(ThermalConfig())(image, 0)


def test_live_change_of_parameters():
    scaler = ThermalScaler(ThermalConfig())
    image = scene()
    scaler(image, 0)
    fixed = ThermalConfig(scaling="fixed", range_min=7000.0, range_max=9000.0)
    scaler.set_config(fixed)
    np.testing.assert_array_equal(scaler(image, 1), ThermalScaler(fixed)(image, 1))


def test_same_frames_same_bytes():
    frames = [(scene(7000 + 40 * n, 9000 + 90 * n, seed=n), n * 37_000_000) for n in range(12)]
    runs = []
    for _ in range(2):
        scaler = ThermalScaler(ThermalConfig())
        runs.append(b"".join(scaler(image, stamp).tobytes() for image, stamp in frames))
    assert runs[0] == runs[1]


def test_input_is_not_changed():
    image = scene()
    copy = image.copy()
    ThermalScaler(ThermalConfig(polarity="black_hot"))(image, 0)
    np.testing.assert_array_equal(image, copy)


# --- 8 bits ---------------------------------------------------------------------------------------


def grey(low, high, seed=0):
    return scene(low, high, seed=seed).astype(np.uint8)


@pytest.mark.parametrize(("low", "high"), [(0, 255), (100, 179), (20, 26), (93, 93), (0, 0)])
def test_eight_bits_that_use_their_range_or_show_nothing_pass_as_they_are(low, high):
    """80 levels and more, or fewer than 8; the very bytes, in any order."""
    scaler = ThermalScaler(ThermalConfig())
    for stamp_ns in (0, SECOND, 2 * SECOND):
        image = grey(low, high, seed=stamp_ns % 7)
        out = scaler(image, stamp_ns)
        assert np.shares_memory(out, image) and np.array_equal(out, image)


def test_flat_eight_bits_are_stretched_like_sixteen(caplog):
    scaler = ThermalScaler(ThermalConfig())
    with caplog.at_level("INFO"):
        for seed in range(3):
            image = grey(90, 165, seed)
            low, high = np.percentile(image, (0.5, 99.5))
            assert np.abs(scaler(image, 0) - stretched(image, low, high)).max() <= 0.51
            scaler.reset()
    assert [record.getMessage() for record in caplog.records] == [
        "thermal images use only 76 of 256 grey levels and are stretched (thermal.stretch_8bit_below: 80; "
        "0 leaves them as they are)"
    ]


def test_a_few_dead_pixels_make_no_range_but_a_distant_person_does():
    image = np.tile(grey(100, 140), (8, 8))
    image[101, 7:10], image[202, 30] = 255, 0
    assert ThermalScaler(ThermalConfig())(image, 0)[0, 0] != image[0, 0]
    image[100:112, 50:54] = 250
    assert np.array_equal(ThermalScaler(ThermalConfig())(image, 0), image)


def gain(scaler, image, stamp_ns):
    return np.ptp(scaler(image, stamp_ns).astype(int)) / np.ptp(image.astype(int))


def test_flatness_has_a_hysteresis():
    """As it is at first, stretched from 79 levels on, then also at up to 119, until there are 120."""
    scaler = ThermalScaler(ThermalConfig(smoothing_s=0.0))
    gains = [
        gain(scaler, grey(40, 39 + levels), number * SECOND)
        for number, levels in enumerate((90, 80, 79, 90, 119, 79, 120, 90))
    ]
    assert [value > 1.5 for value in gains] == [False, False, True, True, True, True, False, False]
    assert [value == 1.0 for value in gains[:2] + gains[-2:]] == [True] * 4


def test_flatness_begins_and_ends_smoothly():
    scaler = ThermalScaler(ThermalConfig(smoothing_s=1.0))
    flat, whole = grey(90, 160), grey(40, 200)
    gains = [gain(scaler, flat, 0)]
    assert gains[0] > 3
    for number in range(1, 100):
        image = whole if number < 80 else flat
        gains.append(gain(scaler, image, number * SECOND // 10))
    assert gains[79] == 1.0
    # The new picture is at once wider than the stretch, which then gives way.
    assert max(-np.diff(gains[1:80])) < 0.1 and max(np.diff(gains[80:])) < 0.2


def test_flat_images_pass_where_that_is_switched_off():
    image = grey(100, 140)
    scaler = ThermalScaler(ThermalConfig(stretch_8bit_below=0))
    assert np.array_equal(scaler(image, 0), image)
    # Live, and over time as all else.
    scaler.set_config(ThermalConfig(smoothing_s=0.5))
    assert 1.0 < np.ptp(scaler(image, SECOND // 10)) / 40 < 4.0


def test_real_images_that_use_their_range(shared):
    """As many as 1 of 1035 of MSRS is flat: no figure of a benchmark hangs on it."""
    flat = []
    for name in ("msrs", "roadscene_test", "roadscene_train", "m3svd/0114_1609"):
        paths = sorted((shared / "data" / name / "thermal").iterdir())
        for path in paths[::10] if len(paths) > 100 else paths:
            image = to_grey(read_image(path))
            if not np.array_equal(ThermalScaler(ThermalConfig())(image, 0), image):
                flat.append(path.stem)
    assert set(flat) <= {"01240N"}


def holes(image, kind):
    """What sensors and drivers add to a scene."""
    image = image.copy()
    if kind == "border of zeros":
        image[:3], image[-3:], image[:, :4], image[:, -4:] = 0, 0, 0, 0
    elif kind == "row at the top":
        image[10] = 65535
    elif kind == "round window":
        y, x = np.mgrid[: image.shape[0], : image.shape[1]]
        image[(y - 32) ** 2 + (x - 40) ** 2 > 30**2] = 0
    else:
        image[::7, ::5], image[3::9, 1::6] = 0, 65535
    return image


@pytest.mark.parametrize("kind", ["border of zeros", "row at the top", "round window", "dead pixels"])
def test_dead_pixels_and_borders_take_no_part_of_the_stretch(kind):
    image = scene()
    broken = holes(image, kind)
    alive = (broken != 0) & (broken != 65535)
    plain = ThermalScaler(ThermalConfig())(image, 0)
    out = ThermalScaler(ThermalConfig())(broken, 0)
    assert len(np.unique(out[alive])) > 200
    assert np.abs(out[alive].astype(int) - plain[alive]).max() <= 3
    assert not out[broken == 0].any() and (out[broken == 65535] == 255).all()


@pytest.mark.parametrize("value", [0, 65535])
def test_nothing_but_dead_pixels_is_an_image_all_the_same(value):
    out = ThermalScaler(ThermalConfig())(np.full((8, 8), value, np.uint16), 0)
    assert len(np.unique(out)) == 1
