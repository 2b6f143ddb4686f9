"""The scores of one fused image, from files or arrays; runs in worker processes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ivfusion_ros.errors import ImageError
from ivfusion_ros.evaluation.fusion.names import FADED, FAINT, PEOPLE
from ivfusion_ros.evaluation.fusion.people import people_scores
from ivfusion_ros.images.files import read_image
from ivfusion_ros.metrics.flicker import FLICKER, Moment
from ivfusion_ros.metrics.table import EYE_METRICS, METRICS
from ivfusion_ros.types import AnyImage, Image

if TYPE_CHECKING:
    from collections.abc import Sequence


JUDGED_BY = METRICS | EYE_METRICS
"""What any image may be scored by, by name."""
LOWER_IS_BETTER = frozenset({"MSE", *EYE_METRICS, *FLICKER, FADED, FAINT})


@dataclass(frozen=True)
class Shot:
    """Both sources and their fusion, as files, or the fused image as pixels.

    people: as in Pair.
    """

    thermal: Path
    rgb: Path
    fused: Path | Image
    people: Path | None = None


def score(shot: Shot, metrics: Sequence[str], before: Shot | None) -> dict[str, float]:
    """The columns of the named metrics; FLICKER too where the shot follows one in a video that can be read.

    Raises ImageError for images that cannot be read or compared, DataError for a file of people.
    """
    moment = read_moment(shot)
    values = {name: JUDGED_BY[name](*moment) for name in metrics if name in JUDGED_BY}
    if PEOPLE in metrics:
        values |= people_scores(moment, shot.people)
    if before is not None:
        try:
            earlier = read_moment(before)
            values |= {name: measure(earlier, moment) for name, measure in FLICKER.items()}
        except ImageError:
            # The predecessor is reported where it is scored itself.
            return values
    return values


def columns(metrics: Sequence[str]) -> list[str]:
    """The names of what the named metrics give."""
    return [
        *(name for name in metrics if name != PEOPLE),
        *((PEOPLE, FADED, FAINT) if PEOPLE in metrics else ()),
    ]


def read_moment(shot: Shot) -> Moment:
    """Thermal, visible and fused luminance, (H, W) uint8. Raises ImageError where sizes differ."""
    thermal, visible = luminance(read_image(shot.thermal)), luminance(read_image(shot.rgb))
    fused = luminance(read_image(shot.fused) if isinstance(shot.fused, Path) else shot.fused)
    if not thermal.shape == visible.shape == fused.shape:
        sizes = [f"{image.shape[1]}x{image.shape[0]}" for image in (thermal, visible, fused)]
        names = shot.thermal.parent.name, shot.rgb.parent.name
        raise ImageError(
            f"{names[0]} is {sizes[0]}, {names[1]} {sizes[1]}, fused {sizes[2]}; expected one size: "
            "register the pair, and have the fused image written in the size of its sources"
        )
    return thermal, visible, fused


def luminance(image: AnyImage) -> Image:
    """BT.601 luminance, rounded, of an RGB image; grey as it is. Raises ImageError for 16 bits."""
    if image.dtype != np.uint8:
        raise ImageError(f"image is {image.dtype}, metrics need 8 bits; scale it first")
    if image.ndim == 2:
        return image.view(np.uint8)
    weighted = np.rint(image @ np.array([0.299, 0.587, 0.114]))
    return np.asarray(weighted, np.uint8)
