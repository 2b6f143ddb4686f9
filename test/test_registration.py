import dataclasses
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from ivfusion_ros.errors import ConfigError, ImageError
from ivfusion_ros.registration.calibration import Calibration, Remap, read_calibration, write_calibration
from ivfusion_ros.registration.camera import CameraModel
from ivfusion_ros.registration.rig import Extrinsics, RigParts
from ivfusion_ros.registration.warp import Warp
from ivfusion_ros.types import CameraInfo

IDENTITY = Path(__file__).parents[1] / "config" / "calibration" / "identity.yaml"
TILTED = np.array([[1.1, 0.08, -20.0], [-0.05, 0.95, 14.0], [2e-4, -1e-4, 1.0]])


def texture(size, seed=0):
    """A smooth random picture, (width, height)."""
    noise = np.random.default_rng(seed).uniform(0, 255, (size[1], size[0]))
    soft = cv2.GaussianBlur(noise, (0, 0), 4)
    return cv2.normalize(soft, None, 20, 235, cv2.NORM_MINMAX).astype(np.uint8)


def sample(image, x, y):
    """Bilinear interpolation with zeros around the image, written out in float64."""
    padded = np.zeros((image.shape[0] + 2, image.shape[1] + 2))
    padded[1:-1, 1:-1] = image
    x, y = np.clip(x, -1, image.shape[1]) + 1, np.clip(y, -1, image.shape[0]) + 1
    x0, y0 = np.minimum(x.astype(int), image.shape[1]), np.minimum(y.astype(int), image.shape[0])
    fx, fy = x - x0, y - y0
    top = padded[y0, x0] * (1 - fx) + padded[y0, x0 + 1] * fx
    bottom = padded[y0 + 1, x0] * (1 - fx) + padded[y0 + 1, x0 + 1] * fx
    return top * (1 - fy) + bottom * fy


def warped(image, rgb_from_thermal, rgb_size):
    """What an RGB camera of that homography would see, pixel by pixel."""
    x, y = np.meshgrid(np.arange(rgb_size[0]), np.arange(rgb_size[1]))
    points = np.linalg.inv(rgb_from_thermal) @ np.stack([x.ravel(), y.ravel(), np.ones(x.size)])
    return sample(image, *(points[:2] / points[2]).reshape(2, *x.shape))


def assert_near(found, expected, tolerance):
    assert found.dtype == np.uint8 and found.shape == expected.shape
    difference = np.abs(found.astype(float) - expected)
    # 1/32 pixel of fixed-point maps shows most at the hard edge to black.
    assert difference.mean() < tolerance / 4 and np.percentile(difference, 99) <= tolerance


def test_no_calibration_passes_equal_sizes_through():
    image = texture((64, 48))
    assert Warp(None)(image, (64, 48)) is image


def test_no_calibration_scales_about_pixel_centres():
    ramp = np.tile(np.arange(0, 160, 10, dtype=np.uint8), (8, 1))
    out = Warp(None)(ramp, (32, 16))
    assert out.shape == (16, 32)
    # The centre of pixel u of 32 is at (u + 0.5) / 2 - 0.5 of 16.
    expected = np.clip((np.arange(32) + 0.5) / 2 - 0.5, 0, 15) * 10
    assert np.abs(out - expected).max() <= 0.51


def test_identity_file_changes_nothing():
    calibration = read_calibration(IDENTITY)
    image = texture((640, 480))
    np.testing.assert_array_equal(Warp(calibration)(image, (640, 480)), image)


def test_identity_file_at_another_size_only_scales():
    image = texture((320, 240))
    out = Warp(read_calibration(IDENTITY))(image, (640, 480))
    plain = Warp(None)(image, (640, 480))
    assert np.abs(out[1:-1, 1:-1].astype(int) - plain[1:-1, 1:-1]).max() <= 2


def test_homography_against_its_definition():
    image = texture((80, 64))
    out = Warp(Calibration((80, 64), (96, 72), TILTED))(image, (96, 72))
    assert_near(out, warped(image, TILTED, (96, 72)), 4)


@pytest.mark.parametrize("factor", [-1.0, 1e-6, 250.0])
def test_a_homography_is_free_in_scale_and_sign(factor):
    image = texture((80, 64))
    plain, scaled = (
        Warp(Calibration((80, 64), (80, 64), TILTED * value))(image, (80, 64)) for value in (1.0, factor)
    )
    np.testing.assert_array_equal(plain, scaled)


