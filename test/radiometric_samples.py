"""Radiometric JPEGs as FLIR's cameras write them, and what is in them."""

import struct

import cv2
import numpy as np

R1, R2, B, F, OFFSET = 17000.0, 0.0125, 1435.0, 1.0, -6300
"""Planck constants of a camera; without air in between and with an emissivity of 1 nothing else counts."""


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


def kelvin_of(values):
    """By Planck's law, as the cameras' makers give it."""
    return B / np.log(R1 / (R2 * (values.astype(float) + OFFSET)) + F)
