"""Boxes of many images in one file, in the form of COCO."""

from __future__ import annotations

import json
import math
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np

from ivfusion_ros.errors import DataError
from ivfusion_ros.files import read_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from ivfusion_ros.types import Boxes

_MAX_BYTES = 2**30
UPRIGHT = (
    "rotated boxes are not read; take upright ones (HIT-UAV has them in normal_json/ and normal_xml/), or "
    "export the data set without rotation"
)
"""What to say of a file with rotated boxes."""
_ROTATED = 5
_NAMED = 8
"""Most ids that a message names."""
_LISTS = {"image_id": "images", "category_id": "categories"}
_CROWD = "crowd"
"""What COCO marks as more than one object; no class map has it."""


class CocoFile:
    """The objects of a file by image."""

    def __init__(self, path: Path, content: Mapping[str, Any]) -> None:
        """Raises DataError for an entry that does not fit the others; KeyError, TypeError or ValueError for
        what is not of COCO's form.
        """
        self.path = path
        # HIT-UAV's say filename and annotation.
        names = _by_id(path, "images", content["images"], ("file_name", "filename"))
        listed = _by_id(path, "categories", content["categories"], ("name",))
        classes = {key: name.lower() for key, name in listed.items()}
        self.numbers: dict[str, int] = {name: key for key, name in classes.items() if isinstance(key, int)}
        """of the categories, by their names in small letters"""
        found = content["annotations"] if "annotations" in content else content["annotation"]
        self._objects: dict[Any, list[tuple[list[float], str]]] = {key: [] for key in names}
        for number, item in enumerate(found, 1):
            try:
                box, image, category = _box(item["bbox"]), item["image_id"], item["category_id"]
                word = _CROWD if item.get("iscrowd") else classes[category].lower()
                self._objects[image].append((box, word))
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                reason = _reason(item, names, classes, error)
                raise DataError(f"{path}: annotation {number} is {str(item)[:160]}; {reason}") from error
        self._by_name: dict[str, list[tuple[tuple[str, ...], Any]]] = {}
        for key, name in names.items():
            parts = PurePosixPath(name.replace("\\", "/")).parts
            self._by_name.setdefault(parts[-1], []).append((parts, key))

    def has(self, image: Path) -> bool:
        """Whether the file is about an image."""
        return self._key(image) is not None

    def without(self, images: Iterable[Path]) -> list[str]:
        """The names in it that are of none of the images."""
        there = {self._key(image) for image in images}
        return [
            "/".join(parts) for same in self._by_name.values() for parts, key in same if key not in there
        ]

    def objects(self, images: Sequence[Path]) -> tuple[Boxes, list[int | str]]:
        """(N, 4) boxes in pixels and their classes' names, of a scene by its images. Raises DataError."""
        key = next((key for image in images if (key := self._key(image)) is not None), None)
        if key is None:
            raise DataError(f"{self.path} says nothing of {images[0].name}; expected it among its images")
        rows = [box for box, _ in self._objects[key]]
        return np.array(rows, np.float32).reshape(-1, 4), [word for _, word in self._objects[key]]

    def _key(self, image: Path) -> Any:
        """The id of an image: that whose folders are its own too, or the only one of its name."""
        same = self._by_name.get(image.name, [])
        fitting = [key for parts, key in same if image.parts[-len(parts) :] == parts]
        if fitting:
            return fitting[0]
        return same[0][1] if len(same) == 1 else None


def _by_id(path: Path, what: str, items: Any, keys: tuple[str, ...]) -> dict[Any, str]:
    """What a list calls its items, by their ids. Raises DataError where two have one id."""
    names: dict[Any, str] = {}
    for item in items:
        name = str(next(item[key] for key in keys if item.get(key)))
        if item["id"] in names:
            raise DataError(
                f"{path}: `{what}` has {names[item['id']]} and {name} under one id, {item['id']}; expected "
                "an id of its own for each, which the annotations then name"
            )
        names[item["id"]] = name
    return names


def _box(numbers: Any) -> list[float]:
    """Left, top, right and bottom. Raises ValueError."""
    if len(numbers) == _ROTATED:
        raise ValueError(f"5 numbers are a rotated box; {UPRIGHT}")
    values = [_number(number) for number in numbers]
    if len(values) != 4 or not all(map(math.isfinite, values)):
        raise ValueError("expected `bbox` to be left, top, width, height in pixels")
    left, top, width, height = values
    return [left, top, left + width, top + height]


def _number(value: Any) -> float:
    try:
        return float(value)
    except ValueError:
        return math.nan


def _reason(item: Any, names: Mapping[Any, str], classes: Mapping[Any, str], error: Exception) -> str:
    """What is wrong with an annotation."""
    if isinstance(error, ValueError):
        return str(error)
    for key, known in (("image_id", names), ("category_id", classes)):
        if isinstance(item, dict) and key in item and item[key] not in known:
            ids = ", ".join(map(str, list(known)[:_NAMED])) + (", ..." if len(known) > _NAMED else "")
            return f"expected its {key} to be one of those in `{_LISTS[key]}` ({ids}); correct or remove it"
    return "expected `image_id`, `category_id` and `bbox`"


@lru_cache(maxsize=16)
def _read(path: Path, _changed_ns: int) -> CocoFile:
    try:
        return CocoFile(path, json.loads(read_bytes(path, _MAX_BYTES)))
    except (ValueError, KeyError, TypeError, AttributeError, StopIteration, RecursionError) as error:
        raise DataError(
            f"{path} is not of COCO's form ({type(error).__name__}: {error}); expected `images`, "
            "`annotations` with `bbox`, and `categories`"
        ) from error


def read_coco(path: Path) -> CocoFile:
    """The content of a file, kept for the next image. Raises DataError."""
    try:
        return _read(path, path.stat().st_mtime_ns)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error}") from error
