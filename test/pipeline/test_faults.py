"""Faults put into sound recordings, and sound recordings without any."""

from dataclasses import replace
from itertools import pairwise

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from places import SHARED

from ivfusion_ros.config.parameters import iter_parameters, make_config
from ivfusion_ros.errors import ConfigError
from ivfusion_ros.pipeline.faults import LABELS, FaultConfig, FaultMonitor, FaultReport
from ivfusion_ros.simulate import RgbConfig, RigConfig, SceneConfig, Simulator, ThermalCameraConfig
from ivfusion_ros.types import Frame

DATA = SHARED / "data"
RATE_HZ = 25.0
SOUND = FaultReport()


def simulate(illumination, seconds, *, shutter=(0.0, 0.4), traffic=True):
    """(thermal, RGB) frames at the same true times."""
    interval_s, length_s = shutter
    thermal = ThermalCameraConfig(
        width=192, height=160, shutter_interval_s=interval_s, shutter_length_s=length_s, jitter_ms=0.0
    )
    rig = RigConfig(rgb=RgbConfig(width=192, height=144, jitter_ms=0.0), thermal=thermal)
    people, cars = (9, 6) if traffic else (0, 0)
    simulator = Simulator(SceneConfig(illumination=illumination, people=people, cars=cars), rig)
    times = [index / RATE_HZ for index in range(round(seconds * RATE_HZ))]
    return [(simulator.frame(time_s, "thermal"), simulator.frame(time_s, "rgb")) for time_s in times]


@pytest.fixture(scope="module")
def street():
    return simulate("day", 3.2)


@pytest.fixture(scope="module")
def still():
    return simulate("day", 2.4, traffic=False)


def reports(pairs, config=None):
    monitor = FaultMonitor(config or FaultConfig())
    return [monitor.update(*pair) for pair in pairs]


def with_fault(pairs, camera, fault, first_s, last_s):
    """fault(frame, all frames of the camera, index) -> image, between two times."""
    index_of = 0 if camera == "thermal" else 1
    frames = [pair[index_of] for pair in pairs]
    changed = []
    for index, pair in enumerate(pairs):
        frame = frames[index]
        if first_s <= index / RATE_HZ < last_s:
            frame = replace(frame, image=fault(frame.image, frames, index))
        changed.append((frame, pair[1]) if camera == "thermal" else (pair[0], frame))
    return changed


def noisy(level, sigma):
    def fault(image, _frames, index):
        random = np.random.default_rng(index)
        values = level + sigma * random.standard_normal(image.shape)
        return np.clip(values, 0, np.iinfo(image.dtype).max).astype(image.dtype)

    return fault


def frozen_at(seconds):
    return lambda _image, frames, _index: frames[round(seconds * RATE_HZ)].image


def overexposed(image, _frames, _index):
    return np.clip(image.astype(int) * 3 + 120, 0, 255).astype(np.uint8)


# --- no false alarms ------------------------------------------------------------------------------


@pytest.mark.parametrize("illumination", ["dusk", "night"])
def test_a_sound_street_has_no_fault(illumination):
    assert set(reports(simulate(illumination, 1.2))) == {SOUND}


def test_a_sound_street_by_day_has_no_fault(street, still):
    assert set(reports(street)) == {SOUND}
    assert set(reports(still)) == {SOUND}


def read_pairs(thermal_paths):
    for index, path in enumerate(thermal_paths):
        rgb = cv2.imread(str(path.parents[1] / "rgb" / path.name))[:, :, ::-1]
        stamp_ns = index * 33_333_333
        yield Frame(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE), stamp_ns), Frame(rgb, stamp_ns)


@pytest.mark.parametrize("names", ["m3svd/*/thermal/*", "msrs/thermal/*N.webp", "msrs/thermal/*D.webp"])
def test_real_images_have_no_fault(names):
    paths = sorted(DATA.glob(names))
    if not paths:
        pytest.skip(f"no images at shared/data/{names}")
    if "m3svd" in names:
        paths = [path for path in paths if path.parents[1] in sorted(DATA.glob("m3svd/*"))[::3]]
    else:
        paths = paths[::40]
    assert set(reports(read_pairs(paths), FaultConfig(hold_s=0.0))) == {SOUND}


def test_a_slow_camera_behind_a_driver_that_repeats_is_sound(street):
    repeated = [(street[index - index % 3][0], rgb) for index, (_, rgb) in enumerate(street)]
    assert set(reports(repeated)) == {SOUND}


# --- pictures that are worth nothing --------------------------------------------------------------

