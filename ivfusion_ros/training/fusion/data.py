"""Pairs of images on disk, as random crops of a training step.

A data folder has `thermal/` and `rgb/` (or `visible/`, or two names of the user's, such as MRI and PET)
with equal stems, and optionally `labels/` with class ids per pixel. Images are decoded once and kept in
memory as uint8 luminance: about 0.6 MB for a 640x480 pair, 0.9 MB with labels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt

from ivfusion_ros.errors import DataError, ImageError
from ivfusion_ros.images.files import decode_pixels, read_content
from ivfusion_ros.images.pairs import PairPaths
from ivfusion_ros.training.fusion.augment import Sample, augment
from ivfusion_ros.training.fusion.config import WHOLE

if TYPE_CHECKING:
    from pathlib import Path

    from ivfusion_ros.training.fusion.config import TrainConfig

Planes = npt.NDArray[np.uint8]
"""(N, H, W): thermal, visible luminance, class ids, and more where asked for."""

ReadPlanes = Callable[[PairPaths], Planes]


def read_plane(path: Path, flags: int = cv2.IMREAD_GRAYSCALE) -> npt.NDArray[np.uint8]:
    """An image as OpenCV's imread gives it, its declared size checked. Raises DataError."""
    try:
        return np.asarray(decode_pixels(read_content(path), str(path), flags), np.uint8)
    except ImageError as error:
        raise DataError(f"{error}; remove it or replace it by a readable image") from error


def read_luminance(pair: PairPaths) -> Planes:
    """(3, H, W) uint8: thermal, visible luminance, class ids (255 where there are no labels)."""
    thermal = read_plane(pair.thermal)
    # Decoding straight to grey truncates in some formats and is not BT.601 in all.
    visible = cv2.cvtColor(read_plane(pair.rgb, cv2.IMREAD_COLOR), cv2.COLOR_BGR2GRAY)
    labels = np.full(thermal.shape, 255, np.uint8)
    if pair.labels is not None:
        labels = read_plane(pair.labels)
    if not thermal.shape == visible.shape == labels.shape:
        raise DataError(
            f"pair {pair.stem}: {pair.thermal.parent.name} is {thermal.shape}, {pair.rgb.parent.name} "
            f"{visible.shape}, labels {labels.shape}; expected one size: register the images first"
        )
    return np.stack((thermal, visible, labels))


def image_means(planes: Planes) -> npt.NDArray[np.float32]:
    """(2,) in [0, 1], of thermal and visible."""
    return np.asarray(planes[:2].mean((1, 2)) / 255, np.float32)


@dataclass(frozen=True)
class Patches:
    """Crops of one size.

    images: (B, N, h, w) uint8, what the loss compares with.
    seen: (B, 2, h, w) uint8, thermal and visible as the network gets them instead, or (B, 4, h, w) with
    those of the next frame; None where they are the same.
    means: (B, 2) float32 in [0, 1], of the whole thermal and visible images.
    """

    images: npt.NDArray[np.uint8]
    seen: npt.NDArray[np.uint8] | None
    means: npt.NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.images)


class Sampler:
    """The crops of each training step, drawn from its number alone.

    So any step can be made at any time, in any thread, and a run that goes on sees what it would have seen.
    A pass over the pairs takes each once, in an order of its own.
    """

    def __init__(
        self,
        pairs: Sequence[PairPaths],
        config: TrainConfig,
        sides: tuple[int, int],
        read: ReadPlanes = read_luminance,
    ) -> None:
        """sides: what the sides of all crops are multiples of, and at least."""
        self.pairs, self.config, self.sides, self.read = pairs, config, sides, read
        self._kept: dict[int, Planes] = {}
        self._bytes = 0

    def step(self, number: int) -> list[Patches]:
        """The crops of a step, `batch` in all, put together by size. Raises DataError."""
        config = self.config
        side = int(np.random.default_rng((config.seed, number)).choice(config.crop))
        places = range(number * config.batch, (number + 1) * config.batch)
        groups: dict[tuple[int, ...], list[Sample]] = {}
        for place in places:
            sample = self._sample(self._pair_at(place), side, place)
            groups.setdefault(sample.images.shape, []).append(sample)
        return [_together(samples) for samples in groups.values()]

    def _pair_at(self, place: int) -> int:
        """Index of the pair at a place in the sequence of all passes."""
        epoch, position = divmod(place, len(self.pairs))
        order = np.random.default_rng((self.config.seed, epoch, 1)).permutation(len(self.pairs))
        return int(order[position])

    def _sample(self, index: int, side: int, place: int) -> Sample:
        random = np.random.default_rng((self.config.seed, place, 2))
        planes = self._planes(index)
        wanted = [side, side]
        if side == WHOLE:
            # Whole also where the zoom makes it larger.
            zoom = max(1.0, self.config.augment.largest_scale)
            wanted = [math.ceil(length * zoom) for length in planes.shape[1:]]
        if min(planes.shape[1:]) < self.sides[1]:
            raise DataError(
                f"pair {self.pairs[index].stem} is {planes.shape[2]}x{planes.shape[1]}, smaller than the "
                f"{self.sides[1]} pixels a side that the network and its loss need; remove the pair"
            )
        return augment(planes, image_means(planes), wanted, self.sides, self.config.augment, random)

    def _planes(self, index: int) -> Planes:
        kept = self._kept.get(index)
        if kept is not None:
            return kept
        planes = self.read(self.pairs[index])
        if self._bytes + planes.nbytes <= self.config.memory_gb * 1e9:
            self._kept[index] = planes
            self._bytes += planes.nbytes
        return planes


def _together(samples: Sequence[Sample]) -> Patches:
    seen = [sample.seen for sample in samples]
    return Patches(
        np.stack([sample.images for sample in samples]),
        None if seen[0] is None else np.stack([images for images in seen if images is not None]),
        np.stack([sample.means for sample in samples]),
    )
