"""The parts that a data set is published in, by its folders or by lists of names."""

from __future__ import annotations

import logging
import re
from collections import Counter
from typing import TYPE_CHECKING

from ivfusion_ros.errors import DataError, refusing
from ivfusion_ros.files import read_bytes
from ivfusion_ros.sources.layouts import HELD_OUT, find_pairs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ivfusion_ros.images.pairs import PairPaths

log = logging.getLogger(__name__)

_LISTS = ("*.txt", "ImageSets/Main/*.txt")
_LIST = re.compile(rf"(?:align_)?({HELD_OUT})", re.IGNORECASE)
"""Names of lists without their suffix; FLIR aligned has align_validation.txt."""
_MAX_BYTES = 2**26


def pairs_to_learn_from(folder: Path, names: tuple[str, str] | None = None) -> list[PairPaths]:
    """As find_pairs, but for the parts of a data set that its authors do not train on, which are logged.

    Raises DataError where that leaves none.
    """
    found = find_pairs(folder, names)
    lists = held_out_lists(folder)
    held = {
        pair: part
        for pair in found
        if (part := pair.held_out or lists.get(pair.thermal.stem) or lists.get(pair.rgb.stem))
    }
    if not held:
        return found
    parts = Counter(held.values())
    told = ", ".join(f"{count} in {part}" for part, count in parts.items())
    if len(held) == len(found):
        one = next(iter(parts))
        raise DataError(
            f"{folder} was published in parts, and none of its {len(found)} pairs is in one to train on "
            f"({told}); give another folder, or {folder / one} if that part is meant"
        )
    log.info("%s: left out, published to judge by: %s", folder, told)
    return [pair for pair in found if pair not in held]


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
