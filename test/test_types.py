"""What frames, pairs, detections and results say of themselves: one line, never an array."""

import numpy as np
import pytest
from message_samples import INFO, detections, result

from ivfusion_ros.errors import ImageError
from ivfusion_ros.types import DepthFrame, Detections, FaultReport, Frame, FramePair, RegistrationReport

COUNTS = Frame(np.zeros((480, 640), np.uint16), 7, "thermal_frame")
RGB = Frame(np.zeros((48, 64, 3), np.uint8), 5, camera_info=INFO, received_ns=9)
DEPTH = np.ones((24, 32), np.float32)
CROWD = Detections(
    np.zeros((300, 4), np.float32),
    np.linspace(0.9, 0.25, 300, dtype=np.float32),
    np.arange(300) % 3 // 2,
    tuple(f"class {index}" for index in range(80)),
    age_ns=40,
)


@pytest.mark.parametrize("shape", [(1, 32767), (40000, 1, 3)])
def test_sides_that_opencv_cannot_warp_are_refused(shape) -> None:
    with pytest.raises(ImageError, match="expected sides of at most 32766 pixels"):
        Frame(np.zeros(shape, np.uint8), 0)
    Frame(np.zeros((1, 32766), np.uint8), 0)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (COUNTS, "Frame(image=uint16 (480, 640), stamp_ns=7, frame_id='thermal_frame')"),
        (
            RGB,
            "Frame(image=uint8 (48, 64, 3), stamp_ns=5, "
            f"camera_info={INFO.width}x{INFO.height}, received_ns=9)",
        ),
        (
            FramePair(COUNTS, RGB, 2, DEPTH),
            f"FramePair(thermal={COUNTS}, rgb={RGB}, skew_ns=2, depth=float32 (24, 32))",
        ),
        (DepthFrame(DEPTH, 3), "DepthFrame(image=float32 (24, 32), stamp_ns=3)"),
        (CROWD, "Detections(200 class 0, 100 class 1, scores 0.90 to 0.25, age_ns=40)"),
        (Detections.empty(("person",)), "Detections(no objects)"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_repr(value: object, expected: str) -> None:
    assert repr(value) == expected


@pytest.mark.parametrize("found", [None, detections(), CROWD])
def test_repr_of_a_result(found: Detections | None) -> None:
    told = repr(
        result(
            detections=found,
            faults=FaultReport(("rgb_dark",), 1.0, 0.25),
            registration=RegistrationReport(0.75, 1.5),
            timings_ms={"fuse": 12.345678},
        )
    )
    assert told.startswith(
        "FusionResult(fused=uint8 (6, 8, 3), thermal=uint8 (6, 8), rgb=uint8 (6, 8, 3), "
    )
    assert told.endswith("timings_ms={fuse: 12.35})")
    assert "\n" not in told and "array" not in told and len(told) < 700
    for part in (found, "rgb_dark", "0.25", "confidence=0.75"):
        assert part is None or str(part) in told