PICTURE_FAULTS = [
    ("rgb_dark", "rgb", noisy(0, 0)),
    ("rgb_dark", "rgb", noisy(4, 4)),
    ("rgb_saturated", "rgb", noisy(255, 0)),
    ("rgb_saturated", "rgb", overexposed),
    ("rgb_flat", "rgb", noisy(120, 3)),
    ("thermal_flat", "thermal", noisy(29300, 0)),
    ("thermal_flat", "thermal", noisy(29300, 6)),
]


@pytest.mark.parametrize(("label", "camera", "fault"), PICTURE_FAULTS)
def test_a_worthless_picture_is_named_fades_and_returns(street, label, camera, fault):
    found = reports(with_fault(street, camera, fault, 0.4, 1.6))
    picture = [tuple(name for name in report.labels if "frozen" not in name) for report in found]
    picture = [tuple(name for name in names if "shutter" not in name) for names in picture]
    named = [index / RATE_HZ for index, names in enumerate(picture) if names == (label,)]
    assert set(picture) == {(), (label,)}
    # It must last 0.25 s to begin, and be gone for 0.5 s to end.
    assert named[0] == pytest.approx(0.4 + 0.24, abs=0.05)
    assert named[-1] == pytest.approx(1.6 + 0.5, abs=0.1)
    weights = [report.thermal_weight if camera == "thermal" else report.rgb_weight for report in found]
    assert min(weights[30:40]) == max(weights[30:40]) == 0.0
    assert weights[-1] == 1.0
    assert max(abs(b - a) for a, b in pairwise(weights)) <= 1 / RATE_HZ / 0.3 + 1e-9
    others = [report.rgb_weight if camera == "thermal" else report.thermal_weight for report in found]
    assert set(others) == {1.0}


def test_a_dark_street_with_a_few_lights_is_night(street):
    def lamps(image, _frames, index):
        dark = noisy(3, 2)(image, _frames, index)
        for x in range(20, 180, 25):
            cv2.circle(dark, (x, 70), 4, (200, 180, 120), -1)
        return dark

    assert set(reports(with_fault(street, "rgb", lamps, 0, 9))) == {SOUND}


def test_a_fault_shorter_than_the_hold_is_none(street):
    assert set(reports(with_fault(street, "rgb", noisy(0, 0), 1.0, 1.1))) == {SOUND}


