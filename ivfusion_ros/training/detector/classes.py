"""Names of what detectors find, and what other sets' numbers mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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
"""COCO's numbers, which box files have unless a class map says otherwise."""


def coco_map(names: Sequence[str]) -> dict[int, int]:
    """The class id of names by COCO's numbers; what is not among names is left out."""
    return {number: names.index(name) for number, name in COCO_IDS.items() if name in names}


def read_class_map(path: Path | None) -> Mapping[int, int]:
    """The class id of CLASS_NAMES by the number in a set's box files; other numbers are left out.

    path: YAML of `number: name`, None for COCO's numbers. Raises ConfigError.
    """
    names: Mapping[Any, Any] = COCO_IDS if path is None else read_yaml(path)
    for number, name in names.items():
        if not isinstance(number, int) or name not in CLASS_NAMES:
            raise ConfigError(
                f"{path} maps {number!r} to {name!r}, expected a class number and one of "
                f"{', '.join(CLASS_NAMES)}"
            )
    return {number: CLASS_NAMES.index(name) for number, name in names.items()}
