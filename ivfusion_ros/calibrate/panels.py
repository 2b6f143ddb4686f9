"""The parts of the picture beside a calibration: errors by view, by place and by distance."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import cv2
import numpy as np

from ivfusion_ros.images.draw import PALETTE
from ivfusion_ros.types import CAMERAS, CameraName, Floats, Image, Size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ivfusion_ros.calibrate.by_distance import ErrorAt
    from ivfusion_ros.calibrate.solve import RigFit

PANEL = (640, 480)
THERMAL_COLOUR, RGB_COLOUR = PALETTE[0], PALETTE[1]
ENLARGED = 20
_PAPER, _INK, _LINE = (250, 250, 250), (40, 40, 40), (205, 205, 205)
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_RINGS_PX = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
_DECADES_PX = (0.1, 1.0, 10.0, 100.0)
_CELLS = (8, 6)


def scatter(fit: RigFit) -> Image:
    """Residuals of both cameras around zero, with rings as a scale."""
    picture = np.full((*PANEL[::-1], 3), _PAPER, np.uint8)
    parts = {name: np.concatenate(parts) for name, parts in fit.shared.residuals.items()}
    reach = float(np.percentile(np.linalg.norm(np.concatenate(list(parts.values())), axis=1), 99.5))
    ring = next((ring for ring in _RINGS_PX if ring >= reach / 2), _RINGS_PX[-1])
    scale, (x, y) = 0.22 * PANEL[1] / ring, (PANEL[0] // 2, PANEL[1] // 2)
    for index in (1, 2):
        cv2.circle(picture, (x, y), round(index * ring * scale), _LINE, 1, cv2.LINE_AA)
        _write(picture, f"{index * ring:g} px", (x + 4, y - round(index * ring * scale) - 4))
    cv2.line(picture, (x, 0), (x, PANEL[1]), _LINE)
    cv2.line(picture, (0, y), (PANEL[0], y), _LINE)
    for name, residuals in parts.items():
        for dx, dy in residuals * scale:
            _dot(picture, (x + dx, y + dy), 2.0, _colour(name))
    _legend(picture, fit)
    return picture


def bars(fit: RigFit) -> Image:
    """RMS error of each shared look, both cameras side by side."""
    picture = np.full((*PANEL[::-1], 3), _PAPER, np.uint8)
    errors = {
        name: [float(np.sqrt(np.square(part).sum(axis=1).mean())) for part in parts]
        for name, parts in fit.shared.residuals.items()
    }
    highest = max(max(values) for values in errors.values())
    top = next((ring for ring in _RINGS_PX if ring >= highest), highest)
    left, bottom, height = 50, PANEL[1] - 30, PANEL[1] - 90
    for share in (0.0, 0.5, 1.0):
        at = round(bottom - share * height)
        cv2.line(picture, (left, at), (PANEL[0] - 10, at), _LINE)
        _write(picture, f"{share * top:g}", (8, at + 4))
    step = (PANEL[0] - left - 20) / len(fit.shared.views)
    for offset, (name, values) in enumerate(errors.items()):
        for index, value in enumerate(values):
            start = round(left + 4 + step * (index + 0.45 * offset))
            end = max(start + 1, round(start + 0.4 * step))
            cv2.rectangle(
                picture, (start, round(bottom - value / top * height)), (end, bottom), _colour(name), -1
            )
    _legend(picture, fit)
    return picture


def cover(fit: RigFit, camera: CameraName, size: Size) -> Image:
    """Where in a camera's image corners were seen, and which way they are off."""
    lens = fit.lenses[camera]
    scale = min(PANEL[0] / size[0], PANEL[1] / size[1])
    shape = round(size[1] * scale), round(size[0] * scale), 3
    picture = np.full(shape, _PAPER, np.uint8)
    for column, next_column in pairwise(np.linspace(0, shape[1], 9)):
        for row, next_row in pairwise(np.linspace(0, shape[0], 7)):
            cv2.rectangle(picture, _pixel(column, row), _pixel(next_column, next_row), _LINE, 1)
    for pose, residuals, ids in zip(lens.camera_from_board, lens.residuals, lens.ids, strict=True):
        points = fit.board.points[ids].astype(np.float64)
        seen = (lens.camera.project(pose.apply(points)) + residuals) * scale
        for at, arrow in zip(seen, residuals * scale * ENLARGED, strict=True):
            _dot(picture, at, 1.5, _colour(camera))
            cv2.line(picture, _pixel(*at), _pixel(*(at - arrow)), _INK, 1, cv2.LINE_AA)
    _write(picture, f"{fit.coverage[camera]:.0%} of the image, {lens.rms_px:.2f} px RMS alone", (8, 20))
    return picture


