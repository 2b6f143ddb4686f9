"""Calibration files: what is written is read again, and what is wrong in one is named."""

import numpy as np
import pytest
import yaml
from calibration_samples import LENS, TILTED, bulge, rig_parts

from ivfusion_ros.errors import ConfigError
from ivfusion_ros.geometry.calibration import Calibration, read_calibration, write_calibration
from ivfusion_ros.geometry.rig import RigParts

POSE = {"quaternion_xyzw": [0, 0, 0.1, 1], "translation_m": [0.1, 0, 0]}


def good():
    return {"thermal_size": [80, 64], "rgb_size": [96, 72], "homography": TILTED.tolist()}


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


def test_maps_come_along_where_the_yaml_is_a_link(tmp_path):
    remap = bulge((96, 72), (80, 64))
    (tmp_path / "there").mkdir()
    link = tmp_path / "link.yaml"
    link.symlink_to(tmp_path / "there" / "a.yaml")
    write_calibration(link, Calibration((80, 64), (96, 72), remap=remap))
    assert link.is_symlink()
    for path in (link, tmp_path / "there" / "a.yaml"):
        np.testing.assert_array_equal(read_calibration(path).remap.map_x, remap.map_x)


@pytest.mark.parametrize("name", ["/dev/zero", "maps/map.npz", "../map.npz", "", ".", "..", "a\0b"])
def test_maps_lie_beside_their_calibration(tmp_path, name):
    content = {"thermal_size": [80, 64], "rgb_size": [96, 72], "remap": name}
    (tmp_path / "a.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(ConfigError, match=r"remap is '.*', expected the name of an .npz file beside it"):
        read_calibration(tmp_path / "a.yaml")


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


def test_numbers_that_yaml_takes_for_text(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text(
        "thermal_size: [8, 6]\nrgb_size: [8, 6]\nhomography: [[1, 0, 2], [0, 1, 1e-1], [1e-4, 0, 1]]\n"
    )
    assert read_calibration(path).rgb_from_thermal.tolist() == [[1, 0, 2], [0, 1, 0.1], [0.0001, 0, 1]]


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
        ({"homography": None, "rig": {"plane_distance_m": -3}}, "expected metres from 0.01"),
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
        ({"map_x": np.zeros((72, 96), np.float32)}, "map_y is not a file.*an .npz with map_x and map_y"),
        (
            {"map_x": np.zeros((64, 80), np.float32), "map_y": np.zeros((64, 80), np.float32)},
            r"expected float32 \(72, 96\)",
        ),
        ({"map_x": np.zeros((72, 96)), "map_y": np.zeros((72, 96))}, "float64"),
        (
            {"map_x": np.full((72, 96), np.nan, np.float32), "map_y": np.zeros((72, 96), np.float32)},
            "not finite",
        ),
        ({"map_x": np.array({}, object), "map_y": np.array({}, object)}, "expected an .npz"),
        (b"", "expected an .npz"),
        (b"PK\3\4 this is no archive", "expected an .npz"),
        (b"\x93NUMPY\1\0", "expected an .npz"),
        (b"plain text", "expected an .npz"),
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
    with pytest.raises(ConfigError, match=r"there is no calibration .*none\.yaml; `ivfusion calibrate"):
        read_calibration(tmp_path / "none.yaml")
    with pytest.raises(ConfigError, match=r"cannot write .*a\.yaml"):
        write_calibration(tmp_path / "no_folder" / "a.yaml", Calibration((80, 64), (96, 72), TILTED))