@settings(max_examples=25, deadline=None)
@given(shift_x=st.integers(-30, 30), shift_y=st.integers(-30, 30))
def test_a_whole_pixel_shift_is_exact_and_black_outside(shift_x, shift_y):
    image = texture((40, 32))
    shift = np.array([[1.0, 0, shift_x], [0, 1, shift_y], [0, 0, 1]])
    out = Warp(Calibration((40, 32), (40, 32), shift))(image, (40, 32))
    expected = np.zeros_like(image)
    to = (slice(max(0, shift_y), 32 + min(0, shift_y)), slice(max(0, shift_x), 40 + min(0, shift_x)))
    source = (
        slice(max(0, -shift_y), 32 + min(0, -shift_y)),
        slice(max(0, -shift_x), 40 + min(0, -shift_x)),
    )
    expected[to] = image[source]
    np.testing.assert_array_equal(out, expected)


def test_what_lies_behind_the_camera_is_black():
    # Depth is 1 - x / 48; without a look at its sign, columns past 48 would show thermal pixels too.
    depth = np.array([-1 / 48, 0, 1])
    thermal_from_rgb = np.array([40 * depth + [0.2, 0, -6], 24 * depth + [0, 0.2, -4.8], depth])
    shown = thermal_from_rgb @ [60, 24, 1]
    assert 0 < shown[0] / shown[2] < 63 and 0 < shown[1] / shown[2] < 47
    calibration = Calibration((64, 48), (64, 48), np.linalg.inv(thermal_from_rgb))
    out = Warp(calibration)(np.full((48, 64), 200, np.uint8), (64, 48))
    assert (out[24, :40] == 200).all() and not out[:, 48:].any()


@pytest.mark.parametrize(("thermal_scale", "rgb_scale"), [(2, 1), (1, 2), (2, 3), (0.5, 0.5)])
def test_other_sizes_of_the_same_cameras(thermal_scale, rgb_scale):
    def at_scale(scale):
        return np.array([[scale, 0, (scale - 1) / 2], [0, scale, (scale - 1) / 2], [0, 0, 1]])

    thermal_size = (int(80 * thermal_scale), int(64 * thermal_scale))
    rgb_size = (int(96 * rgb_scale), int(72 * rgb_scale))
    image = texture(thermal_size)
    out = Warp(Calibration((80, 64), (96, 72), TILTED))(image, rgb_size)
    homography = at_scale(rgb_scale) @ TILTED @ np.linalg.inv(at_scale(thermal_scale))
    assert_near(out, warped(image, homography, rgb_size), 4)


def test_one_warp_serves_several_sizes():
    warp = Warp(Calibration((80, 64), (96, 72), TILTED))
    small, large = texture((80, 64)), texture((160, 128))
    first = warp(small, (96, 72))
    warp(large, (192, 144))
    np.testing.assert_array_equal(warp(small, (96, 72)), first)
    assert warp(large, (96, 72)).shape == (72, 96)


@pytest.mark.parametrize(("thermal_size", "rgb_size"), [((80, 60), (96, 72)), ((80, 64), (96, 54))])
def test_another_aspect_ratio_is_an_error(thermal_size, rgb_size):
    warp = Warp(Calibration((80, 64), (96, 72), TILTED))
    with pytest.raises(ConfigError, match=r"calibration was made at.*same aspect ratio"):
        warp(texture(thermal_size), rgb_size)


def bulge(rgb_size, thermal_size):
    """A lens-like map that no homography describes."""
    x, y = np.meshgrid(np.linspace(-1, 1, rgb_size[0]), np.linspace(-1, 1, rgb_size[1]))
    stretch = 0.8 + 0.3 * (x**2 + y**2)
    map_x = (x * stretch + 1) / 2 * (thermal_size[0] - 1)
    map_y = (y * stretch + 1) / 2 * (thermal_size[1] - 1)
    return Remap(map_x.astype(np.float32), map_y.astype(np.float32))


def test_remap_against_its_definition():
    remap, image = bulge((96, 72), (80, 64)), texture((80, 64))
    out = Warp(Calibration((80, 64), (96, 72), remap=remap))(image, (96, 72))
    assert_near(out, sample(image, remap.map_x.astype(float), remap.map_y.astype(float)), 4)


