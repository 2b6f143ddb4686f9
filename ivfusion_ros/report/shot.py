"""A moment on a page: images of it to compare, and what was found."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from ivfusion_ros.detection.rows import as_rows
from ivfusion_ros.images.encodings import to_grey, to_rgb
from ivfusion_ros.images.files import data_uri
from ivfusion_ros.report.heat import Heat, Histogram, heat_of, histogram_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ivfusion_ros.types import FusionResult, Image

_MAX_WIDTH = 800
"""Pixels; a page of sixty shots of this size has some ten megabytes."""
_QUALITY = 78
_ZERO_CELSIUS_K = 273.15


@dataclass(frozen=True)
class Shot:
    """index: of the result in its run, from 0. size: width and height that the boxes are in.

    images: data URIs by name: thermal, rgb, and what was made of them. boxes: rows of as_rows; own_boxes:
    of single images, where these differ. facts: what is written beside them, by name.
    """

    index: int
    title: str
    size: tuple[int, int]
    images: dict[str, str]
    boxes: list[dict[str, Any]]
    histogram: Histogram | None
    facts: dict[str, str]
    heat: Heat | None = None
    own_boxes: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    @property
    def picture_bytes(self) -> int:
        """What its images add to a page."""
        return sum(map(len, self.images.values()))


def shot_of(result: FusionResult, index: int, title: str) -> Shot:
    """A result as a shot, its images reduced to what a screen shows."""
    images = {"thermal": to_rgb(result.thermal), "rgb": result.rgb, "fused": result.fused}
    return Shot(
        index,
        title,
        result.size,
        {name: page_image(image) for name, image in images.items()},
        [] if result.detections is None else as_rows(result.detections),
        histogram_of(result.measured, result.thermal),
        facts_of(result),
        None if result.measured is None else heat_of(result.measured),
    )


def facts_of(result: FusionResult) -> dict[str, str]:
    """What is written beside a result's images."""
    faults = ", ".join(result.faults.labels)
    facts = {
        "mode": result.mode.replace("_", " "),
        "skew": f"{result.skew_ns / 1e6:.1f} ms",
        "time": f"{sum(result.timings_ms.values()):.1f} ms",
        **({"faults": faults} if faults else {}),
    }
    if result.registration.confidence is not None:
        facts["registration"] = f"confidence {result.registration.confidence:.2f}"
    if result.registration.bumped:
        found = ", as the matcher found" if result.registration.by_matcher else ""
        facts["camera"] = f"was moved{found}"
    return facts


def label_of(row: Mapping[str, Any]) -> str:
    """Class, track, score and hottest temperature of a row of as_rows, as far as there are."""
    track = "" if row.get("track") is None else f" {row['track']}"
    kelvin = row.get("max_kelvin")
    heat = "" if kelvin is None else f" {kelvin - _ZERO_CELSIUS_K:.1f} °C"
    return f"{row['class']}{track} {row['score']:.2f}{heat}"


def shot_of_images(
    images: Mapping[str, Image],
    index: int,
    title: str,
    facts: Mapping[str, str],
    own_boxes: Mapping[str, list[dict[str, Any]]] | None = None,
) -> Shot:
    """Images of one scene by name, (H, W) or (H, W, 3) uint8, the first one's size holds for the boxes."""
    height, width = next(iter(images.values())).shape[:2]
    thermal = images.get("thermal")
    return Shot(
        index,
        title,
        (width, height),
        {name: page_image(to_rgb(image)) for name, image in images.items()},
        [],
        None if thermal is None else histogram_of(None, np.asarray(to_grey(thermal), np.uint8)),
        dict(facts),
        None,
        dict(own_boxes or {}),
    )


def page_image(image: Image, max_width: int = _MAX_WIDTH) -> str:
    """An image within a page, reduced to a width in pixels where it is wider."""
    return data_uri(reduced(image, max_width), "webp", _QUALITY)


def reduced(image: Image, max_width: int = _MAX_WIDTH) -> Image:
    """An image as it is, or scaled to a width in pixels where it is wider."""
    scale = max_width / image.shape[1]
    if scale >= 1:
        return image
    return np.asarray(cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)
