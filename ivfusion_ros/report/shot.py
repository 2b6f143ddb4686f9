"""A moment on a page: both cameras' images, the fused one, and what was found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from ivfusion_ros.detection.rows import as_rows
from ivfusion_ros.images.encodings import to_rgb
from ivfusion_ros.images.files import data_uri

if TYPE_CHECKING:
    from ivfusion_ros.types import FusionResult, Image

_MAX_WIDTH = 800
"""Pixels; a page of sixty shots of this size has some ten megabytes."""
_QUALITY = 78
_BINS = 32


@dataclass(frozen=True)
class Shot:
    """index: of the result in its run, from 0. size: width and height that the boxes are in.

    images: data URIs of thermal, rgb and fused. boxes: rows of as_rows. histogram: of the thermal image's
    grey levels, counts from dark to bright. facts: what is written beside them, by name.
    """

    index: int
    title: str
    size: tuple[int, int]
    images: dict[str, str]
    boxes: list[dict[str, Any]]
    histogram: list[int]
    facts: dict[str, str]


def shot_of(result: FusionResult, index: int, title: str) -> Shot:
    """A result as a shot, its images reduced to what a screen shows."""
    images = {"thermal": to_rgb(result.thermal), "rgb": result.rgb, "fused": result.fused}
    faults = ", ".join(result.faults.labels)
    facts = {
        "mode": result.mode.replace("_", " "),
        "skew": f"{result.skew_ns / 1e6:.1f} ms",
        "time": f"{sum(result.timings_ms.values()):.1f} ms",
        **({"faults": faults} if faults else {}),
    }
    if result.registration.confidence is not None:
        facts["registration"] = f"confidence {result.registration.confidence:.2f}"
    return Shot(
        index,
        title,
        result.size,
        {name: page_image(image) for name, image in images.items()},
        [] if result.detections is None else as_rows(result.detections),
        np.histogram(result.thermal, _BINS, (0, 256))[0].tolist(),
        facts,
    )


def page_image(image: Image, max_width: int = _MAX_WIDTH) -> str:
    """An image within a page, reduced to a width in pixels where it is wider."""
    scale = max_width / image.shape[1]
    if scale < 1:
        image = np.asarray(
            cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8
        )
    return data_uri(image, "webp", _QUALITY)