def test_remap_at_another_size():
    remap = bulge((96, 72), (80, 64))
    warp = Warp(Calibration((80, 64), (96, 72), remap=remap))
    image = texture((160, 128))
    small = sample(image, remap.map_x * 2.0 + 0.5, remap.map_y * 2.0 + 0.5)
    assert_near(warp(image, (96, 72)), small, 4)
    large = warp(image, (192, 144))
    means = large.reshape(72, 2, 96, 2).mean(axis=(1, 3))
    assert np.abs(means - small)[16:-16, 16:-16].max() < 6


@pytest.mark.parametrize("scale", [0.25, 1, 3])
def test_pixels_that_a_remap_marks_as_none_are_black_at_any_size(scale):
    remap = bulge((96, 72), (80, 64))
    remap.map_x[:, :48] = -1
    remap.map_y[:, :48] = -1
    warp = Warp(Calibration((80, 64), (96, 72), remap=remap))
    for rgb_size in ((96, 72), (192, 144), (48, 36)):
        out = warp(np.full((int(64 * scale), int(80 * scale)), 200, np.uint8), rgb_size)
        middle = rgb_size[0] // 2
        assert not out[:, :middle].any()
        assert (out[rgb_size[1] // 2, middle + 2 : -10] == 200).all()


@pytest.mark.parametrize(
    "image", [np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4), np.uint16), np.zeros((0, 4), np.uint8)]
)
def test_other_kinds_of_image_are_errors(image):
    with pytest.raises(ImageError, match=r"expected uint8 \(H, W\)"):
        Warp(None)(image, (4, 4))


def test_fast_enough_for_the_frame_budget():
    warp = Warp(
        Calibration((640, 512), (640, 480), np.array([[1.02, 0.03, 5], [-0.02, 0.98, -7], [0, 0, 1]]))
    )
    image = texture((640, 512))
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        times = []
        for _ in range(20):
            start = time.perf_counter()
            warp(image, (640, 480))
            times.append(time.perf_counter() - start)
    finally:
        cv2.setNumThreads(threads)
    # 0.8 ms where measured, 15 ms with new maps each time; the rest is room for a slow machine.
    assert min(times) < 0.004


def test_homography_survives_its_file(tmp_path):
    write_calibration(tmp_path / "a.yaml", Calibration((80, 64), (96, 72), TILTED * 1e-5))
    again = read_calibration(tmp_path / "a.yaml")
    assert (again.thermal_size, again.rgb_size, again.remap) == ((80, 64), (96, 72), None)
    np.testing.assert_array_equal(again.rgb_from_thermal, TILTED * 1e-5)


def test_remap_survives_its_file_and_a_move(tmp_path):
    remap = bulge((96, 72), (80, 64))
    (tmp_path / "before").mkdir()
    write_calibration(tmp_path / "before" / "a.yaml", Calibration((80, 64), (96, 72), remap=remap))
    again = read_calibration((tmp_path / "before").rename(tmp_path / "after") / "a.yaml")
    assert again.rgb_from_thermal is None
    np.testing.assert_array_equal(again.remap.map_x, remap.map_x)
    np.testing.assert_array_equal(again.remap.map_y, remap.map_y)