@pytest.mark.parametrize("label", ["thermal_flat", "rgb_flat"])
def test_a_measure_around_its_limit_does_not_flicker(street, label):
    """Every other image is a little worse than the limit, every other one a little better."""
    camera = label.partition("_")[0]
    level = 29300 if camera == "thermal" else 120

    def borderline(image, frames, index):
        image = noisy(level, 6)(image, frames, index).astype(float)
        stripes = np.where(np.arange(image.shape[1]) // 24 % 2, 1.0, -1.0) * (5.5 + index % 2 * 2.0)
        image += stripes[None, :, None] if image.ndim == 3 else stripes
        return image.astype(frames[index].image.dtype)

    found = reports(with_fault(street, camera, borderline, 0, 9))
    assert sum(a.labels != b.labels for a, b in pairwise(found)) <= 1


# --- frozen cameras -------------------------------------------------------------------------------


def test_a_shutter_event_is_named_and_its_ghosts_fade():
    pairs = simulate("day", 2.4, shutter=(1.0, 0.4))
    found = reports(pairs)
    named = [index / RATE_HZ for index, report in enumerate(found) if report.labels]
    assert {report.labels for report in found} == {(), ("thermal_shutter",)}
    # Twice: the image of 0.96 s is repeated until 1.36 s, that of 1.96 s until 2.36 s.
    assert set(named) == {
        index / RATE_HZ for index in range(60) if 0.96 + 0.12 < index / RATE_HZ % 1 + (index >= 25) < 1.38
        or 1.96 + 0.12 < index / RATE_HZ < 2.38
    }  # fmt: skip
    assert min(report.thermal_weight for report in found) == 0.5
    assert found[48].thermal_weight == 1.0
    assert {report.rgb_weight for report in found} == {1.0}


def test_a_frozen_image_of_a_still_scene_is_as_good_as_a_fresh_one(still):
    found = reports(with_fault(still, "thermal", frozen_at(0.8), 0.8, 1.6))
    assert {report.labels for report in found} == {(), ("thermal_shutter",)}
    assert {(report.thermal_weight, report.rgb_weight) for report in found} == {(1.0, 1.0)}


@pytest.mark.parametrize(("camera", "labels"), [("thermal", ["shutter", "frozen"]), ("rgb", ["frozen"])])
def test_a_dead_camera_that_resends_is_found(street, camera, labels):
    found = reports(with_fault(street, camera, frozen_at(0.8), 0.8, 9))
    order = [report.labels for report in found if report.labels]
    assert list(dict.fromkeys(order)) == [(f"{camera}_{label}",) for label in labels]
    last = found[-1]
    assert (last.thermal_weight if camera == "thermal" else last.rgb_weight) == 0.0
    assert (last.rgb_weight if camera == "thermal" else last.thermal_weight) == 1.0


def test_a_recompressed_freeze_is_found(street):
    """The repeated image comes through a lossy link, so that no two are equal."""

    def resent(_image, frames, index):
        image = frames[20].image.copy()
        image[index % 7 :: 50, ::60] ^= 1
        return image

    found = reports(with_fault(street, "rgb", resent, 0.8, 9))
    assert found[-1].labels == ("rgb_frozen",)


def test_both_cameras_frozen_leave_the_fused_image_alone(street):
    both = with_fault(street, "thermal", frozen_at(0.8), 0.8, 9)
    found = reports(with_fault(both, "rgb", frozen_at(0.8), 0.8, 9))
    assert found[-1].labels == ("thermal_frozen", "rgb_frozen")
    assert (found[-1].thermal_weight, found[-1].rgb_weight) == (1.0, 1.0)


# --- the monitor itself ---------------------------------------------------------------------------


@settings(max_examples=20, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["sound", "dark", "flat", "frozen"]), st.integers(1, 200)),
        min_size=1,
        max_size=40,
    ),
    st.sampled_from([0.0, 0.1, 1.0]),
)
def test_weights_never_jump_and_labels_are_known(street, steps, fade_s):
    monitor = FaultMonitor(FaultConfig(fade_s=fade_s))
    stamp_ns, last = 0, SOUND
    for index, (state, step_ms) in enumerate(steps):
        thermal, rgb = street[index]
        if state == "dark":
            rgb = Frame(np.zeros_like(rgb.image), 0)
        elif state == "flat":
            thermal = Frame(np.full_like(thermal.image, 29000), 0)
        elif state == "frozen":
            thermal = street[0][0]
        stamp_ns += step_ms * 1_000_000
        report = monitor.update(thermal, replace(rgb, stamp_ns=stamp_ns))
        assert set(report.labels) <= set(LABELS)
        for now, before in (
            (report.thermal_weight, last.thermal_weight),
            (report.rgb_weight, last.rgb_weight),
        ):
            assert 0.0 <= now <= 1.0
            assert not fade_s or abs(now - before) <= step_ms / 1000 / fade_s + 1e-9
        last = report


def test_the_same_pairs_give_the_same_reports(street):
    pairs = with_fault(street, "rgb", noisy(4, 4), 0.4, 1.6)
    monitor = FaultMonitor(FaultConfig())
    first = [monitor.update(*pair) for pair in pairs]
    monitor.reset()
    assert [monitor.update(*pair) for pair in pairs] == first
    # The recording looped, as its stamps show: no reset is needed.
    assert [monitor.update(*pair) for pair in pairs] == first


@pytest.mark.parametrize("size", [(8, 8), (1, 9), (200, 9), (1920, 1080)])
def test_images_of_any_size(size):
    random = np.random.default_rng(0)
    monitor = FaultMonitor(FaultConfig(hold_s=0.0))
    for stamp_ns, depth in enumerate((np.uint8, np.uint16, np.uint8)):
        thermal = random.integers(0, 256, size[::-1]).astype(depth)
        rgb = random.integers(0, 256, (*size[::-1], 3), np.uint8)
        report = monitor.update(Frame(thermal, stamp_ns), Frame(rgb, stamp_ns))
        # Noise seen from afar is one grey; it is neither dark nor frozen.
        assert set(report.labels) <= {"thermal_flat", "rgb_flat"}
    report = monitor.update(Frame(thermal, 3), Frame(np.zeros_like(rgb), 3))
    assert "rgb_dark" in report.labels


def test_without_the_gate_faults_are_only_named(street):
    found = reports(with_fault(street, "rgb", noisy(4, 4), 0, 9), FaultConfig(gate=False))
    assert found[-1] == FaultReport(("rgb_dark",), 1.0, 1.0)


def test_parameters_fit_the_config_machinery():
    names = {item.name for item in iter_parameters(FaultConfig)}
    assert {"gate", "fade_s", "hold_s", "frozen_after_ms", "shutter_ms"} < names
    assert make_config(FaultConfig, {"fade_s": 1}).fade_s == 1.0
    with pytest.raises(ConfigError, match="largest_clipped"):
        make_config(FaultConfig, {"largest_clipped": 1.5})
