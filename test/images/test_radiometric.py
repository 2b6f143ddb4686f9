"""FLIR's radiometric JPEGs: temperatures and the RGB image in them, and files that only look like it."""

import logging
import struct
import sys

import cv2
import numpy as np
import pytest

from ivfusion_ros.errors import ImageError
from ivfusion_ros.images import radiometric
from ivfusion_ros.images.radiometric import read_camera_image

R1, R2, B, F, OFFSET = 17000.0, 0.0125, 1435.0, 1.0, -6300
"""Planck constants of a camera; without air in between and with an emissivity of 1 nothing else counts."""


@pytest.fixture(autouse=True)
def _nothing_said():
    radiometric._said.clear()


def segment(marker, body):
    return bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body


def camera_info():
    record = bytearray(900)
    struct.pack_into("<6f", record, 32, 1.0, 0.0, 293.15, 293.15, 293.15, 1.0)
    struct.pack_into("<f", record, 60, 0.5)
    struct.pack_into("<3f", record, 88, R1, B, F)
    struct.pack_into("<5f", record, 112, 0.006569, 0.01262, -0.002276, -0.00667, 1.9)
    struct.pack_into("<if", record, 776, OFFSET, R2)
    return bytes(record)


def image_record(width, height, content):
    return struct.pack("<3H", 0, width, height).ljust(32, b"\0") + content


def flir_jpeg(path, counts, optical=None):
    """As FLIR's cameras write it, by exiftool's tables: FFF records in APP1 segments, a painted picture."""
    height, width = counts.shape
    # FLIR swaps the bytes of its PNG.
    records = {
        1: image_record(width, height, cv2.imencode(".png", counts.byteswap())[1].tobytes()),
        32: camera_info(),
    }
    if optical is not None:
        jpeg = cv2.imencode(".jpg", optical[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 98])[1].tobytes()
        records[14] = image_record(optical.shape[1], optical.shape[0], jpeg)
    # Cameras leave entries of their directory empty at its end.
    entries = len(records) + 4
    place = 64 + 32 * entries
    directory, bodies = b"", b""
    for kind, body in records.items():
        entry = struct.pack(">2H4I", kind, 3 if kind == 1 else 1, 100, 1, place + len(bodies), len(body))
        directory += entry.ljust(32, b"\0")
        bodies += body
    head = b"FFF\0" + b"test".ljust(16, b"\0") + struct.pack(">3I", 100, 64, entries)
    fff = head.ljust(64, b"\0") + directory.ljust(32 * entries, b"\0") + bodies
    parts = [fff[start : start + 65000] for start in range(0, len(fff), 65000)]
    app1 = b"".join(
        segment(0xE1, b"FLIR\0\1" + bytes([number, len(parts) - 1]) + part)
        for number, part in enumerate(parts)
    )
    path.write_bytes(painted()[:2] + app1 + painted()[2:])
    return path


def painted():
    grey = np.tile(np.arange(64, dtype=np.uint8) * 4, (48, 1))
    return cv2.imencode(".jpg", cv2.applyColorMap(grey, cv2.COLORMAP_JET))[1].tobytes()


def counts():
    y, x = np.mgrid[:48, :64]
    return (12000 + 40 * x + 25 * y).astype(np.uint16)


def test_temperatures_are_those_of_plancks_law(tmp_path):
    pytest.importorskip("flyr")
    path = flir_jpeg(tmp_path / "a.jpg", counts())
    kelvin = read_camera_image(path, "thermal")
    expected = B / np.log(R1 / (R2 * (counts().astype(float) + OFFSET)) + F)
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
    assert "128x96 pixels, expected at most" in caplog.text