def test_numbers_that_yaml_takes_for_text(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text(
        "thermal_size: [8, 6]\nrgb_size: [8, 6]\nhomography: [[1, 0, 2], [0, 1, 1e-1], [1e-4, 0, 1]]\n"
    )
    assert read_calibration(path).rgb_from_thermal.tolist() == [[1, 0, 2], [0, 1, 0.1], [0.0001, 0, 1]]


LENS = {"matrix": [[90, 0, 48.5], [0, 90, 36], [0, 0, 1]], "distortion": [-0.1, 0.02, 0, 0, 0]}
POSE = {"quaternion_xyzw": [0, 0, 0.1, 1], "translation_m": [0.1, 0, 0]}


def good():
    return {"thermal_size": [80, 64], "rgb_size": [96, 72], "homography": TILTED.tolist()}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rotation": 3}, "unknown key rotation; known: thermal_size"),
        ({"homography": None}, "either a homography or a remap"),
        ({"remap": "a.npz"}, r"cannot read remap file .*a\.npz: No such file"),
        ({"homography": [[1, 0, 0], [0, 1, 0]]}, r"shape \(2, 3\), expected \(3, 3\)"),
        ({"homography": [[1, 0, 0], [0, 1, 0], [0, 1]]}, "expected three rows"),
        ({"homography": "none"}, "expected three rows"),
        ({"affine": [[1, 0, 0], [0, 1, 0]]}, "a homography and an affine, expected one"),
        ({"homography": None, "affine": TILTED.tolist()}, r"affine has shape \(3, 3\), expected \(2, 3\)"),
        ({"homography": None, "affine": [[1, 0, "x"], [0, 1, 0]]}, "expected two rows of three numbers"),
        ({"homography": None, "affine": [[1, 0, 0], [2, 0, 0]]}, "singular"),
        ({"rig": {}}, "exactly one of them, found 2"),
        ({"homography": None, "rig": 3}, "rig is 3, expected a mapping with thermal, rgb"),
        ({"homography": None, "rig": {"depth": 3}}, "rig: unknown key depth; known: thermal"),
        (
            {"homography": None, "rig": {"plane_distance_m": "far"}},
            "plane_distance_m is 'far', expected a num",
        ),
        ({"homography": None, "rig": {"plane_distance_m": -3}}, "expected metres above 0"),
        ({"homography": None, "rig": {"rgb": {"distortion": []}}}, r"rig\.rgb has no matrix; leave out"),
        ({"homography": None, "rig": {"rgb": {"matrix": [[1, 2, 3]]}}}, r"rgb\.matrix has shape \(1, 3\)"),
        ({"homography": None, "rig": {"rgb": {**LENS, "distortion": [1, 2]}}}, r"rig\.rgb: distortion is"),
        (
            {"homography": None, "rig": {"rgb": {**LENS, "distortion_model": "?"}}},
            r"rig\.rgb: distortion_mod",
        ),
        (
            {"homography": None, "rig": {"rgb_from_thermal": {"rotation": 1}}},
            "has rotation; expected transl",
        ),
        (
            {"homography": None, "rig": {"rgb_from_thermal": {"translation_m": [1, 2, 3]}}},
            "and rotation or qu",
        ),
        (
            {"homography": None, "rig": {"rgb_from_thermal": {**POSE, "translation_m": [1]}}},
            "expected 3 num",
        ),
        ({"quality": 0.3}, "quality is 0.3, expected a mapping"),
        ({"homography": [[1, 0, 0], [2, 0, 0], [0, 0, 1]]}, "singular"),
        ({"homography": np.zeros((3, 3)).tolist()}, "singular"),
        ({"homography": [[1, 0, 0], [0, 1, 0], [0, 0, float("nan")]]}, "not finite"),
        ({"homography": [[1, 0, 0], [0, float("inf"), 0], [0, 0, 1]]}, "not finite"),
        ({"thermal_size": None}, "thermal_size is None"),
        ({"thermal_size": 640}, "thermal_size is 640"),
        ({"thermal_size": [640]}, r"expected \[width, height\]"),
        ({"rgb_size": [640, 0]}, r"rgb_size is \(640, 0\)"),
        ({"rgb_size": [640.5, 480]}, "rgb_size"),
        ({"rgb_size": [True, True]}, "rgb_size"),
        ({"rgb_size": "ab"}, "rgb_size"),
    ],
)
def test_bad_files_say_what_is_wrong(tmp_path, change, message):
    path = tmp_path / "bad.yaml"
    path.write_text(yaml.safe_dump({**good(), **change}))
    with pytest.raises(ConfigError, match=message) as error:
        read_calibration(path)
    assert "bad.yaml" in str(error.value)


