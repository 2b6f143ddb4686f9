"""Names of what detectors find, and what other sets' numbers and names mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ivfusion_ros.errors import ConfigError
from ivfusion_ros.files import read_yaml

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

CLASS_NAMES = ("person", "car", "bicycle", "motorcycle", "bus", "truck")
"""What the detector finds, by class id."""

M3FD_NAMES = ("person", "car", "bus", "motorcycle", "lamp", "truck")
"""What M3FD labels, by class id; its files say People for person."""

COCO_IDS = {0: "person", 1: "bicycle", 2: "car", 3: "motorcycle", 5: "bus", 7: "truck"}
"""COCO's numbers, which box files without names have unless a class map says otherwise."""

_SAME = {
    "people": "person",
    "pedestrian": "person",
    "bike": "bicycle",
    "motor": "motorcycle",
    "motorbike": "motorcycle",
}
"""What M3FD, LLVIP's likes and FLIR's sets call them."""


def usual_map(names: Sequence[str]) -> dict[int | str, int]:
    """The class ids of names by COCO's numbers and by what sets call them; the rest is left out."""
    words: list[tuple[int | str, str]] = [
        *COCO_IDS.items(),
        *_SAME.items(),
        *((name, name) for name in names),
    ]
    return {word: names.index(name) for word, name in words if name in names}


def read_class_map(path: Path | None) -> Mapping[int | str, int]:
    """The class id of CLASS_NAMES by the number or name in a set's files; others are left out.

    path: YAML of `number or name: name`, None for usual_map's. Raises ConfigError.
    """
    if path is None:
        return usual_map(CLASS_NAMES)
    names: Mapping[Any, Any] = read_yaml(path)
    for word, name in names.items():
        if not isinstance(word, (int, str)) or name not in CLASS_NAMES:
            raise ConfigError(
                f"{path} maps {word!r} to {name!r}, expected a class number or name of the set and one of "
                f"{', '.join(CLASS_NAMES)}"
            )
    return {_key(word): CLASS_NAMES.index(name) for word, name in names.items()}


def class_ids_of(words: Sequence[int | str], class_map: Mapping[int | str, int]) -> npt.NDArray[np.int64]:
    """(N,) class ids, -1 for a number or name that the map does not have."""
    return np.array([class_map.get(_key(word), -1) for word in words], np.int64)


def _key(word: int | str) -> int | str:
    return word if isinstance(word, int) else word.strip().lower()