def places(fit: RigFit, camera: CameraName, size: Size) -> Image:
    """Root mean square error of a camera alone in each part of its image, darker for more."""
    lens = fit.lenses[camera]
    sums, counts = np.zeros(_CELLS[::-1]), np.zeros(_CELLS[::-1], int)
    for pose, residuals, ids in zip(lens.camera_from_board, lens.residuals, lens.ids, strict=True):
        seen = lens.camera.project(pose.apply(fit.board.points[ids].astype(np.float64))) + residuals
        cell = np.clip(seen / np.array(size) * _CELLS, 0, np.array(_CELLS) - 1).astype(int)
        np.add.at(sums, (cell[:, 1], cell[:, 0]), np.square(residuals).sum(axis=1))
        np.add.at(counts, (cell[:, 1], cell[:, 0]), 1)
    errors = np.sqrt(sums / np.maximum(counts, 1))
    picture = np.full((*PANEL[::-1], 3), _PAPER, np.uint8)
    width, height = PANEL[0] / _CELLS[0], PANEL[1] / _CELLS[1]
    for row, column in np.ndindex(*counts.shape):
        corners = _pixel(column * width, row * height), _pixel((column + 1) * width, (row + 1) * height)
        if counts[row, column]:
            share = float(errors[row, column] / errors.max())
            colour = tuple(round(250 - share * (250 - part)) for part in _colour(camera))
            cv2.rectangle(picture, *corners, colour, -1)
            _write(picture, f"{errors[row, column]:.2f}", (corners[0][0] + 14, corners[0][1] + 38))
            _write(picture, f"of {counts[row, column]}", (corners[0][0] + 14, corners[0][1] + 58))
        cv2.rectangle(picture, *corners, _LINE, 1)
    return picture


def by_distance(errors: Sequence[ErrorAt]) -> Image:
    """Thermal pixels against metres, both by decades: how sure, and aside of the plane of alignment."""
    picture = np.full((*PANEL[::-1], 3), _PAPER, np.uint8)
    metres = np.log10([error.distance_m for error in errors])
    across = 60 + (metres - metres[0]) / (metres[-1] - metres[0]) * (PANEL[0] - 90)
    for value in _DECADES_PX:
        level = _level(value)
        cv2.line(picture, (50, level), (PANEL[0] - 10, level), _LINE)
        _write(picture, f"{value:g}", (8, level + 4))
    for x, error in zip(across, errors, strict=True):
        _write(picture, f"{error.distance_m:g}", (round(x) - 10, PANEL[1] - 12))
    lines = {"expected error, px": ([error.error_px for error in errors], RGB_COLOUR)}
    lines["aside of the plane of alignment, px"] = ([error.aside_px for error in errors], THERMAL_COLOUR)
    for row, (name, (values, colour)) in enumerate(lines.items()):
        for start, end in pairwise(zip(across, values, strict=True)):
            if np.isfinite([start[1], end[1]]).all():
                first, second = ((round(x), _level(value)) for x, value in (start, end))
                cv2.line(picture, first, second, colour, 2, cv2.LINE_AA)
        _dot(picture, (PANEL[0] - 320, 18 + 22 * row), 5.0, colour)
        _write(picture, name, (PANEL[0] - 308, 23 + 22 * row))
    return picture


def _level(value_px: float) -> int:
    """Height in a panel by decades, between its first and its last one."""
    low, high = np.log10(_DECADES_PX[0]), np.log10(_DECADES_PX[-1])
    share = (np.log10(np.clip(value_px, _DECADES_PX[0], _DECADES_PX[-1])) - low) / (high - low)
    return round(float(PANEL[1] - 40 - share * (PANEL[1] - 110)))


def _colour(camera: CameraName) -> tuple[int, int, int]:
    return THERMAL_COLOUR if camera == "thermal" else RGB_COLOUR


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