@pytest.mark.parametrize(
    ("maps", "message"),
    [
        (dict(map_x=np.zeros((72, 96), np.float32)), "no .npz with map_x and map_y.*map_y"),
        (
            dict(map_x=np.zeros((64, 80), np.float32), map_y=np.zeros((64, 80), np.float32)),
            r"expected float32 \(72, 96\)",
        ),
        (dict(map_x=np.zeros((72, 96)), map_y=np.zeros((72, 96))), "float64"),
        (
            dict(map_x=np.full((72, 96), np.nan, np.float32), map_y=np.zeros((72, 96), np.float32)),
            "not finite",
        ),
        (dict(map_x=np.array({}, object), map_y=np.array({}, object)), "no .npz"),
        (b"", "no .npz"),
        (b"PK\3\4 this is no archive", "no .npz"),
        (b"\x93NUMPY\1\0", "no .npz"),
        (b"plain text", "no .npz"),
    ],
)
def test_bad_map_files_say_what_is_wrong(tmp_path, maps, message):
    if isinstance(maps, bytes):
        (tmp_path / "m.npz").write_bytes(maps)
    else:
        np.savez(tmp_path / "m.npz", **maps)
    path = tmp_path / "bad.yaml"
    path.write_text(yaml.safe_dump({**good(), "homography": None, "remap": "m.npz"}))
    with pytest.raises(ConfigError, match=message):
        read_calibration(path)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(ConfigError, match=r"cannot read .*none\.yaml"):
        read_calibration(tmp_path / "none.yaml")
    with pytest.raises(ConfigError, match=r"cannot write .*a\.yaml"):
        write_calibration(tmp_path / "no_folder" / "a.yaml", Calibration((80, 64), (96, 72), TILTED))


def rig_parts():
    """Two lenses of different kinds, 10 cm apart."""
    matrix = np.array(LENS["matrix"], float)
    return RigParts(
        CameraModel((80, 64), matrix * [[0.9], [0.9], [1]], "equidistant", np.array([0.01, -0.02, 0, 0])),
        CameraModel((96, 72), matrix, "plumb_bob", np.array(LENS["distortion"], float)),
        Extrinsics.from_quaternion([0.01, -0.02, 0.03, 1], [0.1, -0.02, 0.01]),
        6.0,
    )


def test_rig_survives_its_file(tmp_path):
    rig = rig_parts()
    quality = {"method": "checkerboard", "rms_px": np.float64(0.21), "date": "2025-01-31", "views": 12}
    write_calibration(tmp_path / "a.yaml", Calibration((80, 64), (96, 72), rig=rig, quality=quality))
    again = read_calibration(tmp_path / "a.yaml")
    assert again.rgb_from_thermal is None and again.remap is None and again.quality == quality
    for found, true in ((again.rig.thermal, rig.thermal), (again.rig.rgb, rig.rgb)):
        assert (found.size, found.distortion_model) == (true.size, true.distortion_model)
        np.testing.assert_array_equal(found.matrix, true.matrix)
        np.testing.assert_array_equal(found.distortion, true.distortion)
    np.testing.assert_array_equal(again.rig.rgb_from_thermal.rotation, rig.rgb_from_thermal.rotation)
    np.testing.assert_array_equal(again.rig.rgb_from_thermal.translation_m, [0.1, -0.02, 0.01])
    assert again.rig.plane_distance_m == 6.0


def test_what_a_rig_leaves_out_stays_out(tmp_path):
    write_calibration(tmp_path / "a.yaml", Calibration((80, 64), (96, 72), rig=RigParts()))
    again = read_calibration(tmp_path / "a.yaml").rig
    assert (again.thermal, again.rgb, again.rgb_from_thermal) == (None, None, None)
    assert again.plane_distance_m == RigParts().plane_distance_m


def test_a_quaternion_and_rows_are_the_same_rotation(tmp_path):
    rig = {"rgb_from_thermal": {"quaternion_xyzw": [0, 0, "0.5e0", 0.5], "translation_m": [1, 2, 3]}}
    path = tmp_path / "a.yaml"
    path.write_text(yaml.safe_dump({"thermal_size": [8, 6], "rgb_size": [8, 6], "rig": rig}))
    found = read_calibration(path).rig.rgb_from_thermal
    # A quarter turn about z, x to y.
    np.testing.assert_allclose(found.apply(np.array([[1.0, 0, 0]])), [[1, 3, 3]], atol=1e-12)


def test_an_affine_is_a_homography(tmp_path):
    affine = np.array([[1.02, 0.01, 3.0], [-0.01, 0.98, -2.0], [0, 0, 1]])
    write_calibration(tmp_path / "a.yaml", Calibration((80, 64), (96, 72), affine))
    assert set(yaml.safe_load((tmp_path / "a.yaml").read_text())) == {"thermal_size", "rgb_size", "affine"}
    np.testing.assert_array_equal(read_calibration(tmp_path / "a.yaml").rgb_from_thermal, affine)


