"""Calibrations of other tools, to the rig that they stand for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
import yaml

from ivfusion_ros import cli
from ivfusion_ros.calibrate.imported import import_calibration
from ivfusion_ros.errors import ConfigError
from ivfusion_ros.geometry.calibration import read_calibration

if TYPE_CHECKING:
    from pathlib import Path

    from ivfusion_ros.geometry.rig import RigParts

THERMAL_K = np.array([[160.0, 0, 79.5], [0, 161.0, 59.5], [0, 0, 1]])
RGB_K = np.array([[320.0, 0, 159.5], [0, 322.0, 119.5], [0, 0, 1]])
LENS = [-0.28, 0.07, 2e-4, 2e-5]
TURN = np.asarray(cv2.Rodrigues(np.array([0.01, -0.02, 0.03]))[0])
SHIFT = np.array([-0.09, 0.01, 0.002])
"""rgb_from_thermal"""


def four(rotation: np.ndarray, translation: np.ndarray) -> list[list[float]]:
    return np.block([[rotation, translation[:, None]], [np.zeros((1, 3)), np.ones((1, 1))]]).tolist()


def kalibr_camera(k: np.ndarray, size: tuple[int, int], topic: str, model: str = "radtan") -> dict:
    return {
        "camera_model": "pinhole", "intrinsics": k[[0, 1, 0, 1], [0, 1, 2, 2]].tolist(),
        "distortion_model": model, "distortion_coeffs": LENS, "resolution": list(size), "rostopic": topic,
    }  # fmt: skip


def camchain(first: str = "thermal", model: str = "radtan") -> dict:
    cameras = {
        "thermal": kalibr_camera(THERMAL_K, (160, 120), "/boson/image_raw", model),
        "rgb": kalibr_camera(RGB_K, (320, 240), "/rgb/image_raw", model),
    }
    if first == "thermal":
        move = four(TURN, SHIFT)
        return {"cam0": cameras["thermal"], "cam1": {**cameras["rgb"], "T_cn_cnm1": move}}
    move = four(TURN.T, -TURN.T @ SHIFT)
    return {"cam0": cameras["rgb"], "cam1": {**cameras["thermal"], "T_cn_cnm1": move}}


def run(folder: Path, *words: object) -> RigParts:
    out = folder / "calibration.yaml"
    assert cli.main(["calibrate", "--out", str(out), *map(str, words)]) == 0
    calibration = read_calibration(out)
    assert (calibration.thermal_size, calibration.rgb_size) == ((160, 120), (320, 240))
    assert calibration.rig is not None and calibration.rig.thermal and calibration.rig.rgb
    return calibration.rig


def check(rig: RigParts, model: str = "plumb_bob") -> None:
    assert rig.thermal is not None and rig.rgb is not None and rig.rgb_from_thermal is not None
    np.testing.assert_allclose(rig.thermal.matrix, THERMAL_K)
    np.testing.assert_allclose(rig.rgb.matrix, RGB_K)
    assert rig.thermal.distortion_model == model and rig.thermal.distortion.tolist() == pytest.approx(LENS)
    np.testing.assert_allclose(rig.rgb_from_thermal.rotation, TURN, atol=1e-9)
    np.testing.assert_allclose(rig.rgb_from_thermal.translation_m, SHIFT, atol=1e-9)


def write(path: Path, content: object) -> Path:
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.mark.parametrize(
    ("first", "said"),
    [("thermal", "is cam1.T_cn_cnm1:"), ("rgb", "is the inverse of cam1.T_cn_cnm1:")],
)
def test_a_camchain_in_either_order(tmp_path, capsys, first: str, said: str) -> None:
    check(run(tmp_path, "--import", write(tmp_path / "camchain.yaml", camchain(first))))
    text = capsys.readouterr().err
    assert f"rgb_from_thermal {said} the thermal lens is at (-90.0, 10.0, 2.0) mm" in text
    assert "thermal is cam" in text and "(/boson/image_raw)" in text


def test_a_fisheye_camchain(tmp_path) -> None:
    content = camchain(model="equidistant")
    check(run(tmp_path, "--import", write(tmp_path / "camchain.yaml", content)), "equidistant")


def test_a_camchain_with_an_imu_has_the_pose_and_the_clocks(tmp_path, capsys) -> None:
    content = camchain()
    to_thermal = four(TURN.T, np.array([0.3, 0.1, -0.2]))
    del content["cam1"]["T_cn_cnm1"]
    content["cam0"].update(T_cam_imu=to_thermal, timeshift_cam_imu=0.010)
    to_rgb = (np.array(four(TURN, SHIFT)) @ to_thermal).tolist()
    content["cam1"].update(T_cam_imu=to_rgb, timeshift_cam_imu=-0.0055)
    check(run(tmp_path, "--import", write(tmp_path / "camchain.yaml", content)))
    text = capsys.readouterr().err
    assert "is the inverse of cam0.T_cam_imu, then cam1.T_cam_imu" in text
    # t_imu = t_cam + timeshift, so a thermal stamp is 15.5 ms more on the RGB camera's clock.
    assert "pairing.thermal_time_offset_ms to 15.5" in text


def ros_yaml(name: str, k: np.ndarray, size: tuple[int, int], r: np.ndarray, shift: float = 0.0) -> dict:
    def matrix(values: np.ndarray) -> dict:
        return {"rows": len(values), "cols": values.shape[1], "data": values.ravel().tolist()}

    p = np.array([[300.0, 0, 150, 300 * shift], [0, 300, 100, 0], [0, 0, 1, 0]])
    return {
        "image_width": size[0], "image_height": size[1], "camera_name": name,
        "camera_matrix": matrix(k), "distortion_model": "plumb_bob",
        "distortion_coefficients": matrix(np.array([[*LENS, 0.0]])),
        "rectification_matrix": matrix(r), "projection_matrix": matrix(p),
    }  # fmt: skip


def test_two_cameras_of_ros_without_a_pose(tmp_path, capsys) -> None:
    left = write(tmp_path / "a.yaml", ros_yaml("boson", THERMAL_K, (160, 120), np.eye(3)))
    right = write(tmp_path / "b.yaml", ros_yaml("webcam", RGB_K, (320, 240), np.eye(3)))
    rig = run(tmp_path, "--import", left, right)
    assert rig.rgb_from_thermal is None and rig.thermal is not None
    assert rig.thermal.distortion.tolist() == [*LENS, 0.0]
    assert "registration.extrinsics: tf" in capsys.readouterr().err


def test_a_stereo_calibration_of_ros_has_the_pose(tmp_path) -> None:
    """As stereoRectify makes R and P of a pose."""
    none = np.zeros(5)
    r1, r2, _, p2, *_ = cv2.stereoRectify(THERMAL_K, none, RGB_K, none, (160, 120), TURN, SHIFT[:, None])
    shift = float(p2[0, 3] / p2[0, 0])
    first = write(tmp_path / "thermal.yaml", ros_yaml("left", THERMAL_K, (160, 120), r1))
    second = write(tmp_path / "rgb.yaml", ros_yaml("right", RGB_K, (320, 240), r2, shift))
    rig = run(tmp_path, "--import", first, second)
    assert rig.rgb_from_thermal is not None
    np.testing.assert_allclose(rig.rgb_from_thermal.rotation, TURN, atol=1e-9)
    np.testing.assert_allclose(rig.rgb_from_thermal.translation_m, SHIFT, atol=1e-9)


def storage(path: Path, **values: object) -> Path:
    file = cv2.FileStorage(str(path), cv2.FILE_STORAGE_WRITE)
    for name, value in values.items():
        file.write(name, value)
    file.release()
    return path


@pytest.mark.parametrize("suffix", ["yml", "xml", "json"])
def test_opencvs_two_files_of_a_stereo_pair(tmp_path, suffix: str) -> None:
    lens = np.array([LENS])
    inside = storage(tmp_path / f"intrinsics.{suffix}", M1=RGB_K, D1=lens, M2=THERMAL_K, D2=lens)
    back = -TURN.T @ SHIFT
    outside = storage(tmp_path / f"extrinsics.{suffix}", R=TURN.T, T=back[:, None] * 1000, Q=np.eye(4))
    words = ["--thermal-camera", "2", "--thermal-size", "160x120", "--rgb-size", "320x240", "--unit", "mm"]
    check(run(tmp_path, "--import", inside, outside, *words))


def test_opencvs_file_with_names_of_its_own(tmp_path) -> None:
    path = storage(
        tmp_path / "rig.yaml",
        cameraMatrixThermal=THERMAL_K, distCoeffsThermal=np.array([LENS]),
        image_size_thermal=np.array([160, 120]), image_size_rgb=np.array([320, 240]),
        cameraMatrixRgb=RGB_K, distCoeffsRgb=np.array([LENS]),
        R=TURN, T=SHIFT[:, None],
    )  # fmt: skip
    check(run(tmp_path, "--import", path))


def test_opencvs_file_for_each_camera(tmp_path) -> None:
    for name, k, size in (("thermal", THERMAL_K, (160, 120)), ("rgb", RGB_K, (320, 240))):
        storage(
            tmp_path / f"{name}.yml", camera_matrix=k, distortion_coefficients=np.array([LENS]),
            image_width=size[0], image_height=size[1],
        )  # fmt: skip
    rig = run(tmp_path, "--import", tmp_path / "thermal.yml", tmp_path / "rgb.yml")
    assert rig.thermal is not None and rig.thermal.matrix.tolist() == THERMAL_K.tolist()
    assert rig.rgb_from_thermal is None


@pytest.mark.parametrize(
    ("change", "words", "said"),
    [
        ({"cam1": {"rostopic": "/boson2/image"}}, [], "name them with --thermal-camera and --rgb-camera"),
        ({"cam0": {"camera_model": "omni"}}, [], "camera_model is 'omni', expected pinhole"),
        ({"cam0": {"intrinsics": [1, 2]}}, [], r"cam0.intrinsics is [1, 2], expected 4 numbers"),
        (
            {},
            ["--thermal-camera", "cam7"],
            "there is no camera cam7; the cameras are cam0 (/boson/image_raw)",
        ),
        ({}, ["--rgb-size", "big"], "size is 'big', expected WxH"),
        ({}, ["--unit", "mm"], None),
    ],
)
def test_what_a_file_does_not_tell(
    tmp_path, capsys, change: dict, words: list[str], said: str | None
) -> None:
    content = camchain()
    for name, values in change.items():
        content[name].update(values)
    path = write(tmp_path / "camchain.yaml", content)
    status = cli.main(["calibrate", "--import", str(path), "--out", str(tmp_path / "out.yaml"), *words])
    assert (status == 0) == (said is None)
    if said is not None:
        assert said in capsys.readouterr().err and not (tmp_path / "out.yaml").exists()


def test_other_tools_files_are_named_where_a_calibration_is_expected(tmp_path) -> None:
    kalibr = write(tmp_path / "camchain.yaml", camchain())
    opencv = storage(tmp_path / "opencv.yaml", camera_matrix=THERMAL_K)
    ros = write(tmp_path / "ros.yaml", ros_yaml("boson", THERMAL_K, (160, 120), np.eye(3)))
    for path, name in ((kalibr, "Kalibr"), (opencv, "OpenCV"), (ros, "ROS")):
        with pytest.raises(ConfigError, match=f"{name}.*ivfusion calibrate --import {path.name}"):
            read_calibration(path)


def test_a_matrix_that_is_none_is_named(tmp_path) -> None:
    path = storage(tmp_path / "rig.yaml", camera_matrix=THERMAL_K)
    path.write_text(path.read_text().replace("rows: 3", "rows: 4"))
    with pytest.raises(ConfigError, match=r"camera_matrix\.data is .* expected 12 numbers"):
        import_calibration([path], {}, {})


def test_xml_with_entities_is_refused(tmp_path) -> None:
    path = storage(tmp_path / "rig.xml", camera_matrix=THERMAL_K)
    path.write_text(path.read_text().replace("<opencv", '<!DOCTYPE a [<!ENTITY b "c">]><opencv', 1))
    with pytest.raises(ConfigError, match="definitions of its own"):
        import_calibration([path], {}, {})


def test_images_or_a_file_but_not_both(tmp_path, capsys) -> None:
    path = write(tmp_path / "camchain.yaml", camchain())
    for words in ([], [str(tmp_path), "--import", str(path)]):
        assert cli.main(["calibrate", *words]) != 0
        assert "either images" in capsys.readouterr().err


def test_opencvs_file_with_a_rotation_vector(tmp_path) -> None:
    path = storage(
        tmp_path / "rig.yaml",
        cameraMatrixThermal=THERMAL_K, distCoeffsThermal=np.array([LENS]),
        image_size_thermal=np.array([160, 120]), image_size_rgb=np.array([320, 240]),
        cameraMatrixRgb=RGB_K, distCoeffsRgb=np.array([LENS]),
        rvec=cv2.Rodrigues(TURN)[0], tvec=SHIFT[:, None],
    )  # fmt: skip
    check(run(tmp_path, "--import", path))
