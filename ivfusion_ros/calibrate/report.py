"""The picture beside a calibration, by which a person judges it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import cv2
import numpy as np

from ivfusion_ros.images.draw import PALETTE, contact_sheet
from ivfusion_ros.types import CAMERAS, CameraName, Floats, Image, Size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ivfusion_ros.calibrate.solve import RigFit

_TILES = 8
_THERMAL_COLOUR, _RGB_COLOUR = PALETTE[0], PALETTE[1]
_PAPER, _INK, _LINE = (250, 250, 250), (40, 40, 40), (205, 205, 205)
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_PANEL = (640, 480)
_RINGS_PX = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
_ENLARGED = 20


@dataclass(frozen=True, eq=False)
class Overlay:
    """A pair in the RGB camera's geometry. thermal: (H, W) uint8, warped; rgb: (H, W, 3) uint8."""

    thermal: Image
    rgb: Image


def target_report(fit: RigFit, overlay: Overlay, sizes: dict[CameraName, Size]) -> Image:
    """Pictures of a calibration by a board, (H, W, 3) RGB."""
    used = len(fit.shared.views)
    panels = {
        f"thermal over RGB in tiles, {fit.shared.rms_px():.2f} px RMS": tiles(overlay),
        "edges of the warped thermal image over RGB": edges(overlay),
        f"reprojection errors of {used} shared views": _scatter(fit),
        "error of each shared view": _bars(fit),
        f"corners in {len(fit.lenses['thermal'].used)} thermal views, errors x{_ENLARGED}": _cover(
            fit, "thermal", sizes["thermal"]
        ),
        f"corners in {len(fit.lenses['rgb'].used)} RGB views, errors x{_ENLARGED}": _cover(
            fit, "rgb", sizes["rgb"]
        ),
    }
    return contact_sheet(list(panels.values()), list(panels), columns=2, cell_width=_PANEL[0])


def scene_report(before: Overlay, after: Overlay, confidence: float) -> Image:
    """Pictures of a calibration by ordinary scenes, (H, W, 3) RGB."""
    panels = {
        "before, in tiles": tiles(before),
        f"calibrated, confidence {confidence:.2f}": tiles(after),
        "before, thermal edges over RGB": edges(before),
        "calibrated, thermal edges over RGB": edges(after),
    }
    return contact_sheet(list(panels.values()), list(panels), columns=2, cell_width=_PANEL[0])


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
    picture[(found > 0) & inside] = _THERMAL_COLOUR
    return picture


def _scatter(fit: RigFit) -> Image:
    """Residuals of both cameras around zero, with rings as a scale."""
    picture = np.full((*_PANEL[::-1], 3), _PAPER, np.uint8)
    parts = {name: np.concatenate(parts) for name, parts in fit.shared.residuals.items()}
    reach = float(np.percentile(np.linalg.norm(np.concatenate(list(parts.values())), axis=1), 99.5))
    ring = next((ring for ring in _RINGS_PX if ring >= reach / 2), _RINGS_PX[-1])
    scale, (x, y) = 0.22 * _PANEL[1] / ring, (_PANEL[0] // 2, _PANEL[1] // 2)
    for index in (1, 2):
        cv2.circle(picture, (x, y), round(index * ring * scale), _LINE, 1, cv2.LINE_AA)
        _write(picture, f"{index * ring:g} px", (x + 4, y - round(index * ring * scale) - 4))
    cv2.line(picture, (x, 0), (x, _PANEL[1]), _LINE)
    cv2.line(picture, (0, y), (_PANEL[0], y), _LINE)
    for name, residuals in parts.items():
        for dx, dy in residuals * scale:
            _dot(picture, (x + dx, y + dy), 2.0, _colour(name))
    _legend(picture, fit)
    return picture


def _bars(fit: RigFit) -> Image:
    """RMS error of each shared look, both cameras side by side."""
    picture = np.full((*_PANEL[::-1], 3), _PAPER, np.uint8)
    errors = {
        name: [float(np.sqrt(np.square(part).sum(axis=1).mean())) for part in parts]
        for name, parts in fit.shared.residuals.items()
    }
    highest = max(max(values) for values in errors.values())
    top = next((ring for ring in _RINGS_PX if ring >= highest), highest)
    left, bottom, height = 50, _PANEL[1] - 30, _PANEL[1] - 90
    for share in (0.0, 0.5, 1.0):
        at = round(bottom - share * height)
        cv2.line(picture, (left, at), (_PANEL[0] - 10, at), _LINE)
        _write(picture, f"{share * top:g}", (8, at + 4))
    step = (_PANEL[0] - left - 20) / len(fit.shared.views)
    for offset, (name, values) in enumerate(errors.items()):
        for index, value in enumerate(values):
            start = round(left + 4 + step * (index + 0.45 * offset))
            end = max(start + 1, round(start + 0.4 * step))
            cv2.rectangle(
                picture, (start, round(bottom - value / top * height)), (end, bottom), _colour(name), -1
            )
    _legend(picture, fit)
    return picture


def _cover(fit: RigFit, camera: CameraName, size: Size) -> Image:
    """Where in a camera's image corners were seen, and which way they are off."""
    lens = fit.lenses[camera]
    scale = min(_PANEL[0] / size[0], _PANEL[1] / size[1])
    shape = round(size[1] * scale), round(size[0] * scale), 3
    picture = np.full(shape, _PAPER, np.uint8)
    for column, next_column in pairwise(np.linspace(0, shape[1], 9)):
        for row, next_row in pairwise(np.linspace(0, shape[0], 7)):
            cv2.rectangle(picture, _pixel(column, row), _pixel(next_column, next_row), _LINE, 1)
    for pose, residuals, ids in zip(lens.camera_from_board, lens.residuals, lens.ids, strict=True):
        points = fit.board.points[ids].astype(np.float64)
        seen = (lens.camera.project(pose.apply(points)) + residuals) * scale
        for at, arrow in zip(seen, residuals * scale * _ENLARGED, strict=True):
            _dot(picture, at, 1.5, _colour(camera))
            cv2.line(picture, _pixel(*at), _pixel(*(at - arrow)), _INK, 1, cv2.LINE_AA)
    _write(picture, f"{fit.coverage[camera]:.0%} of the image, {lens.rms_px:.2f} px RMS alone", (8, 20))
    return picture


def _colour(camera: CameraName) -> tuple[int, int, int]:
    return _THERMAL_COLOUR if camera == "thermal" else _RGB_COLOUR


def _legend(picture: Image, fit: RigFit) -> None:
    for row, name in enumerate(CAMERAS):
        _dot(picture, (14, 18 + 22 * row), 5.0, _colour(name))
        _write(picture, f"{name}: {fit.shared.rms_px(name):.3f} px RMS", (26, 23 + 22 * row))


def _dot(picture: Image, at: Sequence[float] | Floats, radius: float, colour: tuple[int, int, int]) -> None:
    """A filled circle at a fraction of a pixel."""
    x, y = (round(float(value) * 16) for value in at)
    cv2.circle(picture, (x, y), round(radius * 16), colour, -1, cv2.LINE_AA, 4)


def _pixel(x: float, y: float) -> tuple[int, int]:
    return round(float(x)), round(float(y))


def _write(picture: Image, text: str, at: tuple[int, int]) -> None:
    cv2.putText(picture, text, at, _FONT, 0.45, _INK, 1, cv2.LINE_AA)