def test_thermal_reference_by_homography_warps_colour():
    image = np.stack([texture((96, 72), seed) for seed in range(3)], axis=2)
    out = Warp(Calibration((80, 64), (96, 72), TILTED), "thermal")(image, (80, 64))
    assert out.shape == (64, 80, 3)
    for channel in range(3):
        expected = warped(image[:, :, channel], np.linalg.inv(TILTED), (80, 64))
        assert_near(out[:, :, channel], expected, 4)


def test_thermal_reference_by_remap_is_the_way_back():
    remap = bulge((96, 72), (80, 64))
    calibration = Calibration((80, 64), (96, 72), remap=remap)
    thermal = texture((80, 64))
    there = Warp(calibration)(thermal, (96, 72))
    back = Warp(calibration, "thermal")(there, (80, 64))
    # Twice interpolated, so blurred a little.
    inside = (slice(14, 50), slice(17, 63))
    assert np.abs(back.astype(int) - thermal)[inside].max() <= 6


@pytest.mark.parametrize("scale", [1, 2])
def test_rig_at_any_size_shows_what_its_points_say(scale):
    """A dot seen by the thermal camera appears where a point of the plane projects to in RGB."""
    rig = rig_parts()
    point = np.array([[0.4, -0.3, 6.0]])
    in_thermal = rig.thermal.project(rig.rgb_from_thermal.inverse().apply(point))[0]
    thermal_size, rgb_size = (80 * scale, 64 * scale), (96 * scale, 72 * scale)
    x, y = np.meshgrid(np.arange(thermal_size[0]), np.arange(thermal_size[1]))
    at = (in_thermal + 0.5) * scale - 0.5
    dot = (250 * np.exp(-((x - at[0]) ** 2 + (y - at[1]) ** 2) / (8 * scale**2))).astype(np.uint8)
    shown = Warp(Calibration((80, 64), (96, 72), rig=rig))(dot, rgb_size).astype(float)
    centre = [float((shown * axis).sum() / shown.sum()) for axis in np.meshgrid(*map(np.arange, rgb_size))]
    expected = (rig.rgb.project(point)[0] + 0.5) * scale - 0.5
    np.testing.assert_allclose(centre, expected, atol=0.15 * scale)


@pytest.mark.parametrize("reference", ["rgb", "thermal"])
def test_a_flat_depth_image_is_the_plane_at_that_distance(reference):
    calibration = Calibration((80, 64), (96, 72), rig=rig_parts())
    other, size = ((80, 64), (96, 72)) if reference == "rgb" else ((96, 72), (80, 64))
    image = texture(other)
    by_plane = Warp(calibration, reference, plane_distance_m=2.5)(image, size)
    warp = Warp(calibration, reference)
    for depth in (np.full(size[::-1], 2.5, np.float32), np.full((10, 12), 2500, np.uint16)):
        assert np.abs(warp(image, size, depth).astype(int) - by_plane).max() <= 3
    assert np.abs(warp(image, size).astype(int) - by_plane).max() > 20
    warp.set_plane_distance(2.5)
    np.testing.assert_array_equal(warp(image, size), by_plane)
    unknown = np.zeros(size[::-1], np.float32)
    assert np.abs(warp(image, size, unknown).astype(int) - by_plane).max() <= 3


def test_depth_and_distances_need_a_rig():
    flat = Calibration((80, 64), (96, 72), TILTED)
    for calibration in (flat, None):
        with pytest.raises(ConfigError, match="depth image needs a calibration with a rig"):
            Warp(calibration)(texture((80, 64)), (96, 72), np.ones((72, 96), np.float32))
        with pytest.raises(ConfigError, match="only a calibration with a rig knows"):
            Warp(calibration, plane_distance_m=3.0)


