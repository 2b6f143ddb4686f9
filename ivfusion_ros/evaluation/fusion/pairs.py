"""The pairs of images that networks are judged on."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ivfusion_ros.errors import ConfigError
from ivfusion_ros.images.pairs import PairPaths, spread
from ivfusion_ros.sources.layouts import find_pairs
from ivfusion_ros.types import CAMERAS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence


@dataclass(frozen=True)
class Pair:
    """A registered pair on disk.

    data: name of its data set, unlike that of all others.
    people: what says where people are, a map of class ids or a file of boxes; None where nothing does.
    previous: the pair one frame earlier, where the data set is a video.
    """

    data: str
    stem: str
    thermal: Path
    rgb: Path
    people: Path | None = None
    previous: Pair | None = None


def read_pairs(
    folders: Sequence[Path],
    names: tuple[str, str] = CAMERAS,
    *,
    limit: int | None = None,
    sequence: bool = False,
    find: Callable[[Path, tuple[str, str]], list[PairPaths]] = find_pairs,
) -> list[Pair]:
    """All pairs of the data folders in order, frames of a sequence by number.

    A folder may have labels/ (maps of MSRS's class ids) or boxes/ (.txt in YOLO's form) too.

    names: of the folders with the thermal and the rgb image.
    limit: most pairs of each folder, evenly spaced, or the first ones of a sequence. find: which pairs of
    a folder.
    Raises DataError where a folder has none, ConfigError where a folder is given twice.
    """
    pairs: list[Pair] = []
    for name, folder in zip(_names(folders), folders, strict=True):
        found = [_pair(name, paths) for paths in find(folder, names)]
        if sequence:
            found = _linked(found[:limit])
        elif limit is not None:
            found = spread(found, limit, ends=True)
        pairs += found
    return pairs


def pair_files(pairs: Iterable[Pair]) -> dict[str, dict[str, list[str]]]:
    """Thermal and RGB file by data set and pair; JSON."""
    files: dict[str, dict[str, list[str]]] = {}
    for pair in pairs:
        files.setdefault(pair.data, {})[pair.stem] = [
            str(path.resolve()) for path in (pair.thermal, pair.rgb)
        ]
    return files


def hour(stem: str) -> str | None:
    """Whether a pair was taken by "day" or "night", where its name ends as MSRS's do (00123D, 00123N)."""
    found = re.search(r"\d([DN])$", stem)
    return {"D": "day", "N": "night"}[found[1]] if found else None


def _pair(data: str, paths: PairPaths) -> Pair:
    # The data sets' own files of objects have other forms than YOLO's.
    yolo = paths.boxes is not None and paths.boxes.parent.name == "boxes"
    people = paths.boxes if yolo else paths.labels
    return Pair(data, paths.stem, paths.thermal, paths.rgb, people)


def _names(folders: Sequence[Path]) -> list[str]:
    """The shortest ends of the folders' paths that tell them apart."""
    parts = [folder.resolve().parts for folder in folders]
    if len(set(parts)) < len(parts):
        raise ConfigError("a data folder is given twice; name each folder once")
    depth = 1
    while len({part[-depth:] for part in parts}) < len(parts):
        depth += 1
    return ["/".join(part[-depth:]) for part in parts]


def _linked(frames: Sequence[Pair]) -> list[Pair]:
    # A link to the bare predecessor only, or every frame would hold on to the whole video.
    befores = [None, *frames[:-1]]
    return [replace(frame, previous=before) for frame, before in zip(frames, befores, strict=False)]
