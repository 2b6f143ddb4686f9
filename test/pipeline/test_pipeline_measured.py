"""What the thermal camera measured, in the reference's pixels: its values where it sees, none elsewhere."""

from dataclasses import replace

import numpy as np
import pytest
from pipeline_samples import configure, make_pair, rig_file, with_infos

from ivfusion_ros.config.pipeline import OutputsConfig, RegistrationConfig, ThermalConfig
from ivfusion_ros.geometry.calibration import Calibration, write_calibration
from ivfusion_ros.pipeline.build import build_pipeline
from ivfusion_ros.registration.scene.dense import Residual
from ivfusion_ros.types import FramePair, FusionResult

RADIOMETRIC = ThermalConfig(scaling="radiometric", range_min=270.0, range_max=320.0)


def counts_pair(size: tuple[int, int] = (96, 64), dtype: type = np.uint16) -> FramePair:
    pair = make_pair(thermal_size=size)
    counts = np.random.default_rng(3).integers(28000, 31000, size[::-1]).astype(dtype)
    return replace(pair, thermal=replace(pair.thermal, image=counts))


def shifted(tmp_path, x: int = 5, y: int = 3) -> RegistrationConfig:
    path = tmp_path / "shift.yaml"
    matrix = np.array([[1.0, 0, x], [0, 1, y], [0, 0, 1]])
    write_calibration(path, Calibration((96, 64), (96, 64), rgb_from_thermal=matrix))
    return RegistrationConfig(str(path))


def process(config, pair: FramePair) -> FusionResult:
    with build_pipeline(config) as pipeline:
        pipeline.measures = lambda: True
        return pipeline.process(pair)


def test_nothing_is_measured_until_it_is_asked_for(blend_model) -> None:
    asked = []
    with build_pipeline(configure(blend_model)) as pipeline:
        assert pipeline.process(counts_pair()).measured is None
        pipeline.measures = lambda: bool(asked.append(0) or len(asked) > 1)
        assert pipeline.process(counts_pair()).measured is None
        assert pipeline.process(counts_pair()).measured is not None
        assert pipeline.rgb_only(counts_pair().rgb).result.measured is None
    assert len(asked) == 2


@pytest.mark.parametrize(("dtype", "least"), [(np.uint16, 0), (np.int16, -32768), (np.uint8, 0)])
def test_counts_keep_their_type_and_are_least_where_nothing_is_seen(
    blend_model, tmp_path, dtype, least
) -> None:
    pair = counts_pair(dtype=dtype)
    measured = process(configure(blend_model, registration=shifted(tmp_path)), pair).measured
    expected = np.full((64, 96), least, dtype)
    expected[3:, 5:] = pair.thermal.image[:-3, :-5]
    assert measured.dtype == dtype
    np.testing.assert_array_equal(measured, expected)


def test_a_radiometric_camera_gives_kelvin_or_counts(blend_model, tmp_path) -> None:
    pair = counts_pair()
    config = configure(blend_model, registration=shifted(tmp_path), thermal=RADIOMETRIC)
    measured = process(config, pair).measured
    assert measured.dtype == np.float32 and np.isnan(measured[:3]).all() and np.isnan(measured[:, :5]).all()
    np.testing.assert_allclose(measured[3:, 5:], pair.thermal.image[:-3, :-5] * 0.01, rtol=1e-6)
    counts = process(replace(config, outputs=OutputsConfig(registered_unit="counts")), pair).measured
    np.testing.assert_array_equal(counts[3:, 5:], pair.thermal.image[:-3, :-5])


def test_floats_in_kelvin_come_out_as_they_came_in(blend_model) -> None:
    pair = make_pair()
    kelvin = np.random.default_rng(1).uniform(280, 310, (64, 96)).astype(np.float32)
    pair = replace(pair, thermal=replace(pair.thermal, image=kelvin))
    measured = process(configure(blend_model), pair).measured
    np.testing.assert_allclose(measured, kelvin, rtol=1e-6)


def test_coarse_pixels_give_no_value_that_was_not_measured(blend_model) -> None:
    """What is shown is steepened before it is interpolated; what is measured is not."""
    pair = counts_pair((24, 16))
    measured = process(configure(blend_model), pair).measured
    assert measured.shape == (64, 96)
    assert measured.min() >= pair.thermal.image.min() and measured.max() <= pair.thermal.image.max()
    # The pixel in the middle of a thermal one, by the definition of bilinear interpolation.
    blocks = measured.reshape(16, 4, 24, 4).astype(float)
    left, here = pair.thermal.image[:, :-1].astype(float), pair.thermal.image[:, 1:].astype(float)
    found = blocks[5, 1, 1:, 1]
    rows = [image[4] * 0.125 + image[5] * 0.875 for image in (left, here)]
    np.testing.assert_allclose(found, rows[0] * 0.125 + rows[1] * 0.875, atol=1)


def test_a_silent_rgb_camera_changes_nothing(blend_model, tmp_path) -> None:
    pair = counts_pair()
    with build_pipeline(configure(blend_model, registration=shifted(tmp_path))) as pipeline:
        pipeline.measures = lambda: True
        both = pipeline.process(pair).measured
        alone = pipeline.thermal_only(pair.thermal, (96, 64)).result.measured
    np.testing.assert_array_equal(alone, both)


def test_the_thermal_reference_has_its_own_pixels(blend_model, tmp_path) -> None:
    pair = counts_pair()
    registration = replace(shifted(tmp_path), reference="thermal")
    measured = process(configure(blend_model, registration=registration), pair).measured
    np.testing.assert_array_equal(measured, pair.thermal.image)


def test_black_bars_are_not_measured(blend_model) -> None:
    pair = make_pair()
    barred = np.asarray(np.clip(pair.thermal.image, 40, 255))
    barred[:12] = barred[-12:] = 0
    pair = replace(pair, thermal=replace(pair.thermal, image=barred))
    config = configure(blend_model, outputs=OutputsConfig())
    with build_pipeline(config) as pipeline:
        pipeline.measures = lambda: True
        results = [pipeline.process(pair) for _ in range(40)]
    shown = results[-1]
    assert shown.registration.seen_share < 0.7
    np.testing.assert_array_equal(shown.measured[12:-12], barred[12:-12])
    assert not shown.measured[:12].any()


def test_depth_and_residual_move_it_as_they_move_what_is_shown(blend_model, tmp_path, monkeypatch) -> None:
    near = np.full((64, 96), 2.0, np.float32)
    pair = with_infos(make_pair(), depth=near)
    config = configure(blend_model, registration=replace(rig_file(tmp_path), depth=True))
    result = process(config, pair)
    inside = result.measured > 0
    assert inside.mean() > 0.8
    np.testing.assert_allclose(result.measured[inside], result.thermal[inside], atol=1)
    residual = Residual(np.full((64, 96), 2.0, np.float32), np.zeros((64, 96), np.float32), 1.0, 1.0)
    monkeypatch.setattr("ivfusion_ros.registration.registrar.dense_residual", lambda *_: residual)
    dense = configure(blend_model, registration=replace(shifted(tmp_path), residual="dense"))
    moved, still = (
        process(dense, counts_pair()),
        process(configure(blend_model, registration=shifted(tmp_path)), counts_pair()),
    )
    np.testing.assert_array_equal(moved.measured[3:, 5:-3], still.measured[3:, 7:-1])
