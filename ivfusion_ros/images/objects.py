"""Boxes of objects from a map of class ids, which tells classes apart but not objects.

The map decides what is in the scene; a teacher's boxes, where there are any, only say how its regions
divide into objects:

1. Regions are 8-connected components of a class. Those under 8 pixels are noise.
2. Occlusion: two regions are one object where a pole, a rail or a rider cuts it: their gap is at most 6
   pixels, they overlap by 60 % across the gap (of the smaller one's side), and together they keep the
   proportions of one object. So are regions that lie to 80 % in one confident box of the teacher and are no
   object of another.
3. Classes do not separate touching objects. A region divides into the teacher's boxes in it, each
   shrunk to the pixels of the class that it covers; what they leave over is an object of its own if it has
   30 % of the pixels of the usual one beside it. One box that covers 60 % of a region leaves it whole.
4. Teacher's boxes with too few pixels of their class are dropped, regions without a box count as they are:
   a row of parked bicycles that the teacher does not divide is one box.
5. A box that lies by 85 % in a larger one of its class is a part of it and is left out.
6. Objects under 8 pixels of height, 4 of width or 30 of area, at 640x480, are left out: nobody could tell
   what they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ivfusion_ros.types import Boxes, Floats32, Image, Mask


_NOISE_AREA = 8
_GAP, _SIDE_OVERLAP = 6, 0.6
_INSIDE, _COVERED, _LEFTOVER = 0.8, 0.6, 0.3
NESTED = 0.85
"""Share of a box inside a larger one of its class from which on it is a part of that one."""
_MIN_HEIGHT, _MIN_WIDTH, _MIN_AREA = 8, 4, 30


@dataclass(frozen=True)
class ClassRule:
    """What regions of a class may become."""

    label: int
    """Class id in the map; these are MSRS's."""
    fill: float
    """Least share of a teacher's box that is labelled as the class."""
    aspect: tuple[float, float]
    """Lowest and highest width over height of an object joined from regions."""


RULES = (
    ClassRule(label=2, fill=0.3, aspect=(0.2, 0.9)),
    ClassRule(label=1, fill=0.4, aspect=(0.7, 3.2)),
    ClassRule(label=3, fill=0.15, aspect=(0.3, 2.2)),
)
"""By class id: the first of CLASS_NAMES. MSRS knows no others."""


class Hints(NamedTuple):
    """A teacher's boxes of one class, best first."""

    boxes: Boxes
    scores: Floats32


NO_HINTS = Hints(np.zeros((0, 4), np.float32), np.zeros(0, np.float32))
JOINING_SCORE = 0.5
"""A teacher's box joins regions only from this score on."""


def boxes_of(labels: Image, hints: Mapping[int, Hints]) -> tuple[Boxes, npt.NDArray[np.int64]]:
    """(N, 4) boxes and (N,) class ids of the objects in an (H, W) map of MSRS's class ids.

    hints: the teacher's boxes by class id; a class may be absent.
    """
    found: list[Boxes] = []
    class_ids: list[int] = []
    for class_id, rule in enumerate(RULES):
        for box in _objects(labels == rule.label, hints.get(class_id, NO_HINTS), rule):
            found.append(box)
            class_ids.append(class_id)
    return without_nested(np.array(found, np.float32).reshape(-1, 4), np.array(class_ids, np.int64))


def without_nested(boxes: Boxes, class_ids: npt.NDArray[np.int64]) -> tuple[Boxes, npt.NDArray[np.int64]]:
    """Leave out each box that lies by NESTED or more of its area in a larger one of its class.

    Half a person is no second one: boxes from a map of classes have such parts, boxes drawn by people have
    none.
    """
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    order = np.lexsort((np.arange(len(boxes)), -areas))
    kept: list[int] = []
    for index in order:
        larger = boxes[[other for other in kept if class_ids[other] == class_ids[index]]]
        shared = np.minimum(boxes[index, 2:], larger[:, 2:]) - np.maximum(boxes[index, :2], larger[:, :2])
        if not (np.maximum(shared, 0).prod(axis=1) >= NESTED * areas[index]).any():
            kept.append(int(index))
    kept.sort()
    return boxes[kept], class_ids[kept]


def _objects(mask: Mask, hints: Hints, rule: ClassRule) -> list[Boxes]:
    regions, parts = _components(mask)
    if not parts:
        return []
    filled = [_fill(mask, box) >= rule.fill for box in hints.boxes]
    hints = Hints(hints.boxes[filled], hints.scores[filled])
    for number, group in enumerate(_join(regions, parts, hints, rule), start=1):
        for part in group:
            regions[regions == part.number] = -number
    regions = -regions
    owners = [_owner(regions, box) for box in hints.boxes]
    objects: list[Boxes] = []
    for number in range(1, int(regions.max()) + 1):
        inside = [box for box, owner in zip(hints.boxes, owners, strict=True) if owner == number]
        objects += _divide(regions == number, inside)
    return objects


class _Part(NamedTuple):
    number: int
    box: Boxes
    area: int