def test_intrinsics_come_from_camera_info_and_extrinsics_from_tf():
    rig, image = rig_parts(), texture((80, 64))

    def info(model):
        return CameraInfo(
            *model.size, model.distortion_model, tuple(model.distortion), tuple(model.matrix.ravel())
        )

    warp = Warp(Calibration((80, 64), (96, 72), rig=RigParts(plane_distance_m=6.0)))
    warp.set_camera_infos(info(rig.thermal), None)
    with pytest.raises(ConfigError, match=r"has no rig\.rgb, rig\.rgb_from_thermal"):
        warp(image, (96, 72))
    warp.set_camera_infos(None, info(rig.rgb))
    warp.set_extrinsics(rig.rgb_from_thermal)
    complete = Warp(Calibration((80, 64), (96, 72), rig=rig))
    np.testing.assert_array_equal(warp(image, (96, 72)), complete(image, (96, 72)))
    # Another camera_info counts from the next image on.
    moved = dataclasses.replace(info(rig.rgb), k=(90, 0, 40, 0, 90, 36, 0, 0, 1))
    warp.set_camera_infos(info(rig.thermal), moved)
    assert np.abs(warp(image, (96, 72)).astype(int) - complete(image, (96, 72))).max() > 20


@pytest.mark.parametrize("reference", ["rgb", "thermal"])
@pytest.mark.parametrize("kind", ["homography", "rig", "none"])
def test_points_go_where_their_pixels_come_from(kind, reference):
    planar = np.array([[1.1, 0.05, 3.0], [-0.04, 1.15, 2], [1e-4, 0, 1]])
    calibration = {
        "homography": Calibration((80, 64), (96, 72), planar),
        "rig": Calibration((80, 64), (96, 72), rig=rig_parts()),
        "none": None,
    }[kind]
    other, size = ((80, 64), (96, 72)) if reference == "rgb" else ((96, 72), (80, 64))
    warp = Warp(calibration, reference)
    across = np.tile(np.arange(other[0], dtype=np.uint8) * 2, (other[1], 1))
    down = np.tile(np.arange(other[1], dtype=np.uint8)[:, None] * 2, (1, other[0]))
    shown = np.stack([warp(across, size), warp(down, size)], axis=-1) / 2
    points = np.array([[40, 30], [25, 22], [60, 44]])
    before = warp.point_map(other, size)
    found = before(points.astype(float))
    np.testing.assert_allclose(found, shown[points[:, 1], points[:, 0]], atol=0.6)
    assert np.ptp(found, axis=0).min() > 10
    # With the online correction as well.
    warp.set_correction(np.array([[1, 0, 6.0], [0, 1, -4], [0, 0, 1]]))
    moved = warp.point_map(other, size)(points + np.array([6.0, -4.0]))
    np.testing.assert_allclose(moved, found, atol=1e-6)
    # What was asked for before stays as it was.
    np.testing.assert_array_equal(before(points.astype(float)), found)


@pytest.mark.parametrize("depth", [None, np.full((72, 96), 3.0, np.float32)])
def test_a_correction_moves_the_image_and_goes_again(depth):
    warp = Warp(Calibration((80, 64), (96, 72), rig=rig_parts()))
    image = texture((80, 64))
    before = warp(image, (96, 72), depth)
    warp.set_correction(np.array([[1.0, 0, 6], [0, 1, -4], [0, 0, 1]]))
    after = warp(image, (96, 72), depth)
    difference = np.abs(after[10:60, 20:80].astype(int) - before[14:64, 14:74])
    assert difference.max() <= 8 and np.abs(after.astype(int) - before).max() > 30
    warp.set_correction(None)
    np.testing.assert_array_equal(warp(image, (96, 72), depth), before)


def test_points_at_their_own_distance():
    rig = rig_parts()
    warp = Warp(Calibration((80, 64), (96, 72), rig=rig))
    points = np.array([[0.4, -0.3, 2.0], [0.1, 0.2, 9.0], [0.4, -0.3, 6.0]])
    pixels = rig.rgb.project(points)
    expected = rig.thermal.project(rig.rgb_from_thermal.inverse().apply(points))
    found = warp.point_map((80, 64), (96, 72))(pixels, np.array([2.0, 9.0, np.nan]))
    # NaN is the plane's distance, which is 6 m.
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_colour_is_fast_enough_for_the_frame_budget():
    scale = np.array([[1.02, 0.03, 5], [-0.02, 0.98, -7], [0, 0, 1]])
    warp = Warp(Calibration((640, 480), (640, 480), scale), "thermal")
    image = np.stack([texture((640, 480))] * 3, axis=2)
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        times = []
        for _ in range(20):
            start = time.thread_time()
            warp(image, (640, 480))
            times.append(time.thread_time() - start)
    finally:
        cv2.setNumThreads(threads)
    # 1.1 ms where measured; the rest is room for a slow machine.
    assert min(times) < 0.005
