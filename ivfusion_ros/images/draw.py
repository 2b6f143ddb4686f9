"""Pictures for people: boxes on an image, thermal | RGB | fused side by side."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt

from ivfusion_ros.types import UNTRACKED, Boxes, Detections, Floats32, FusionResult, Image

if TYPE_CHECKING:
    from collections.abc import Sequence

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
_BLACK, _WHITE, _STALE = (0, 0, 0), (255, 255, 255), (150, 150, 150)
_ZERO_CELSIUS_K = 273.15

_WIDEST = 0.3
"""Share of a picture's width that a label may take beside others."""

_MAX_HIDDEN = (0.2, 0.5)
"""Share of any box that a whole label, and one cut short, may hide."""

_Fields = npt.NDArray[np.int64]
"""(N, 4) left, top, right, bottom of parts of a picture; the last pixel is right - 1, bottom - 1."""


def annotate(image_rgb: Image, detections: Detections) -> Image:
    """A copy of an (H, W, 3) RGB image with boxes and labels: class, track, score, hottest temperature.

    Boxes of an older image are grey.

    The surest object takes a place for its label first: near its box, on no other label, where it hides
    least of the objects. Where there is no room, the track or the class alone is written, or nothing.
    """
    picture = np.ascontiguousarray(image_rgb).copy()
    corners = [_corners(box, picture) for box in detections.boxes_xyxy]
    for index in reversed(range(len(detections))):
        cv2.rectangle(picture, *corners[index], _colour(detections, index), _thickness(picture))
    boxes = np.array(corners, np.int64).reshape(-1, 4)
    taken = np.zeros((0, 4), np.int64)
    for index, box in enumerate(boxes):
        for text, most_hidden in zip(_texts(detections, index), _MAX_HIDDEN, strict=True):
            label = _Label.of(text, picture)
            field = label.best_field(box, boxes, taken, picture, most_hidden)
            if field is not None:
                label.draw(picture, field, _colour(detections, index))
                taken = np.vstack([taken, field])
                break
    return picture


def outline(image_rgb: Image, boxes_xyxy: Boxes) -> Image:
    """A copy of an (H, W, 3) RGB image with (N, 4) boxes in white on black, plain on any picture."""
    picture = np.ascontiguousarray(image_rgb).copy()
    thickness = _thickness(picture)
    for box in boxes_xyxy:
        corners = _corners(box, picture)
        cv2.rectangle(picture, *corners, _BLACK, thickness + 2)
        cv2.rectangle(picture, *corners, _WHITE, thickness)
    return picture


def triptych(result: FusionResult, width: int | None = None) -> Image:
    """(H, 3 W, 3) RGB: thermal, RGB and fused with the detections, each with a caption.

    width: W at most, None for the images' own.
    """
    thermal = np.repeat(result.thermal[..., None], 3, axis=2)
    panels = {"thermal": thermal, "rgb": result.rgb, "fused": result.fused}
    images = {name: narrowed(image, width or image.shape[1]) for name, image in panels.items()}
    if result.detections is not None:
        scale = images["fused"].shape[1] / result.fused.shape[1]
        images["fused"] = annotate(images["fused"], scaled(result.detections, scale))
    return np.concatenate([_captioned(image, text) for text, image in images.items()], axis=1)


def narrowed(image_rgb: Image, width: int) -> Image:
    """An (H, W, 3) RGB image, smaller where it is wider than that.

    To be drawn on then: text that is scaled with a picture is not legible.
    """
    height, own = image_rgb.shape[:2]
    if own <= width:
        return image_rgb
    size = (width, max(1, round(height * width / own)))
    return np.asarray(cv2.resize(image_rgb, size, interpolation=cv2.INTER_AREA), np.uint8)


def scaled(detections: Detections, scale: float) -> Detections:
    """The same, in an image of another size."""
    return replace(detections, boxes_xyxy=detections.boxes_xyxy * np.float32(scale))


def _captioned(image: Image, text: str) -> Image:
    picture = np.ascontiguousarray(image).copy()
    label = _Label.of(text, picture)
    label.draw(picture, label.fields([(0, 0)], picture)[0], _BLACK)
    return picture


def _thickness(picture: Image) -> int:
    return int(max(1, round(min(picture.shape[:2]) / 320)))


