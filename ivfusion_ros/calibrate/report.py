"""The picture beside a calibration, by which a person judges it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from ivfusion_ros.calibrate.panels import (
    ENLARGED,
    PANEL,
    THERMAL_COLOUR,
    bars,
    by_distance,
    cover,
    places,
    scatter,
)
from ivfusion_ros.images.sheet import contact_sheet
from ivfusion_ros.types import CameraName, Image, Size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ivfusion_ros.calibrate.by_distance import ErrorAt
    from ivfusion_ros.calibrate.solve import RigFit

_TILES = 8


@dataclass(frozen=True, eq=False)
class Overlay:
    """A pair in the RGB camera's geometry. thermal: (H, W) uint8, warped; rgb: (H, W, 3) uint8."""

    thermal: Image
    rgb: Image


def target_report(
    fit: RigFit,
    example: Overlay,
    at_distances: dict[str, Overlay],
    errors: Sequence[ErrorAt],
    sizes: dict[CameraName, Size],
) -> Image:
    """Pictures of a calibration by a board, (H, W, 3) RGB; at_distances: by what is to be written above."""
    panels = {
        f"thermal over RGB in tiles, {fit.shared.rms_px():.2f} px RMS": tiles(example),
        **{f"thermal edges over RGB, {name}": edges(overlay) for name, overlay in at_distances.items()},
        f"reprojection errors of {len(fit.shared.views)} shared views": scatter(fit),
        "error of each shared view": bars(fit),
    }
    for name, size in sizes.items():
        used = len(fit.lenses[name].used)
        panels[f"corners in {used} {name} views, errors x{ENLARGED}"] = cover(fit, name, size)
    for name, size in sizes.items():
        panels[f"error by place in the {name} image, px"] = places(fit, name, size)
    panels["thermal pixels of error by distance, metres"] = by_distance(errors)
    return contact_sheet(list(panels.values()), list(panels), columns=2, cell_width=PANEL[0])


def scene_report(before: Overlay, after: Overlay, confidence: float) -> Image:
    """Pictures of a calibration by ordinary scenes, (H, W, 3) RGB."""
    panels = {
        "before, in tiles": tiles(before),
        f"calibrated, confidence {confidence:.2f}": tiles(after),
        "before, thermal edges over RGB": edges(before),
        "calibrated, thermal edges over RGB": edges(after),
    }
    return contact_sheet(list(panels.values()), list(panels), columns=2, cell_width=PANEL[0])


def tiles(overlay: Overlay) -> Image:
    """Thermal and RGB alternating like the fields of a checkerboard: lines must go on across them."""
    height, width = overlay.thermal.shape
    side = max(8, width // _TILES)
    rows, columns = np.arange(height)[:, None] // side, np.arange(width)[None] // side
    picture = overlay.rgb.copy()
    here = (rows + columns) % 2 == 0
    picture[here] = overlay.thermal[here][:, None]
    return picture


def edges(overlay: Overlay) -> Image:
    """Where the thermal image changes most, drawn on the darkened RGB image."""
    smooth = cv2.GaussianBlur(overlay.thermal, (0, 0), 1.2)
    strength = cv2.magnitude(
        cv2.Sobel(smooth, cv2.CV_32F, 1, 0, ksize=3), cv2.Sobel(smooth, cv2.CV_32F, 0, 1, ksize=3)
    )
    inside = cv2.erode((overlay.thermal > 0).astype(np.uint8), np.ones((7, 7), np.uint8)) > 0
    strength = np.where(inside, strength, 0)
    high = float(np.percentile(strength[inside], 96)) if inside.any() else 1.0
    found = cv2.Canny(smooth, 0.4 * high, max(high, 1.0), L2gradient=True)
    picture = np.asarray(overlay.rgb * 0.65, np.uint8)
    picture[(found > 0) & inside] = THERMAL_COLOUR
    return picture
