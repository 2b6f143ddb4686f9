"""The parts that a data set is published in, by its folders or by lists of names."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ivfusion_ros.errors import DataError, refusing
from ivfusion_ros.files import read_bytes
from ivfusion_ros.sources.layouts import HELD_OUT, Fields, Layout

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_LISTS = ("*.txt", "ImageSets/Main/*.txt")
_LIST = re.compile(rf"(?:align_)?({HELD_OUT})", re.IGNORECASE)
"""Names of lists without their suffix; FLIR aligned has align_validation.txt."""
_MAX_BYTES = 2**26


def held_out_part(layout: Layout, fields: Fields) -> str:
    """The part by its folder, where it is not to train on; else ''."""
    part = dict(fields).get("part", "")
    return part if re.fullmatch(layout.held_out, part, re.IGNORECASE) else ""


def held_out_lists(folder: Path) -> dict[str, str]:
    """By names of images without suffix, the list of a part not to train on that they stand in.

    Raises DataError.
    """
    found: dict[str, str] = {}
    for path in (path for place in _LISTS for path in sorted(folder.glob(place))):
        part = _LIST.fullmatch(path.stem)
        if part is not None and path.is_file():
            found |= dict.fromkeys(_names(path), part[1])
    return found


def _names(path: Path) -> Iterator[str]:
    """Of images, or of paths to them, one a line."""
    with refusing(DataError, str(path), "names of images, one a line"):
        lines = read_bytes(path, _MAX_BYTES).decode("utf-8-sig").splitlines()
    for line in lines:
        name = line.strip().replace("\\", "/").rpartition("/")[2]
        yield name
        yield name.rpartition(".")[0]
