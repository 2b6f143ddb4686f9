"""Metrics against published values, other libraries, brute force and their own mathematics."""

from __future__ import annotations

import json
import math
from collections import Counter

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy
from places import SHARED

from ivfusion_ros import metrics
from ivfusion_ros.errors import ImageError

REFERENCE = SHARED / "reference" / "metrics"
MIN_SIDE = {"SF": 2, "AG": 2, "SSIM": 7, "SSIM_255": 7, "VIF": 41}
repeatable = settings(derandomize=True, deadline=None, max_examples=40)
no_warnings = pytest.mark.filterwarnings("error")
seeds = st.integers(0, 2**32 - 1)


def textured(seed: int, shape: tuple[int, int] = (64, 72)) -> np.ndarray:
    """A uint8 image with structure at several scales, some of it saturated."""
    rng = np.random.default_rng(seed)
    layers = [cv2.GaussianBlur(rng.normal(size=shape), (0, 0), sigma) * sigma for sigma in (0.7, 2.0, 6.0)]
    return np.clip(np.rint(128 + 60 * sum(layers)), 0, 255).astype(np.uint8)


def triple(seed: int = 0, shape: tuple[int, int] = (64, 72)) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two uint8 sources and a fusion that owes something to both."""
    a, b, noise = (textured(3 * seed + i, shape) for i in range(3))
    return a, b, np.rint(0.4 * a + 0.4 * b + 0.2 * noise).astype(np.uint8)


small_triples = st.tuples(st.integers(2, 6), st.integers(2, 6)).flatmap(
    lambda shape: st.tuples(*[st_numpy.arrays(np.uint8, shape)] * 3)
)


def test_options_know_the_names_without_the_functions() -> None:
    assert tuple(metrics.METRICS) == metrics.PAPER_NAMES
    assert tuple(metrics.EYE_METRICS) == metrics.EYE_NAMES


# --- published values


@pytest.mark.parametrize("name", ["01", "10", "20", "40"])
def test_reference_values(name: str) -> None:
    if not REFERENCE.is_dir():
        pytest.skip("needs ../shared/reference/metrics")
    expected = json.loads((REFERENCE / "expected.json").read_text())[name]
    images = [
        cv2.imread(str(REFERENCE / f"{name}_{part}.png"), cv2.IMREAD_GRAYSCALE)
        for part in ("thermal", "visible", "fused")
    ]
    measured = metrics.evaluate(*images)
    assert list(measured) == list(metrics.METRICS)
    # The file has five decimals.
    assert measured == pytest.approx({key: expected[key] for key in measured}, rel=1e-5, abs=1e-5)


# --- other libraries


@pytest.mark.parametrize("seed", range(3))
def test_entropy_against_scikit_image(seed: int) -> None:
    measure = pytest.importorskip("skimage.measure")
    image = textured(seed)
    assert metrics.entropy(image) == pytest.approx(measure.shannon_entropy(image), rel=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_errors_against_scikit_image(seed: int) -> None:
    judge = pytest.importorskip("skimage.metrics")
    a, b, f = triple(seed)
    expected = (judge.mean_squared_error(a, f) + judge.mean_squared_error(b, f)) / 2
    assert metrics.mean_squared_error(a, b, f) == pytest.approx(expected, rel=1e-12)
    psnr = judge.peak_signal_noise_ratio(a, f, data_range=255)
    assert metrics.peak_signal_noise_ratio(a, a, f) == pytest.approx(psnr, rel=1e-12)
    # With two sources it is the ratio of the mean error, not the mean of the ratios.
    assert metrics.peak_signal_noise_ratio(a, b, f) == pytest.approx(10 * math.log10(255**2 / expected))


@pytest.mark.parametrize("data_range", [2.0, 255.0])
@pytest.mark.parametrize("seed", range(3))
def test_ssim_against_scikit_image(seed: int, data_range: float) -> None:
    judge = pytest.importorskip("skimage.metrics")
    a, b, f = (image.astype(float) for image in triple(seed))
    expected = sum(
        judge.structural_similarity(source, f, win_size=7, data_range=data_range) for source in (a, b)
    )
    assert metrics.ssim(a, b, f, data_range=data_range) == pytest.approx(expected, rel=1e-9)


def test_ssim_abbreviations_differ_in_data_range() -> None:
    images = triple()
    assert metrics.METRICS["SSIM"](*images) == metrics.ssim(*images, data_range=2)
    assert metrics.METRICS["SSIM_255"](*images) == metrics.ssim(*images, data_range=255)


@pytest.mark.parametrize("shape", [(64, 72), (41, 41), (57, 90)])
def test_vif_against_sewar(shape: tuple[int, int]) -> None:
    judge = pytest.importorskip("sewar.full_ref")
    a, b, f = triple(1, shape)
    expected = judge.vifp(a, f) + judge.vifp(b, f)
    assert metrics.visual_information_fidelity(a, b, f) == pytest.approx(expected, rel=1e-8)


# --- brute force


def information(x: np.ndarray, y: np.ndarray) -> float:
    """Mutual information as H(x) + H(y) - H(x, y), nats."""

    def entropy(symbols: list[object]) -> float:
        shares = [count / len(symbols) for count in Counter(symbols).values()]
        return -math.fsum(share * math.log(share) for share in shares)

    xs, ys = x.ravel().tolist(), y.ravel().tolist()
    return entropy(xs) + entropy(ys) - entropy(list(zip(xs, ys, strict=True)))


@repeatable
@given(small_triples)
def test_mutual_information_by_counting(images: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    a, b, f = images
    expected = information(f, a) + information(f, b)
    assert metrics.mutual_information(a, b, f) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("shape", [(h, w) for h in range(2, 9) for w in range(2, 9)])
def test_independent_images_share_no_information(shape: tuple[int, int]) -> None:
    rows, columns = np.indices(shape, np.uint8)
    assert 0 <= metrics.mutual_information(rows, rows, columns) < 1e-12


@repeatable
@given(seeds)
def test_correlations_against_corrcoef(seed: int) -> None:
    a, b, f = np.random.default_rng(seed).uniform(0, 255, (3, 5, 7))

    def correlation(x: np.ndarray, y: np.ndarray) -> float:
        return float(np.corrcoef(x.ravel(), y.ravel())[0, 1])

    assert metrics.correlation_coefficient(a, b, f) == pytest.approx(
        (correlation(f, a) + correlation(f, b)) / 2, abs=1e-12
    )
    assert metrics.sum_of_correlations_of_differences(a, b, f) == pytest.approx(
        correlation(f - b, a) + correlation(f - a, b), abs=1e-12
    )


@repeatable
@given(small_triples)
def test_detail_by_loops(images: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    pixels = images[2].tolist()
    height, width = images[2].shape

    def slope(line: list[int], i: int) -> float:
        before, after = max(i - 1, 0), min(i + 1, len(line) - 1)
        return (line[after] - line[before]) / (after - before)

    columns = [list(column) for column in zip(*pixels, strict=True)]
    gradient = math.fsum(
        math.hypot(slope(pixels[y], x), slope(columns[x], y)) / math.sqrt(2)
        for y in range(height)
        for x in range(width)
    )
    across = [(line[i + 1] - line[i]) ** 2 for line in pixels for i in range(width - 1)]
    down = [(line[i + 1] - line[i]) ** 2 for line in columns for i in range(height - 1)]
    frequency = math.sqrt(sum(across) / len(across) + sum(down) / len(down))
    mean = sum(map(sum, pixels)) / images[2].size
    variance = sum((value - mean) ** 2 for line in pixels for value in line) / images[2].size

    assert metrics.average_gradient(images[2]) == pytest.approx(gradient / ((height - 1) * (width - 1)))
    assert metrics.spatial_frequency(images[2]) == pytest.approx(frequency)
    assert metrics.standard_deviation(images[2]) == pytest.approx(math.sqrt(variance))


def edge(image: np.ndarray, y: int, x: int) -> tuple[float, float]:
    """Strength and orientation of the gradient at one pixel, y up, black outside."""
    p = np.pad(image.astype(int), 1)[y : y + 3, x : x + 3].tolist()
    right = p[0][2] + 2 * p[1][2] + p[2][2] - p[0][0] - 2 * p[1][0] - p[2][0]
    up = p[0][0] + 2 * p[0][1] + p[0][2] - p[2][0] - 2 * p[2][1] - p[2][2]
    return math.sqrt(right**2 + up**2), math.atan(up / right) if right else math.pi / 2


@repeatable
@given(small_triples)
def test_qabf_by_loops(images: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    a, b, f = images
    kept = total = 0.0
    for y, x in np.ndindex(f.shape):
        strength_f, angle_f = edge(f, y, x)
        for source in (a, b):
            strength, angle = edge(source, y, x)
            if strength == 0:
                continue
            ratio = min(strength / strength_f, strength_f / strength) if strength_f else 0.0
            agreement = 1 - abs(angle - angle_f) * 2 / math.pi
            quality_strength = 0.9994 / (1 + math.exp(-15 * (ratio - 0.5)))
            quality_angle = 0.9879 / (1 + math.exp(-22 * (agreement - 0.8)))
            kept += strength * quality_strength * quality_angle
            total += strength
    assert metrics.qabf(a, b, f) == pytest.approx(kept / total if total else 0.0, rel=1e-9, abs=1e-12)


# --- mathematics


@no_warnings
@repeatable
@given(seeds)
def test_identical_images(seed: int) -> None:
    image = textured(seed)
    measured = metrics.evaluate(image, image, image)
    perfect_edge = 0.9994 / (1 + math.exp(-7.5)) * 0.9879 / (1 + math.exp(-4.4))
    assert measured["MI"] == pytest.approx(2 * measured["EN"] * math.log(2))
    assert measured["MSE"] == 0
    assert measured["PSNR"] == math.inf
    assert measured["SCD"] == 0
    assert measured["Qabf"] == pytest.approx(perfect_edge)
    for name, value in {"CC": 1, "SSIM": 2, "SSIM_255": 2, "VIF": 2}.items():
        assert measured[name] == pytest.approx(value, abs=1e-9), name


@repeatable
@given(seeds)
def test_sources_are_interchangeable_and_images_may_be_float(seed: int) -> None:
    a, b, f = triple(seed)
    expected = metrics.evaluate(a, b, f)
    assert metrics.evaluate(b, a, f) == pytest.approx(expected, rel=1e-12)
    assert metrics.evaluate(a.astype(np.float32), b.astype(np.float64), f.astype(np.float32)) == expected
    assert all(type(value) is float for value in expected.values())


@repeatable
@given(seeds)
def test_transposed_images_score_alike(seed: int) -> None:
    a, b, f = triple(seed)
    expected, turned = metrics.evaluate(a, b, f), metrics.evaluate(a.T, b.T, f.T)
    # Qabf's orientations do not wrap around, which favours one axis.
    del expected["Qabf"], turned["Qabf"]
    assert turned == pytest.approx(expected, rel=1e-9)


@repeatable
@given(seeds)
def test_sum_of_sources_has_greatest_scd(seed: int) -> None:
    a, b = textured(seed) / 2, textured(seed + 1) / 2
    assert metrics.sum_of_correlations_of_differences(a, b, a + b) == pytest.approx(2)


@pytest.mark.parametrize("seed", range(3))
def test_fidelity_falls_with_blur_and_rises_with_contrast(seed: int) -> None:
    image = textured(seed)
    vif = {
        sigma: metrics.visual_information_fidelity(image, image, blurred(image, sigma)) for sigma in (1, 3)
    }
    assert 2 > vif[1] > vif[3] > 0
    qabf = {sigma: metrics.qabf(image, image, blurred(image, sigma)) for sigma in (1, 3)}
    assert 0.98 > qabf[1] > qabf[3] > 0
    dull = 64 + image / 2
    assert metrics.visual_information_fidelity(dull, dull, image) > 2


def blurred(image: np.ndarray, sigma: float) -> np.ndarray:
    return cv2.GaussianBlur(image, (0, 0), sigma)


@pytest.mark.parametrize(("levels", "bits"), [([7], 0), ([0, 255], 1), ([0, 1, 2, 3], 2), (range(256), 8)])
def test_entropy_of_uniform_levels(levels: list[int], bits: int) -> None:
    image = np.tile(np.array(levels, np.uint8), (3, 1))
    assert metrics.entropy(image) == pytest.approx(bits)
    for offset in (-0.4, 0.4):
        assert metrics.entropy(np.clip(image + offset, 0, 255)) == pytest.approx(bits)


def test_ramp_has_known_detail() -> None:
    ramp = np.tile(3.0 * np.arange(20), (10, 1))
    assert metrics.spatial_frequency(ramp) == pytest.approx(3)
    assert metrics.average_gradient(ramp) == pytest.approx(3 / math.sqrt(2) * 200 / (9 * 19))


# --- constant images


@no_warnings
@pytest.mark.parametrize("level", [0, 1, 255, 77.7])
def test_constant_fusion_carries_nothing(level: float) -> None:
    a, b, _ = triple()
    measured = metrics.evaluate(a, b, np.full(a.shape, float(level)))
    assert all(math.isfinite(value) for value in measured.values())
    for name in ("EN", "SD", "SF", "AG", "MI", "CC", "VIF"):
        assert measured[name] == pytest.approx(0, abs=1e-9), name


@no_warnings
@pytest.mark.parametrize("level", [0, 1, 255, 77.7])
def test_constant_source_adds_nothing(level: float) -> None:
    a, _, f = triple()
    one, both = metrics.evaluate(a, np.full(a.shape, float(level)), f), metrics.evaluate(a, a, f)
    assert all(math.isfinite(value) for value in one.values())
    for name in ("MI", "CC", "VIF"):
        assert one[name] == pytest.approx(both[name] / 2, rel=1e-9), name


@no_warnings
@repeatable
@given(*[st.floats(0, 255)] * 3)
def test_three_constant_images(level_a: float, level_b: float, level_f: float) -> None:
    images = [np.full((41, 41), level) for level in (level_a, level_b, level_f)]
    measured = metrics.evaluate(*images)
    for name in ("EN", "SD", "SF", "AG", "MI", "CC", "SCD", "VIF"):
        assert measured[name] == pytest.approx(0, abs=1e-9), name
    assert not any(math.isnan(value) for value in measured.values())
    assert math.isfinite(measured["PSNR"]) == (measured["MSE"] > 0)


@no_warnings
def test_sources_of_a_black_scene_have_no_edges() -> None:
    black = np.zeros((8, 8), np.uint8)
    assert metrics.qabf(black, black, textured(0, (8, 8))) == 0


# --- what is accepted


@pytest.mark.parametrize("name", metrics.METRICS)
def test_shapes_must_agree(name: str) -> None:
    a, b, f = triple()
    for images in ((a[1:], b, f), (a, b[:, 1:], f), (a, b, f[1:]), (a.T, b, f)):
        with pytest.raises(ImageError, match="expected one shape"):
            metrics.METRICS[name](*images)


@pytest.mark.parametrize("name", metrics.METRICS)
def test_smallest_image(name: str) -> None:
    side = MIN_SIDE.get(name, 1)
    assert math.isfinite(metrics.METRICS[name](*triple(0, (side, side))))
    for shape in ((side - 1, 64), (64, side - 1)):
        with pytest.raises(ImageError, match=f"needs {side} pixels"):
            metrics.METRICS[name](*[np.zeros(shape, np.uint8)] * 3)


@no_warnings
@pytest.mark.parametrize("name", metrics.METRICS)
@pytest.mark.parametrize(
    ("bad", "complaint"),
    [
        (np.zeros((64, 72, 3), np.uint8), r"found shape \(64, 72, 3\)"),
        ([[0, 1], [2, 3]], "found list"),
        (np.zeros((64, 72), np.uint16), "found uint16"),
        (np.zeros((64, 72), bool), "found bool"),
        (np.full((64, 72), 255.5), r"found 255.5\.\.255.5"),
        (np.full((64, 72), -1, np.float32), r"found -1\.\.-1"),
        (np.full((64, 72), math.nan), r"found nan\.\.nan"),
        (np.full((64, 72), math.inf), r"found inf\.\.inf"),
    ],
)
def test_unfit_images_are_refused(name: str, bad: object, complaint: str) -> None:
    for position in range(3):
        images: list[object] = list(triple())
        images[position] = bad
        with pytest.raises(ImageError, match=complaint):
            metrics.METRICS[name](*images)  # type: ignore[arg-type]


@pytest.mark.parametrize("dtype", [np.uint8, np.float64])
def test_inputs_stay_as_they_were(dtype: type) -> None:
    images = [image.astype(dtype) for image in triple()]
    for image in images:
        image.flags.writeable = False
    assert metrics.evaluate(*images) == metrics.evaluate(*images)


def test_strided_views_are_accepted() -> None:
    colour = [np.dstack([image] * 3) for image in triple()]
    assert metrics.evaluate(*[image[..., 1] for image in colour]) == metrics.evaluate(*triple())
