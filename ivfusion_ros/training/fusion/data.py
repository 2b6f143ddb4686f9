"""Pairs of images on disk, split by recording runs, as random crops for training.

A data folder has `thermal/` and `rgb/` (or `visible/`, or two names of the user's, such as MRI and PET)
with equal stems, and optionally `labels/` with class ids per pixel. Images are decoded once and kept in
memory as uint8 luminance: about 0.6 MB for a 640x480 pair, 0.9 MB with labels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt

from ivfusion_ros.errors import DataError
from ivfusion_ros.images.pairs import PairPaths
from ivfusion_ros.types import Floats32, Image

if TYPE_CHECKING:
    from pathlib import Path


def _read(path: Path, flags: int) -> Image:
    image = cv2.imread(str(path), flags)
    if image is None:
        raise DataError(f"cannot decode {path}; remove it or replace it by a readable image")
    return np.asarray(image, np.uint8)


def read_luminance(pair: PairPaths) -> Image:
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


Planes = Callable[[PairPaths], Image]
"""Reads a pair as (N, H, W) uint8, the first three as read_luminance."""


@dataclass(frozen=True)
class Patches:
    """Crops of several pairs.

    images: (B, N, crop, crop) uint8: thermal, visible luminance, class ids, and more where asked for.
    means: (B, 2) float32 in [0, 1]: of the whole thermal and visible images.
    """

    images: npt.NDArray[np.uint8]
    means: Floats32


def _means(image: Image) -> Floats32:
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
        self._cache: dict[int, tuple[Image, Floats32]] = {}

    def batch(self, size: int) -> Patches:
        """`size` crops from pairs drawn at random."""
        chosen = [self._image(int(index)) for index in self.random.integers(len(self.pairs), size=size)]
        patches = [self._crop(image) for image, _ in chosen]
        return Patches(np.stack(patches), np.stack([means for _, means in chosen]))

    def _image(self, index: int) -> tuple[Image, Floats32]:
        if index not in self._cache:
            image = self.read(self.pairs[index])
            if min(image.shape[1:]) < self.crop:
                raise DataError(
                    f"pair {self.pairs[index].stem} is {image.shape[2]}x{image.shape[1]}, smaller than "
                    f"the crop of {self.crop}; choose a smaller crop or remove the pair"
                )
            self._cache[index] = image, _means(image)
        return self._cache[index]

    def _crop(self, image: Image) -> Image:
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
