"""FLIR's radiometric JPEGs: temperatures and the RGB image in them, and files that only look like it."""

import logging
import struct
import sys

import numpy as np
import pytest
from radiometric_samples import counts, flir_jpeg, kelvin_of, painted, segment

from ivfusion_ros.errors import ImageError
from ivfusion_ros.images import radiometric
from ivfusion_ros.images.radiometric import read_camera_image


@pytest.fixture(autouse=True)
def _nothing_said():
    radiometric._said.clear()


def test_temperatures_are_those_of_plancks_law(tmp_path):
    pytest.importorskip("flyr")
    path = flir_jpeg(tmp_path / "a.jpg", counts())
    kelvin = read_camera_image(path, "thermal")
    expected = kelvin_of(counts())
    assert kelvin.dtype == np.float32 and kelvin.shape == (48, 64)
    assert 250 < expected.min() < expected.max() < 400
    assert np.abs(kelvin - expected).max() < 0.05


def test_the_embedded_image_is_the_rgb_camera_s(tmp_path):
    pytest.importorskip("flyr")
    y, x = np.mgrid[:96, :128]
    optical = np.stack([x, y, 200 - x], axis=-1).astype(np.uint8)
    path = flir_jpeg(tmp_path / "a.jpg", counts(), optical)
    image = read_camera_image(path, "rgb")
    assert image.shape == (96, 128, 3) and np.abs(image.astype(int) - optical).mean() < 2


def test_without_an_embedded_image_the_picture_is_taken_and_said_once(tmp_path, caplog):
    pytest.importorskip("flyr")
    path = flir_jpeg(tmp_path / "a.jpg", counts())
    for _ in range(2):
        assert read_camera_image(path, "rgb").shape == (48, 64, 3)
    assert [record.getMessage() for record in caplog.records] == [
        f"{path} looks radiometric (FLIR), but no RGB image is embedded in it, so its picture is taken"
    ]


def test_counts_that_declare_too_much_are_not_unpacked(tmp_path, caplog, monkeypatch):
    flyr = pytest.importorskip("flyr")
    monkeypatch.setattr(flyr, "unpack", lambda _: pytest.fail("unpacked"))
    path = flir_jpeg(tmp_path / "a.jpg", counts())
    png = path.read_bytes()
    place = png.index(b"IHDR") + 4
    path.write_bytes(png[:place] + struct.pack(">II", 13000, 13000) + png[place + 8 :])
    assert read_camera_image(path, "thermal").shape == (48, 64, 3)
    (said,) = (record.getMessage() for record in caplog.records)
    assert "but its PNG declares 13000x13000 pixels in" in said and said.endswith("so its picture is taken")


@pytest.mark.parametrize(
    "body", [b"FLIR\0\1\0\0FFF\0" + bytes(64), b"FLIR\0", b"FLIR\0\1\0\3" + bytes(900)]
)
def test_what_only_looks_radiometric_says_so(tmp_path, caplog, body):
    pytest.importorskip("flyr")
    path = tmp_path / "a.jpg"
    path.write_bytes(painted()[:2] + segment(0xE1, body) + painted()[2:])
    assert read_camera_image(path, "thermal").shape == (48, 64, 3)
    (said,) = (record.getMessage() for record in caplog.records)
    assert "looks radiometric (FLIR), but flyr finds no thermal data in it" in said


def test_without_flyr_the_install_is_named(tmp_path, caplog, monkeypatch):
    monkeypatch.setitem(sys.modules, "flyr", None)
    read_camera_image(flir_jpeg(tmp_path / "a.jpg", counts()), "thermal")
    assert "temperatures need flyr" in caplog.text and "pip install flyr" in caplog.text


def test_djis_files_are_named(tmp_path, caplog):
    path = tmp_path / "a.jpg"
    app3 = segment(0xE1, b"Exif\0\0 DJI") + segment(0xE3, bytes(200))
    path.write_bytes(painted()[:2] + app3 + painted()[2:])
    read_camera_image(path, "thermal")
    assert "looks radiometric (DJI), but only DJI's own SDK" in caplog.text


def test_other_files_pass_without_a_word(tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    (tmp_path / "a.jpg").write_bytes(painted())
    for camera in ("thermal", "rgb"):
        assert read_camera_image(tmp_path / "a.jpg", camera).shape == (48, 64, 3)
    assert not caplog.records
    with pytest.raises(ImageError, match="cannot read"):
        read_camera_image(tmp_path / "missing.jpg", "rgb")


def test_what_is_too_large_is_refused(tmp_path, caplog):
    pytest.importorskip("flyr")
    path = flir_jpeg(tmp_path / "a.jpg", np.tile(counts(), (2, 2)))
    read_camera_image(path, "thermal", 64 * 48)
    assert "its PNG declares 128x96 pixels in 6156 bytes, expected at most" in caplog.text
