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
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from ivfusion_ros.images.pairs import PairPaths

log = logging.getLogger(__name__)

_FOLDERS_OF_LISTS = (".", "ImageSets/Main")
_LIST = re.compile(rf"(?:align_)?({HELD_OUT})\.txt", re.IGNORECASE)
"""Names of lists; FLIR aligned has align_validation.txt."""
_MAX_BYTES = 2**26


def pairs_to_learn_from(folder: Path, names: tuple[str, str] | None = None) -> list[PairPaths]:
    """As find_pairs, but for the parts of a data set that its authors do not train on, which are logged.

    Raises DataError where that leaves none.
    """
    found = find_pairs(folder, names)
    held = _held_out(folder, found)
    if held and len(held) == len(found):
        raise DataError(
            f"{folder} was published in parts, and none of its {len(found)} pairs is in one to train on "
            f"({_told(held)}); give another folder, or {_how_to_take(folder, next(iter(held)))}"
        )
    if held:
        log.info("%s: left out, published to judge by: %s", folder, _told(held))
    return [pair for pair in found if pair not in held]


def pairs_to_judge_by(folder: Path, names: tuple[str, str] | None = None) -> list[PairPaths]:
    """As find_pairs, but of a data set that was published in parts those not to train on alone.

    Raises DataError.
    """
    found = find_pairs(folder, names)
    held = _held_out(folder, found)
    if held and len(held) < len(found):
        log.info("%s: judged by what it was published to be judged by: %s", folder, _told(held))
    return list(held) or found


def _held_out(folder: Path, pairs: Sequence[PairPaths]) -> dict[PairPaths, str]:
    """The parts of those pairs that are in one not to train on. Raises DataError."""
    lists = held_out_lists(folder, [path for pair in pairs for path in (pair.thermal, pair.rgb)])
    found = (
        (pair, pair.held_out or lists.get(pair.thermal.stem) or lists.get(pair.rgb.stem)) for pair in pairs
    )
    return {pair: part for pair, part in found if part}


def _told(held: Mapping[PairPaths, str]) -> str:
    return ", ".join(f"{count} in {part}" for part, count in Counter(held.values()).items())


def _how_to_take(folder: Path, pair: PairPaths) -> str:
    if pair.held_out:
        return f"{folder / pair.held_out} if that part is meant"
    return "take the lists of names away if these pairs are meant"


def held_out_lists(folder: Path, images: Sequence[Path]) -> dict[str, str]:
    """By names of images without suffix, the list of a part not to train on that they stand in.

    images: of the folder; a list that names none of them is warned of. Raises DataError.
    """
    found: dict[str, str] = {}
    stems = {path.stem for path in images}
    for path, part in _lists(folder):
        named = stems.intersection(_names(path))
        found |= dict.fromkeys(named, part)
        if not named:
            log.warning(
                "%s names none of the %d images of %s: nothing is held out by it; expected names of them, "
                "one a line",
                path, len(images), folder,
            )  # fmt: skip
    return found


def _lists(folder: Path) -> Iterator[tuple[Path, str]]:
    """Files of names, and the part that each is of."""
    for place in (folder / name for name in _FOLDERS_OF_LISTS):
        for path in sorted(place.iterdir()) if place.is_dir() else ():
            part = _LIST.fullmatch(path.name)
            if part is not None and path.is_file():
                yield path, part[1]


def _names(path: Path) -> Iterator[str]:
    """Of images, or of paths to them, one a line."""
    with refusing(DataError, str(path), "names of images, one a line"):
        lines = read_bytes(path, _MAX_BYTES).decode("utf-8-sig").splitlines()
    for line in lines:
        name = line.strip().replace("\\", "/").rpartition("/")[2]
        yield name
        yield name.rpartition(".")[0]
