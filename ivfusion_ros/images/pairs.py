"""Pairs of images on disk, by folder and stem, and the recordings that they come from."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

import numpy as np

from ivfusion_ros.files import natural_order
from ivfusion_ros.images.names import RUN_GAP, SUFFIXES

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence


class HasStem(Protocol):
    """Whatever has a name that says when it was taken."""

    @property
    def stem(self) -> str:
        """Name without suffix."""


Item = TypeVar("Item")
Scene = TypeVar("Scene", bound=HasStem)


MAX_RUN = 40
"""A longer recording counts as several, or it could not be shared between training and validation."""


@dataclass(frozen=True)
class PairPaths:
    """One pair on disk.

    labels: a map of class ids. boxes: a file of objects. None where the folder has none for it.
    name: unlike that of all other pairs of its folder; '' for that of its thermal image.
    held_out: the part of the set as published that it is in, where that is not to train on; else ''.
    """

    thermal: Path
    rgb: Path
    labels: Path | None
    boxes: Path | None = None
    name: str = ""
    held_out: str = ""

    @property
    def stem(self) -> str:
        """Its name."""
        return self.name or self.thermal.stem


def images_by_stem(folder: Path) -> dict[str, Path]:
    """The images in a folder by their names without suffix, in natural order; none without a folder."""
    if not folder.is_dir():
        return {}
    images = [path for path in sorted(folder.iterdir()) if path.suffix.lower() in SUFFIXES]
    return {path.stem: path for path in sorted(images, key=lambda path: natural_order(path.stem))}


def folders_with_images(folder: Path) -> list[str]:
    """Names of the folders in a folder that hold images, in order."""
    return [path.name for path in sorted(folder.iterdir()) if images_by_stem(path)]


def _number(stem: str) -> tuple[str, int] | None:
    """The text around the last number of a stem, and the number; None without one."""
    match = re.search(r"\d+(?=\D*$)", stem)
    if match is None:
        return None
    return stem[: match.start()] + stem[match.end() :], int(match.group())


def split_runs(stems: Sequence[str]) -> list[list[int]]:
    """Group indices of sorted stems into recording runs.

    A run ends where the frame number jumps by more than RUN_GAP, where the text around the number changes
    and after MAX_RUN frames. Stems without a number are runs of their own.
    """
    runs: list[list[int]] = []
    previous: tuple[str, int] | None = None
    for index, stem in enumerate(stems):
        current = _number(stem)
        near = (
            current is not None
            and previous is not None
            and current[0] == previous[0]
            and current[1] - previous[1] <= RUN_GAP
        )
        if near and len(runs[-1]) < MAX_RUN:
            runs[-1].append(index)
        else:
            runs.append([index])
        previous = current
    return runs


def hold_out(
    pairs: Sequence[Scene], fraction: float, seed: int, guard: int = RUN_GAP
) -> tuple[list[Scene], list[Scene]]:
    """Split into (training, validation) along whole runs, drawn by seed until `fraction` is reached.

    A run that would more than double the share is left to training, so that a folder with a single
    recording is not held out whole. guard: a pair within so many frame numbers of a held-out one belongs to
    neither part, also where a run ends between them.
    """
    runs = split_runs([pair.stem for pair in pairs])
    wanted = fraction * len(pairs)
    held: set[int] = set()
    for number in np.random.default_rng(seed).permutation(len(runs)):
        if len(held) < wanted and len(held) + len(runs[number]) <= 2 * wanted:
            held.update(runs[number])
    return _without_neighbours(pairs, held, guard)


def hold_out_end(
    pairs: Sequence[Scene], fraction: float, guard: int = RUN_GAP
) -> tuple[list[Scene], list[Scene]]:
    """As hold_out, of a single recording: its last frames, where that leaves some to train on."""
    count = max(1, round(fraction * len(pairs)))
    training, validation = _without_neighbours(pairs, range(len(pairs))[-count:], guard)
    return (training, validation) if training else (list(pairs), [])


def _without_neighbours(
    pairs: Sequence[Scene], held: Collection[int], guard: int
) -> tuple[list[Scene], list[Scene]]:
    validation = [pairs[index] for index in sorted(held)]
    seen = {number for pair in validation if (number := _number(pair.stem)) is not None}
    training = [
        pair
        for index, pair in enumerate(pairs)
        if index not in held and not _is_near(_number(pair.stem), seen, guard)
    ]
    return training, validation


def _is_near(number: tuple[str, int] | None, others: set[tuple[str, int]], guard: int) -> bool:
    if number is None:
        return False
    text, value = number
    return any((text, value + step) in others for step in range(-guard, guard + 1))


def spread(items: Sequence[Item], most: int, *, ends: bool = False) -> list[Item]:
    """At most so many of the items in their order, evenly spaced; ends: with the first and the last."""
    if most >= len(items):
        return list(items)
    if ends:
        return [items[place] for place in np.linspace(0, len(items) - 1, most).round().astype(int)]
    return [items[index * len(items) // most] for index in range(most)]


def following_pairs(pairs: Sequence[PairPaths]) -> dict[PairPaths, PairPaths]:
    """The next frame of each of a folder's sorted pairs that has one in its recording run."""
    runs = split_runs([pair.stem for pair in pairs])
    return {pairs[now]: pairs[after] for run in runs for now, after in pairwise(run)}
