"""Pairs of images on disk, split by recording runs, as random crops for training.

A data folder has `thermal/` and `rgb/` (or `visible/`, or two names of the user's, such as MRI and PET)
with equal stems, and optionally `labels/` with class ids per pixel. Images are decoded once and kept in
memory as uint8 luminance: about 0.6 MB for a 640x480 pair, 0.9 MB with labels.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from ivfusion_ros.errors import DataError

IMAGE_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff"}
PAIR_FOLDERS = ("thermal", "rgb")
"""What the folders of a pair's images are called unless the user says otherwise."""
RUN_GAP = 5
"""Consecutive frame numbers further apart than this belong to different recordings."""
LONGEST_RUN = 40
"""A longer recording counts as several, or it could not be shared between training and validation."""


@dataclass(frozen=True)
class PairPaths:
    """One pair on disk; labels is None where the folder has none for it."""

    thermal: Path
    rgb: Path
    labels: Path | None

    @property
    def stem(self) -> str:
        """Name without suffix, equal for all files of the pair."""
        return self.thermal.stem


def _by_stem(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        return {}
    return {path.stem: path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES}


def find_pairs(folder: Path, names: tuple[str, str] = PAIR_FOLDERS) -> list[PairPaths]:
    """All pairs of a data folder, sorted by stem. Raises DataError when there are none.

    names: of the folders in it that hold the thermal and the rgb images.
    """
    if not folder.is_dir():
        raise DataError(f"there is no folder {folder}")
    thermal, rgb = (_by_stem(folder / name) for name in names)
    if names == PAIR_FOLDERS:
        rgb = rgb or _by_stem(folder / "visible")
    labels = _by_stem(folder / "labels")
    stems = sorted(thermal.keys() & rgb.keys())
    if not stems:
        raise DataError(
            f"{folder} has {len(thermal)} images in {names[0]}/ and {len(rgb)} in {names[1]}/, none with "
            f"equal names; expected pairs such as {names[0]}/0001.png and {names[1]}/0001.png, or other "
            "folder names in --folders"
        )
    return [PairPaths(thermal[stem], rgb[stem], labels.get(stem)) for stem in stems]


def split_runs(stems: Sequence[str]) -> list[list[int]]:
    """Group indices of sorted stems into recording runs.

    A run ends where the frame number jumps by more than RUN_GAP, where the text around the number changes
    and after LONGEST_RUN frames. Stems without a number are runs of their own.
    """
    runs: list[list[int]] = []
    previous: tuple[str, int] | None = None
    for index, stem in enumerate(stems):
        match = re.search(r"\d+(?=\D*$)", stem)
        if match is None:
            runs.append([index])
            previous = None
            continue
        current = (stem[: match.start()] + stem[match.end() :], int(match.group()))
        near = previous is not None and current[0] == previous[0] and current[1] - previous[1] <= RUN_GAP
        if near and len(runs[-1]) < LONGEST_RUN:
            runs[-1].append(index)
        else:
            runs.append([index])
        previous = current
    return runs


def hold_out(
    pairs: Sequence[PairPaths], fraction: float, seed: int
) -> tuple[list[PairPaths], list[PairPaths]]:
    """Split into (training, validation) along whole runs, drawn by seed until `fraction` is reached.

    A run that would more than double the share is left to training, so that a folder with a single
    recording is not held out whole.
    """
    runs = split_runs([pair.stem for pair in pairs])
    wanted = fraction * len(pairs)
    held: set[int] = set()
    for number in np.random.default_rng(seed).permutation(len(runs)):
        if len(held) < wanted and len(held) + len(runs[number]) <= 2 * wanted:
            held.update(runs[number])
    training = [pair for index, pair in enumerate(pairs) if index not in held]
    return training, [pairs[index] for index in sorted(held)]


def spread(pairs: Sequence[PairPaths], limit: int) -> list[PairPaths]:
    """At most `limit` of the pairs, evenly spread over them; 0: all."""
    if not 0 < limit < len(pairs):
        return list(pairs)
    return [pairs[index * len(pairs) // limit] for index in range(limit)]


def _read(path: Path, flags: int) -> npt.NDArray[np.uint8]:
    image = cv2.imread(str(path), flags)
    if image is None:
        raise DataError(f"cannot decode {path}; remove it or replace it by a readable image")
    return np.asarray(image, np.uint8)


def read_luminance(pair: PairPaths) -> npt.NDArray[np.uint8]:
    """(3, H, W) uint8: thermal, visible luminance, class ids (255 where there are no labels)."""
    thermal = _read(pair.thermal, cv2.IMREAD_GRAYSCALE)
    # Decoding straight to grey truncates in some formats and is not BT.601 in all.
    visible = cv2.cvtColor(_read(pair.rgb, cv2.IMREAD_COLOR), cv2.COLOR_BGR2GRAY)
    labels = np.full(thermal.shape, 255, np.uint8)
    if pair.labels is not None:
        labels = _read(pair.labels, cv2.IMREAD_GRAYSCALE)
    if not thermal.shape == visible.shape == labels.shape:
        raise DataError(
            f"pair {pair.stem}: {pair.thermal.parent.name} is {thermal.shape}, {pair.rgb.parent.name} "
            f"{visible.shape}, labels {labels.shape}; expected one size: register the images first"
        )
    return np.stack((thermal, visible, labels))


Planes = Callable[[PairPaths], npt.NDArray[np.uint8]]
"""Reads a pair as (N, H, W) uint8, the first three as read_luminance."""


def following_pairs(pairs: Sequence[PairPaths]) -> dict[PairPaths, PairPaths]:
    """The next frame of each of a folder's sorted pairs that has one in its recording run."""
    runs = split_runs([pair.stem for pair in pairs])
    return {pairs[now]: pairs[after] for run in runs for now, after in pairwise(run)}


@dataclass(frozen=True)
class Patches:
    """Crops of several pairs.

    images: (B, N, crop, crop) uint8: thermal, visible luminance, class ids, and more where asked for.
    means: (B, 2) float32 in [0, 1]: of the whole thermal and visible images.
    """

    images: npt.NDArray[np.uint8]
    means: npt.NDArray[np.float32]


def _means(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    return np.asarray(image[:2].mean((1, 2)) / 255, np.float32)


class Crops:
    """Endless random crops of a set of pairs, seeded: flipped and turned by multiples of 90 degrees."""

    def __init__(
        self, pairs: Sequence[PairPaths], crop: int, seed: int, read: Planes = read_luminance
    ) -> None:
        self.pairs = pairs
        self.read = read
        self.crop = crop
        self.random = np.random.default_rng(seed)
        self._cache: dict[int, tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]] = {}

    def batch(self, size: int) -> Patches:
        """`size` crops from pairs drawn at random."""
        chosen = [self._image(int(index)) for index in self.random.integers(len(self.pairs), size=size)]
        patches = [self._crop(image) for image, _ in chosen]
        return Patches(np.stack(patches), np.stack([means for _, means in chosen]))

    def _image(self, index: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]:
        if index not in self._cache:
            image = self.read(self.pairs[index])
            if min(image.shape[1:]) < self.crop:
                raise DataError(
                    f"pair {self.pairs[index].stem} is {image.shape[2]}x{image.shape[1]}, smaller than "
                    f"the crop of {self.crop}; choose a smaller crop or remove the pair"
                )
            self._cache[index] = image, _means(image)
        return self._cache[index]

    def _crop(self, image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        top, left = (int(self.random.integers(side - self.crop + 1)) for side in image.shape[1:])
        patch = image[:, top : top + self.crop, left : left + self.crop]
        patch = np.rot90(patch, int(self.random.integers(4)), (1, 2))
        return patch[:, :, ::-1] if self.random.integers(2) else patch


def centre_crops(
    pairs: Sequence[PairPaths], crop: int, batch: int, read: Planes = read_luminance
) -> Iterator[Patches]:
    """Central crops in order, `batch` at a time; the last batch may be smaller."""
    for start in range(0, len(pairs), batch):
        images = [read(pair) for pair in pairs[start : start + batch]]
        patches = []
        for image in images:
            top, left = (max(0, (side - crop) // 2) for side in image.shape[1:])
            patches.append(image[:, top : top + crop, left : left + crop])
        yield Patches(np.stack(patches), np.stack([_means(image) for image in images]))