def _components(mask: Mask) -> tuple[npt.NDArray[np.int32], list[_Part]]:
    """The regions as numbers from 1 in an (H, W) map, noise removed, and what they are."""
    count, numbers, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    regions = np.array(numbers, np.int32)
    parts = []
    for number in range(1, count):
        left, top, width, height, area = (int(value) for value in stats[number])
        if area < _NOISE_AREA:
            regions[regions == number] = 0
            continue
        box = np.array([left, top, left + width, top + height], np.float32)
        parts.append(_Part(number, box, area))
    return regions, parts


def _join(
    regions: npt.NDArray[np.int32], parts: Sequence[_Part], hints: Hints, rule: ClassRule
) -> list[list[_Part]]:
    """Regions that are one object, in groups."""
    groups = [[part] for part in parts]
    for box, score in zip(hints.boxes, hints.scores, strict=True):
        if score < JOINING_SCORE:
            continue
        crop = _crop(regions, box)
        inside = [
            group
            for group in groups
            if all(np.count_nonzero(crop == part.number) >= _INSIDE * part.area for part in group)
            and not any(_iou(other, _union(group)) > 0.5 for other in hints.boxes if other is not box)
        ]
        groups = _merged(groups, inside)
    changed = True
    while changed:
        changed = False
        for index, first in enumerate(groups):
            second = next((other for other in groups[index + 1 :] if _cut(first, other, rule)), None)
            if second is not None:
                groups, changed = _merged(groups, [first, second]), True
                break
    return groups


def _merged(groups: list[list[_Part]], chosen: list[list[_Part]]) -> list[list[_Part]]:
    if len(chosen) < 2:
        return groups
    rest = [group for group in groups if not any(group is one for one in chosen)]
    return [*rest, [part for group in chosen for part in group]]


def _cut(first: Sequence[_Part], second: Sequence[_Part], rule: ClassRule) -> bool:
    """Whether something thin cuts one object into these two."""
    a, b = _union(first), _union(second)
    for axis in (0, 1):
        across = 1 - axis
        gap = max(a[axis], b[axis]) - min(a[axis + 2], b[axis + 2])
        shared = min(a[across + 2], b[across + 2]) - max(a[across], b[across])
        smaller = min(a[across + 2] - a[across], b[across + 2] - b[across])
        if 0 <= gap <= _GAP and shared >= _SIDE_OVERLAP * smaller:
            left, top, right, bottom = _union([*first, *second])
            return bool(rule.aspect[0] <= (right - left) / (bottom - top) <= rule.aspect[1])
    return False


def _divide(region: Mask, hints: Sequence[Boxes]) -> list[Boxes]:
    """The objects of one region, or of regions that were joined."""
    whole = _bounds(region)
    covered = np.zeros_like(region)
    areas: list[int] = []
    for box in hints:
        inside = _crop(region, box)
        areas.append(int(np.count_nonzero(inside)))
        _crop(covered, box)[:] = inside
    if len(hints) < 2 and (not hints or areas[0] >= _COVERED * np.count_nonzero(region)):
        return _large_enough([whole], [int(np.count_nonzero(region))])
    objects = [_shrunk(region, box) for box in hints]
    _, rest = _components(region & ~covered)
    usual = float(np.median(areas))
    rest = [part for part in rest if part.area >= _LEFTOVER * usual]
    return _large_enough([*objects, *(part.box for part in rest)], [*areas, *(part.area for part in rest)])


def _large_enough(boxes: Sequence[Boxes], areas: Sequence[int]) -> list[Boxes]:
    return [
        box
        for box, area in zip(boxes, areas, strict=True)
        if box[2] - box[0] >= _MIN_WIDTH and box[3] - box[1] >= _MIN_HEIGHT and area >= _MIN_AREA
    ]


def _owner(regions: npt.NDArray[np.int32], box: Boxes) -> int:
    """The region with most pixels in the box, 0 for none."""
    counts = np.bincount(_crop(regions, box).ravel())
    counts[0] = 0
    return int(counts.argmax())


def _limits(shape: tuple[int, ...], box: Boxes) -> tuple[int, int, int, int]:
    left, top = (max(0, int(value)) for value in np.floor(box[:2]))
    right, bottom = (int(value) for value in np.ceil(box[2:]))
    return left, top, min(right, shape[1]), min(bottom, shape[0])


def _crop(image: npt.NDArray[np.generic], box: Boxes) -> npt.NDArray[np.generic]:
    left, top, right, bottom = _limits(image.shape, box)
    return image[top:bottom, left:right]


def _fill(mask: Mask, box: Boxes) -> float:
    crop = _crop(mask, box)
    return float(np.count_nonzero(crop)) / max(1, crop.size)


def _bounds(mask: Mask) -> Boxes:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], np.float32)


def _shrunk(region: Mask, box: Boxes) -> Boxes:
    left, top, right, bottom = _limits(region.shape, box)
    inner = _bounds(region[top:bottom, left:right])
    return inner + np.array([left, top, left, top], np.float32)


def _union(parts: Sequence[_Part]) -> Boxes:
    boxes = np.array([part.box for part in parts])
    return np.concatenate([boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)])


def _iou(first: Boxes, second: Boxes) -> float:
    shared = np.maximum(np.minimum(first[2:], second[2:]) - np.maximum(first[:2], second[:2]), 0).prod()
    return float(shared / ((first[2:] - first[:2]).prod() + (second[2:] - second[:2]).prod() - shared))
