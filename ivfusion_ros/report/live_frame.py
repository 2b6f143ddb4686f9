"""What a browser is sent of a result: one picture of the parts that it shows, and figures."""

from __future__ import annotations

import json
import math
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from ivfusion_ros.detection.rows import as_rows
from ivfusion_ros.images.encodings import to_rgb
from ivfusion_ros.images.files import encode_compressed
from ivfusion_ros.report.heat import histogram_of, measured_values
from ivfusion_ros.report.shot import facts_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ivfusion_ros.types import FusionResult, Image

_MAX_WIDTH = 800
_QUALITY = 80
_EVERY = 4
"""Step of the pixels that a histogram is made of."""


@dataclass(frozen=True)
class Look:
    """What a browser shows: the parts' edges as shares of the width, the cursor as shares of both sides."""

    first: float = 1 / 3
    second: float = 2 / 3
    cursor: tuple[float, float] | None = None


def look_of(message: Mapping[str, Any]) -> Look:
    """Of a browser's message; what makes no sense there is left out."""
    first, second = (
        _share(message.get(name), default) for name, default in (("first", 0.0), ("second", 0.0))
    )
    at = message.get("cursor")
    known = isinstance(at, list) and len(at) == 2 and all(_share(value, -1.0) >= 0 for value in at)
    return Look(
        first, max(first, second), (_share(at[0], 0.0), _share(at[1], 0.0)) if known and at else None
    )


def _share(value: Any, default: float) -> float:
    good = isinstance(value, (int, float)) and 0 <= value <= 1
    return float(value) if good else default


def live_frame(result: FusionResult, look: Look, number: int, status: Mapping[str, str]) -> bytes:
    """Length of the JSON (4 bytes, little-endian), the JSON, and the picture as JPEG."""
    measured, histogram = result.measured, None
    if number % 5 == 0:
        few = None if measured is None else measured[::_EVERY, ::_EVERY]
        histogram = vars(histogram_of(few, result.thermal[::_EVERY, ::_EVERY]))
    content = {
        "number": number,
        "size": result.size,
        "boxes": [] if result.detections is None else as_rows(result.detections),
        "facts": {**facts_of(result), **status},
        "histogram": histogram,
        "cursor": None if look.cursor is None else _temperature(result, look.cursor),
    }
    text = json.dumps(content).encode()
    return struct.pack("<I", len(text)) + text + encode_compressed(composed(result, look), "jpeg", _QUALITY)


def composed(result: FusionResult, look: Look) -> Image:
    """(H, W, 3): thermal, RGB and fused image, each where the browser shows it; only that is scaled."""
    width, height = result.size
    edges = [0, round(look.first * width), round(look.second * width), width]
    parts = [
        to_rgb(image[:, left:right])
        for image, left, right in zip(
            (result.thermal, result.rgb, result.fused), edges, edges[1:], strict=False
        )
        if right > left
    ]
    picture = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)
    if width <= _MAX_WIDTH:
        return picture
    size = (_MAX_WIDTH, max(1, round(height * _MAX_WIDTH / width)))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)


def _temperature(result: FusionResult, cursor: tuple[float, float]) -> str | None:
    """What the thermal camera measured there, with its unit."""
    measured = result.measured
    if measured is None:
        return None
    row = min(int(cursor[1] * measured.shape[0]), measured.shape[0] - 1)
    column = min(int(cursor[0] * measured.shape[1]), measured.shape[1] - 1)
    values, unit = measured_values(measured[row : row + 1, column : column + 1])
    value = float(values[0, 0])
    return f"{value:.1f} {unit}" if math.isfinite(value) else None