def _colour(detections: Detections, index: int) -> Colour:
    return _STALE if detections.age_ns else PALETTE[int(detections.class_ids[index]) % len(PALETTE)]


def _corners(box: Floats32, picture: Image) -> tuple[tuple[int, int], tuple[int, int]]:
    left, top, right, bottom = (round(float(side)) for side in box)
    return (left, top), (min(right, picture.shape[1] - 1), min(bottom, picture.shape[0] - 1))


def _texts(detections: Detections, index: int) -> tuple[str, str]:
    """All that is known of an object, and the least that tells it."""
    name = detections.class_names[int(detections.class_ids[index])]
    words, short = [name], name
    if detections.track_ids is not None and detections.track_ids[index] != UNTRACKED:
        short = f"#{detections.track_ids[index]}"
        words.append(short)
    words.append(f"{detections.scores[index]:.2f}")
    if detections.max_kelvin is not None and np.isfinite(detections.max_kelvin[index]):
        # The font has no degree sign.
        words.append(f"{detections.max_kelvin[index] - _ZERO_CELSIUS_K:.0f}C")
    return " ".join(words), short


def _shared(fields: _Fields, others: _Fields) -> npt.NDArray[np.int64]:
    """(N, M) pixels that N and M fields have in common."""
    corners = np.minimum(fields[:, None, 2:], others[:, 2:]) - np.maximum(
        fields[:, None, :2], others[:, :2]
    )
    return np.asarray(np.maximum(corners, 0).prod(axis=2), np.int64)


@dataclass(frozen=True)
class _Label:
    """Text on a filled background of width x height pixels, its letters baseline pixels above the end."""

    text: str
    scale: float
    thickness: int
    width: int
    height: int
    baseline: int

    @classmethod
    def of(cls, text: str, picture: Image) -> _Label:
        """In a size that fits the picture."""
        scale = max(0.4, min(picture.shape[:2]) / 900)
        thickness = max(1, round(scale * 1.5))
        (width, height), baseline = cv2.getTextSize(text, _FONT, scale, thickness)
        return cls(text, scale, thickness, width + 4, height + baseline + 2, baseline)

    def fields(self, corners: Sequence[tuple[int, int]], picture: Image) -> _Fields:
        """Its places with the upper left corners (x, y), moved into the picture."""
        least = np.array(picture.shape[1::-1]) - (self.width, self.height)
        starts = np.maximum(0, np.minimum(np.array(corners, np.int64), least))
        size = np.array([self.width, self.height])
        return np.hstack([starts, starts + size]).astype(np.int64)

    def best_field(
        self,
        box: npt.NDArray[np.int64],
        boxes: _Fields,
        taken: _Fields,
        picture: Image,
        most_hidden: float,
    ) -> npt.NDArray[np.int64] | None:
        """The place beside a box that is not taken and hides least of the boxes.

        None if there is none, or it would hide a larger share of a box than most_hidden.
        """
        if self.width > _WIDEST * picture.shape[1] and len(taken):
            return None
        left, top, right, bottom = box.tolist()
        above, below = top - self.height, bottom + 1
        places = [(left, above), (right - self.width, above), (left, below), (right - self.width, below)]
        # Beside a crowd, one label over the other.
        places += [(left, above - level * self.height) for level in (1, 2)]
        places += [(left, below + self.height), (right, top), (left - self.width, top), (left, top)]
        fields = self.fields(places, picture)
        fields = fields[~(_shared(fields, taken) > 0).any(axis=1)]
        areas = np.maximum(1, (boxes[:, 2:] - boxes[:, :2]).prod(axis=1))
        hidden = (_shared(fields, boxes) / areas).max(axis=1)
        if not len(fields) or hidden.min() > most_hidden:
            return None
        return np.asarray(fields[hidden.argmin()], np.int64)

    def draw(self, picture: Image, field: npt.NDArray[np.int64], colour: Colour) -> None:
        """Black or white letters on the colour."""
        left, top, right, bottom = field.tolist()
        cv2.rectangle(picture, (left, top), (right - 1, bottom - 1), colour, cv2.FILLED)
        luminance = np.dot(colour, (0.299, 0.587, 0.114))
        ink = _BLACK if luminance > 110 else _WHITE
        position = (left + 2, bottom - self.baseline - 1)
        cv2.putText(picture, self.text, position, _FONT, self.scale, ink, self.thickness, cv2.LINE_AA)
