"""Boxes of objects on disk: YOLO's text files, Pascal VOC's XML, KAIST's text files.

COCO's files of many images are in coco_json.
"""

from __future__ import annotations

import codecs
import math
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt

from ivfusion_ros.errors import DataError, refusing
from ivfusion_ros.files import read_bytes
from ivfusion_ros.images.coco_json import UPRIGHT, read_coco

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ivfusion_ros.types import Boxes, Size

Words = list[int | str]
"""What a file calls the classes of its objects: names where it has them, else numbers."""

_MAX_BYTES = 2**24
_MOST_SHARE = 2
"""Of an image's size; a box may lie partly outside of it, and nobody draws one twice as far."""
_KAIST = "% bbGt"
_GROUP = "people"
"""KAIST's word for a group of people that nobody can tell apart."""


def read_objects(
    path: Path, images: Sequence[Path], size: Size, names: Sequence[str] = ()
) -> tuple[Boxes, Words]:
    """(N, 4) boxes in pixels and what their file calls them, of a file in any of the forms.

    images: of the scene, to find it in a file of many. size: (width, height) of the scene. names: what the
    numbers of YOLO's form mean. A text file that is not there shows nothing, as ultralytics has it.
    Raises DataError.
    """
    boxes, words = _objects(path, images, size, names)
    if not np.isfinite(boxes).all():
        raise DataError(f"{path} has a box with a number that is not finite; expected pixels")
    return boxes, words


def numbers_of(path: Path, names: Sequence[str]) -> dict[str, int]:
    """A set's own numbers of its classes, by their names in small letters.

    names: as for read_objects. Raises DataError.
    """
    if path.suffix.lower() == ".json":
        return read_coco(path).numbers
    return {name.lower(): number for number, name in enumerate(names)}


def _objects(path: Path, images: Sequence[Path], size: Size, names: Sequence[str]) -> tuple[Boxes, Words]:
    suffix = path.suffix.lower()
    if suffix == ".xml":
        boxes, words = read_voc(path)
        return boxes, list(words)
    if suffix == ".json":
        return read_coco(path).objects(images)
    if not path.exists():
        return np.zeros((0, 4), np.float32), []
    with refusing(DataError, str(path), "YOLO's or KAIST's lines of objects"):
        if read_bytes(path, _MAX_BYTES).removeprefix(codecs.BOM_UTF8).startswith(_KAIST.encode()):
            return _read_kaist(path)
    boxes, numbers = read_boxes(path, size)
    return boxes, [_named(number, names) for number in numbers.tolist()]


def read_voc(path: Path) -> tuple[Boxes, list[str]]:
    """(N, 4) boxes in pixels and N names, in small letters, of an XML file of Pascal VOC's form.

    An object without a name has ''. Raises DataError.
    """
    try:
        objects = ElementTree.fromstring(read_bytes(path, _MAX_BYTES)).findall("object")
    except (ElementTree.ParseError, ValueError, LookupError, OSError) as error:
        raise DataError(
            f"{path} has no boxes of Pascal VOC's form ({error}); expected <object>s with <bndbox>"
        ) from error
    rows, words = [], []
    for number, item in enumerate(objects, 1):
        words.append((item.findtext("name") or "").strip().lower())
        what = (
            f"{path} has no boxes of Pascal VOC's form: object {number} ({words[-1] or 'without a name'})"
        )
        if item.find("robndbox") is not None:
            raise DataError(f"{what} has <robndbox>; {UPRIGHT}")
        sides = {side: item.findtext(f"bndbox/{side}", "") for side in ("xmin", "ymin", "xmax", "ymax")}
        if not all(map(_is_number, sides.values())):
            found = ", ".join(f"{side} {text!r}" for side, text in sides.items())
            raise DataError(f"{what} has {found} in <bndbox>; expected pixels")
        rows.append([float(text) for text in sides.values()])
    return np.array(rows, np.float32).reshape(-1, 4), words


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def read_boxes(path: Path, size: Size) -> tuple[Boxes, npt.NDArray[np.int64]]:
    """(N, 4) boxes in pixels and (N,) class ids of a label file; size: (width, height) of its image.

    Each line has a class, centre x, y, width and height, as shares of the size; a confidence may follow. Or
    it has the corners of a polygon, whose bounding box is taken. Raises DataError.
    """
    with refusing(DataError, str(path), "text in UTF-8, YOLO's lines of class, centre x, y, width, height"):
        lines = read_bytes(path, _MAX_BYTES).decode("utf-8-sig").splitlines()
    rows = [_row(f"{path}, line {n}", line) for n, line in enumerate(lines, 1) if line.strip()]
    values = np.array(rows, np.float32).reshape(-1, 5)
    scale = np.array(size, np.float32)
    centres, halves = values[:, 1:3] * scale, values[:, 3:] * scale / 2
    return np.concatenate([centres - halves, centres + halves], axis=1), values[:, 0].astype(np.int64)


def _row(place: str, line: str) -> list[float]:
    """Class, centre x, y, width and height of a line. Raises DataError."""
    words = line.split()
    if not all(map(_is_number, words)):
        raise _refused(place, line, "is no list of finite numbers", "apart by spaces")
    number, *values = map(float, words)
    if not number.is_integer():
        raise _refused(place, line, f"has the class {words[0]}", "the class being a whole number")
    if max(values, default=0) > _MOST_SHARE:
        raise _refused(
            place, line, "looks like pixels", "as shares of the image's size, 0 to 1: divide by it"
        )
    if len(values) in (4, 5):
        return [number, *values[:4]]
    if len(values) < 6 or len(values) % 2:
        raise _refused(place, line, f"has {len(words)} numbers", "5 of them (6 with a confidence)")
    left, right, top, bottom = (f(values[axis::2]) for axis in (0, 1) for f in (min, max))
    return [number, (left + right) / 2, (top + bottom) / 2, right - left, bottom - top]


def _refused(place: str, line: str, found: str, expected: str) -> DataError:
    return DataError(
        f"{place}, {line.strip()[:80]!r}, {found}; expected YOLO's class, centre x, y, width, height, "
        f"{expected}; or class and corners of a polygon"
    )


def boxes_text(boxes: Boxes, class_ids: npt.NDArray[np.int64], size: Size) -> str:
    """(N, 4) boxes in pixels and (N,) class ids as read_boxes reads them."""
    scale = np.array([*size, *size], np.float32)
    centres = (
        np.concatenate([(boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]], axis=1) / scale
    )
    return "".join(
        " ".join([str(class_id), *(f"{value:.6f}" for value in row)]) + "\n"
        for class_id, row in zip(class_ids.tolist(), centres.tolist(), strict=True)
    )


def _read_kaist(path: Path) -> tuple[Boxes, Words]:
    """Lines of a name, left, top, width, height and more, after one that begins with `% bbGt`."""
    rows, words = [], []
    for line in path.read_text("utf-8-sig").splitlines()[1:]:
        name, *values = line.split()
        left, top, width, height = (float(value) for value in values[:4])
        rows.append([left, top, left + width, top + height])
        words.append("group of people" if name == _GROUP else name.lower())
    return np.array(rows, np.float32).reshape(-1, 4), [*words]


def _named(number: int, names: Sequence[str]) -> int | str:
    return names[number].lower() if 0 <= number < len(names) else number
