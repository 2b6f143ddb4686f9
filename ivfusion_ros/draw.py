"""Pictures for people: boxes on an image, thermal | RGB | fused side by side, contact sheets."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from ivfusion_ros.types import Detections, FusionResult, Image

Colour = tuple[int, int, int]

PALETTE: tuple[Colour, ...] = (
    (255, 82, 82),
    (64, 196, 255),
    (255, 193, 7),
    (118, 230, 90),
    (224, 110, 255),
    (255, 138, 40),
    (40, 224, 200),
    (255, 120, 180),
    (130, 150, 255),
    (205, 220, 57),
)
"""RGB, bright enough for night scenes; class id modulo its length picks one."""

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_BLACK, _WHITE, _SHEET = (0, 0, 0), (255, 255, 255), (24, 24, 24)


def annotate(image_rgb: Image, detections: Detections) -> Image:
    """A copy of an (H, W, 3) RGB image with boxes, class names and scores; the best drawn last."""
    picture = np.ascontiguousarray(image_rgb).copy()
    thickness = max(1, round(min(picture.shape[:2]) / 320))
    for index in reversed(range(len(detections))):
        class_id = int(detections.class_ids[index])
        colour = PALETTE[class_id % len(PALETTE)]
        left, top, right, bottom = (round(float(side)) for side in detections.boxes_xyxy[index])
        right, bottom = min(right, picture.shape[1] - 1), min(bottom, picture.shape[0] - 1)
        cv2.rectangle(picture, (left, top), (right, bottom), colour, thickness)
        text = f"{detections.class_names[class_id]} {detections.scores[index]:.2f}"
        _label(picture, text, (left, top), colour, above=True)
    return picture


def triptych(result: FusionResult) -> Image:
    """(H, 3 W, 3) RGB: thermal, RGB and fused with the detections, each with a caption."""
    fused = result.fused if result.detections is None else annotate(result.fused, result.detections)
    thermal = np.repeat(result.thermal[..., None], 3, axis=2)
    panels = (("thermal", thermal), ("rgb", result.rgb), ("fused", fused))
    return np.concatenate([_captioned(image, text) for text, image in panels], axis=1)


def contact_sheet(
    images: Sequence[Image], titles: Sequence[str] = (), columns: int = 1, cell_width: int = 960
) -> Image:
    """RGB images of any sizes in a grid, row by row, scaled to cell_width pixels, titles above them.

    All cells have the first image's aspect; titles are as many as images, or none.
    """
    if not images or columns < 1 or (titles and len(titles) != len(images)):
        raise ValueError(
            f"contact sheet of {len(images)} images, {len(titles)} titles, {columns} columns: expected "
            "at least one image and column, and a title for each image or none"
        )
    height = max(1, round(images[0].shape[0] * cell_width / images[0].shape[1]))
    cells = [_cell(image, (cell_width, height)) for image in images]
    if titles:
        cells = [
            np.concatenate([_title(text, cell_width), cell])
            for text, cell in zip(titles, cells, strict=True)
        ]
    cells += [np.full_like(cells[0], _SHEET[0])] * (-len(cells) % columns)
    rows = [
        np.concatenate(cells[start : start + columns], axis=1) for start in range(0, len(cells), columns)
    ]
    return np.concatenate(rows)


def _cell(image: Image, size: tuple[int, int]) -> Image:
    """The image scaled into (width, height), centred on the sheet's colour."""
    scale = min(size[0] / image.shape[1], size[1] / image.shape[0])
    width, height = (max(1, round(side * scale)) for side in (image.shape[1], image.shape[0]))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    cell = np.full((size[1], size[0], 3), _SHEET, np.uint8)
    left, top = (size[0] - width) // 2, (size[1] - height) // 2
    cell[top : top + height, left : left + width] = cv2.resize(image, (width, height), interpolation=method)
    return cell


def _title(text: str, width: int) -> Image:
    strip = np.full((max(20, width // 36), width, 3), _SHEET, np.uint8)
    scale = strip.shape[0] / 36
    cv2.putText(strip, text, (6, round(strip.shape[0] * 0.72)), _FONT, scale, _WHITE, 1, cv2.LINE_AA)
    return strip


def _captioned(image: Image, text: str) -> Image:
    picture = np.ascontiguousarray(image).copy()
    _label(picture, text, (0, 0), _BLACK, above=False)
    return picture


def _label(picture: Image, text: str, corner: tuple[int, int], colour: Colour, *, above: bool) -> None:
    """Draw text on a filled background, above or below the corner (x, y), moved into the picture."""
    height, width = picture.shape[:2]
    scale = max(0.4, min(height, width) / 900)
    thickness = max(1, round(scale * 1.5))
    (text_width, text_height), baseline = cv2.getTextSize(text, _FONT, scale, thickness)
    box_width, box_height = text_width + 4, text_height + baseline + 2
    left = max(0, min(corner[0], width - box_width))
    top = max(0, min(corner[1] - box_height if above else corner[1], height - box_height))
    cv2.rectangle(picture, (left, top), (left + box_width - 1, top + box_height - 1), colour, cv2.FILLED)
    luminance = np.dot(colour, (0.299, 0.587, 0.114))
    ink = _BLACK if luminance > 110 else _WHITE
    position = (left + 2, top + text_height + 1)
    cv2.putText(picture, text, position, _FONT, scale, ink, thickness, cv2.LINE_AA)
