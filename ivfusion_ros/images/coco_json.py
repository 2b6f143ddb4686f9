"""Boxes of many images in one file, in the form of COCO."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np

from ivfusion_ros.errors import DataError
from ivfusion_ros.files import read_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ivfusion_ros.types import Boxes

_MAX_BYTES = 2**30
_CROWD = "crowd"
"""What COCO marks as more than one object; no class map has it."""


class CocoFile:
    """The objects of a file by image."""

    def __init__(self, path: Path, content: Mapping[str, Any]) -> None:
        """Raises KeyError, TypeError or ValueError for what is not of COCO's form."""
        self.path = path
        # HIT-UAV's say filename and annotation.
        names = {item["id"]: str(item.get("file_name") or item["filename"]) for item in content["images"]}
        classes = {item["id"]: str(item["name"]).lower() for item in content["categories"]}
        self.numbers: dict[str, int] = {name: key for key, name in classes.items() if isinstance(key, int)}
        """of the categories, by their names in small letters"""
        found = content["annotations"] if "annotations" in content else content["annotation"]
        self._objects: dict[Any, list[tuple[list[float], str]]] = {key: [] for key in names}
        for item in found:
            left, top, width, height = map(float, item["bbox"])
            word = _CROWD if item.get("iscrowd") else classes[item["category_id"]]
            box = [left, top, left + width, top + height]
            self._objects[item["image_id"]].append((box, word))
        self._by_name: dict[str, list[tuple[tuple[str, ...], Any]]] = {}
        for key, name in names.items():
            parts = PurePosixPath(name.replace("\\", "/")).parts
            self._by_name.setdefault(parts[-1], []).append((parts, key))

    def has(self, image: Path) -> bool:
        """Whether the file is about an image."""
        return self._key(image) is not None

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


@lru_cache(maxsize=16)
def _read(path: Path, _changed_ns: int) -> CocoFile:
    try:
        return CocoFile(path, json.loads(read_bytes(path, _MAX_BYTES)))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
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
