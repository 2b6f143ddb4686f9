"""The samples of each step, drawn from its number alone, so that a run that goes on sees the same."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt

from ivfusion_ros.registration.scene.align import align_many
from ivfusion_ros.training.fusion.data import read_luminance
from ivfusion_ros.training.matcher.appearance import exposed, repainted
from ivfusion_ros.training.matcher.views import random_motion, random_view, to_unit
from ivfusion_ros.types import Floats

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ivfusion_ros.images.pairs import PairPaths
    from ivfusion_ros.training.matcher.config import MatcherConfig

_RIG = 100
"""Pairs of one folder and size that place their cameras better than the folder itself does."""
_PLACED_BY = 40
_INVERTED = 0.15
"""Share of thermal images: black-hot cameras."""
_REPAINTED = (0.0, 0.1, 0.35, 1.0), (1.0, 0.94, 0.125, 0.0)
"""Progress of a run, and where the share of repainted samples is between its first and its last."""


@dataclass(frozen=True, eq=False)
class Sample:
    """thermal, visible: (H, W) float32 in [0, 1]. truth: 3x3 visible_from_thermal, pixels.

    seen: (H, W) bool, where the thermal image shows anything.
    """

    thermal: npt.NDArray[np.float32]
    visible: npt.NDArray[np.float32]
    truth: Floats
    seen: npt.NDArray[np.bool_]


class Samples:
    """Pairs in memory, as uint8 luminance.

    Each folder is drawn from by the root of how many pairs it has: a small one shows cameras that a large
    one does not.
    """

    def __init__(self, pairs: Sequence[PairPaths], config: MatcherConfig) -> None:
        """Raises DataError for a pair that cannot be read or is not of one size."""
        self._config = config
        self._images = [read_luminance(pair)[:2] for pair in pairs]
        folders = [pair.thermal.parents[1] for pair in pairs]
        counts = {folder: folders.count(folder) for folder in folders}
        weights = np.array([counts[folder] ** -0.5 for folder in folders])
        self._shares = weights / weights.sum()
        self._placed = self._place(folders)

    def step(self, number: int, progress: float) -> list[Sample]:
        """The samples of a step. progress: of the run, 0 to 1."""
        config = self._config
        random = np.random.default_rng((config.seed, number))
        first, last = config.repainted, config.repainted_last
        share = last + (first - last) * float(np.interp(progress, *_REPAINTED))
        return [self._sample(random, share) for _ in range(config.batch)]

    def _sample(self, random: np.random.Generator, share: float) -> Sample:
        index = int(random.choice(len(self._images), p=self._shares))
        thermal, visible = self._images[index]
        placed = self._placed[index]
        if random.random() < share:
            visible = visible if random.random() < 0.7 else thermal
            thermal, placed = repainted(visible, random), np.eye(3)
        size = self._config.width, self._config.height
        back = np.linalg.inv(to_unit(size))
        view = random_view(self._config, random) @ to_unit((visible.shape[1], visible.shape[0]))
        motion = random_motion(self._config, size[0] / size[1], random)
        of_thermal = back @ motion @ view @ placed
        seen = cv2.warpPerspective(np.full(thermal.shape, 255, np.uint8), of_thermal, size)
        return Sample(
            exposed(np.asarray(cv2.warpPerspective(thermal, of_thermal, size)), random, _INVERTED),
            exposed(np.asarray(cv2.warpPerspective(visible, back @ view, size)), random),
            back @ np.linalg.inv(motion) @ to_unit(size),
            np.asarray(seen > 0),
        )

    def _place(self, folders: Sequence[Path]) -> list[Floats]:
        """3x3 visible_from_thermal of each pair: registered data sets are off by pixels themselves."""
        groups: dict[tuple[Path, tuple[int, ...]], list[int]] = defaultdict(list)
        for index, (folder, images) in enumerate(zip(folders, self._images, strict=True)):
            groups[folder, images.shape].append(index)
        placed = [np.eye(3)] * len(folders)
        for members in groups.values():
            if len(members) < _RIG:
                continue
            chosen = [members[at] for at in np.linspace(0, len(members) - 1, _PLACED_BY).astype(int)]
            found = align_many([(self._images[at][0], self._images[at][1]) for at in chosen], np.eye(3))
            for member in members if found.trusted else ():
                placed[member] = found.rgb_from_thermal
        return placed
