"""Contact sheets: images in a grid, each with its title."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ivfusion_ros.types import Image, Size

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_INK, _SHEET = (255, 255, 255), (24, 24, 24)
_MARGIN = 6
_LEAST_LINE = 20
"""Pixels, in which letters are legible."""


def contact_sheet(
    images: Sequence[Image], titles: Sequence[str] = (), columns: int = 1, cell_width: int = 960
) -> Image:
    """RGB images of any sizes in a grid, row by row, scaled to cell_width pixels, titles above them.

    All cells have the first image's aspect; titles are as many as images, or none. Long ones take several
    lines.
    """
    if not images or columns < 1 or (titles and len(titles) != len(images)):
        raise ValueError(
            f"contact sheet of {len(images)} images, {len(titles)} titles, {columns} columns: expected "
            "at least one image and column, and a title for each image or none"
        )
    height = max(1, round(images[0].shape[0] * cell_width / images[0].shape[1]))
    cells = [_cell(image, (cell_width, height)) for image in images]
    if titles:
        strips = _strips(titles, cell_width)
        cells = [np.concatenate(parts) for parts in zip(strips, cells, strict=True)]
    cells += [np.full_like(cells[0], _SHEET[0])] * (-len(cells) % columns)
    rows = [
        np.concatenate(cells[start : start + columns], axis=1) for start in range(0, len(cells), columns)
    ]
    return np.concatenate(rows)


def heading(text: str, width: int, cell_width: int) -> Image:
    """(H, width, 3) RGB: a text above a sheet, in the size of titles of its cells."""
    return _strip(_lines(text, width, _line_height(cell_width)), width, _line_height(cell_width))


def _strips(titles: Sequence[str], width: int) -> list[Image]:
    """All of one height."""
    line = _line_height(width)
    lines = [_lines(title, width, line) for title in titles]
    most = max(map(len, lines))
    return [_strip([*own, *[""] * (most - len(own))], width, line) for own in lines]


def _line_height(cell_width: int) -> int:
    return max(_LEAST_LINE, cell_width // 36)


def _strip(lines: Sequence[str], width: int, line: int) -> Image:
    strip = np.full((line * len(lines), width, 3), _SHEET, np.uint8)
    for index, text in enumerate(lines):
        place = (_MARGIN, round(line * (index + 0.72)))
        cv2.putText(strip, text, place, _FONT, line / 36, _INK, 1, cv2.LINE_AA)
    return strip


def _lines(text: str, width: int, line: int) -> list[str]:
    """A text in lines that fit; it is broken between words, and where need be within one."""

    def fits(part: str) -> bool:
        return cv2.getTextSize(part, _FONT, line / 36, 1)[0][0] <= width - 2 * _MARGIN

    lines = [""]
    for word in re.findall(r"\S+\s*", text) or [""]:
        if lines[-1] and not fits((lines[-1] + word).rstrip()):
            lines.append("")
        for letter in word:
            if len(lines[-1].strip()) and letter.strip() and not fits(lines[-1] + letter):
                lines.append("")
            lines[-1] += letter
    return [part.rstrip() for part in lines]


def _cell(image: Image, size: Size) -> Image:
    """The image scaled into (width, height), centred on the sheet's colour."""
    scale = min(size[0] / image.shape[1], size[1] / image.shape[0])
    width, height = (max(1, round(side * scale)) for side in (image.shape[1], image.shape[0]))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    cell = np.full((size[1], size[0], 3), _SHEET, np.uint8)
    left, top = (size[0] - width) // 2, (size[1] - height) // 2
    cell[top : top + height, left : left + width] = cv2.resize(image, (width, height), interpolation=method)
    return cell
