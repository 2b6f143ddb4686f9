"""Which pairs a detector is trained on and which it is judged by."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import numpy as np

from ivfusion_ros.errors import DataError
from ivfusion_ros.images.pairs import HasStem, hold_out

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ivfusion_ros.sources.scenes import Scene as SceneOnDisk

HELD_OUT = 0.17
"""Share of each folder that is held out, in whole runs of frame numbers."""

_SEED = 0
"""Of fusion training, too: runs are drawn in the same order, so what that holds out of a folder is held out
here as well. The other pairs held out here were seen by the fusion networks, without their labels."""

PARTS = ("train", "val", "test")

Item = TypeVar("Item")
Scene = TypeVar("Scene", bound=HasStem)


def hold_out_scenes(scenes: Sequence[Scene]) -> tuple[list[Scene], list[Scene]]:
    """Split a folder's scenes, sorted by stem, into (training, held out); always the same way."""
    return hold_out(scenes, HELD_OUT, _SEED)


def published(scenes: Sequence[SceneOnDisk]) -> tuple[list[SceneOnDisk], list[SceneOnDisk]] | None:
    """Scenes to train on, and those of all other parts that the set was published in.

    None where it was published in no such parts.
    """
    held = [scene for scene in scenes if scene.held_out]
    return ([scene for scene in scenes if not scene.held_out], held) if held else None


def draw_scenes(scenes: Sequence[Scene], shares: Sequence[int]) -> dict[str, list[Scene]]:
    """Split scenes at random by shares of PARTS, as papers do; always the same way.

    Neighbours fall into different parts, so figures flatter. Raises DataError where a part gets none.
    """
    order = np.random.default_rng(_SEED).permutation(len(scenes))
    ends = np.rint(np.cumsum((0, *shares)) / sum(shares) * len(scenes)).astype(int)
    parts = {
        part: [scenes[index] for index in sorted(order[start:end])]
        for part, start, end in zip(PARTS, ends, ends[1:], strict=False)
    }
    for part, share in zip(PARTS, shares, strict=True):
        if share and not parts[part]:
            raise DataError(
                f"{len(scenes)} scenes are too few to draw {':'.join(map(str, shares))}: {part} gets none"
            )
    return parts


def share_of(items: Sequence[Item], share: float) -> list[Item]:
    """A share of the items, evenly spaced; share is in (0, 1]."""
    return [item for index, item in enumerate(items) if int((index + 1) * share) > int(index * share)]
