"""Messages that merely look like those of ROS, and a result to make some of."""

import array
from types import SimpleNamespace
from typing import Any

import numpy as np

from ivfusion_ros.types import CameraInfo, Detections, FusionResult, Header, Positions

STAMP_NS = 1_500_000_001
HEADER = Header(STAMP_NS, "rgb")
INFO = CameraInfo(8, 6, "rational_polynomial", tuple(float(value) for value in range(8)))


def make(type_name: str, /, **fields: Any) -> Any:
    """A Make whose messages are nothing but their fields."""
    return SimpleNamespace(type_name=type_name, **fields)


def image_like(pixels: np.ndarray, encoding: str, stamp_ns: int = 0) -> Any:
    sec, nanosec = divmod(stamp_ns, 10**9)
    return SimpleNamespace(
        header=SimpleNamespace(
            stamp=SimpleNamespace(sec=sec, nanosec=nanosec), frame_id="camera_optical_frame"
        ),
        height=pixels.shape[0],
        width=pixels.shape[1],
        encoding=encoding,
        is_bigendian=0,
        step=pixels.strides[0],
        data=array.array("B", pixels.tobytes()),
    )


def detections() -> Detections:
    """A car that only the RGB camera sees, and a person that only the thermal camera sees."""
    nan = [np.nan] * 4
    return Detections(
        np.array([[1.5, 2, 11.25, 30], [0, 0, 3, 4]], np.float32),
        np.array([0.875, 0.5], np.float32),
        np.array([1, 0]),
        ("person", "car"),
        np.array([nan, [5, 6, 9, 12]], np.float32),
        np.array([[1, 1, 3, 3], nan], np.float32),
        np.array([np.nan, 310.5], np.float32),
        np.array([np.nan, 300.25], np.float32),
        positions=Positions(np.ones((2, 3)), np.ones((2, 3)), np.ones((2, 3, 3)), "rgb"),
    )


def result(**fields: Any) -> FusionResult:
    """With something for every output."""
    random = np.random.default_rng(0)
    fused, rgb = random.integers(0, 256, (2, 6, 8, 3), np.uint8)
    values = {
        "camera_info": INFO,
        "headers": {"thermal": Header(STAMP_NS - 7, "thermal"), "rgb": HEADER},
        "detections": detections(),
        "measured": random.integers(0, 2**16, (6, 8), np.uint16),
        **fields,
    }
    return FusionResult(fused, rgb[..., 0], rgb, STAMP_NS, "rgb", **values)
