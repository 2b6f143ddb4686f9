"""Names of what detectors find, and what other sets' numbers and names mean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ivfusion_ros.errors import ConfigError
from ivfusion_ros.files import read_yaml

if TYPE_CHECKING:
    from collections.abc import Sequence

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


LEFT_OUT = -1
"""Class id of objects that are none of the classes."""

_LISTED = 12


@dataclass(frozen=True)
class ClassMap:
    """What the numbers and names in a set's files mean.

    names: of the classes, by id. ids: class id by number or name (in small letters) of the set, LEFT_OUT
    for what is left out on purpose. path: of the file that says so, None for the usual map.
    """

    names: tuple[str, ...]
    ids: Mapping[int | str, int]
    path: Path | None = None

    def key(self, word: int | str, numbers: Mapping[str, int]) -> int | str | None:
        """The key that a file's word stands under, None without one.

        numbers: the set's own, by its names in small letters.
        """
        own = _key(word)
        if own in self.ids:
            return own
        # The usual map's numbers are COCO's: they say nothing of a set that has names.
        number = None if self.path is None else numbers.get(str(own))
        return number if number in self.ids else None

    @property
    def listed(self) -> str:
        """The names for an error; of many the first."""
        more = ", ..." if len(self.names) > _LISTED else ""
        return ", ".join(self.names[:_LISTED]) + more


def usual_map(names: Sequence[str]) -> ClassMap:
    """Of classes by their names, by what sets call them and by COCO's numbers; the rest is left out."""
    own = {_key(name): number for number, name in enumerate(names)}
    words: list[tuple[int | str, str]] = [*COCO_IDS.items(), *_SAME.items()]
    ids = {word: own[name] for word, name in words if name in own}
    return ClassMap(tuple(names), ids | own)


def read_class_map(path: Path | None, names: Sequence[str] = CLASS_NAMES) -> ClassMap:
    """What a set's numbers and names mean among the classes `names`; what it does not have is left out.

    path: YAML of `number or name: name`, with nothing after the colon for what is left out on purpose;
    None for usual_map's. Raises ConfigError.
    """
    if path is None:
        return usual_map(names)
    content: Mapping[Any, Any] = read_yaml(path)
    listed = usual_map(names).listed
    if not content:
        raise ConfigError(f"{path} is empty, expected lines of `number or name: one of {listed}`")
    own = {_key(name): number for number, name in enumerate(names)} | {None: LEFT_OUT}
    ids: dict[int | str, int] = {}
    for word, name in content.items():
        meant = name.strip().lower() if isinstance(name, str) else name
        if not isinstance(word, (int, str)) or isinstance(meant, (list, dict)) or meant not in own:
            raise ConfigError(
                f"{path} maps {word!r} to {name!r}, expected a class number or name of the set and one of "
                f"{listed}, or nothing to leave it out"
            )
        ids[_key(word)] = own[meant]
    return ClassMap(tuple(names), ids, path)


def _key(word: int | str) -> int | str:
    return word if isinstance(word, int) else word.strip().lower()
