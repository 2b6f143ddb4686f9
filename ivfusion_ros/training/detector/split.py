"""Which pairs a detector is trained on and which it is judged by."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from ivfusion_ros.images.pairs import PairPaths, hold_out

if TYPE_CHECKING:
    from collections.abc import Sequence

HELD_OUT = 0.17
"""Share of each folder that is held out, in whole runs of frame numbers."""

_SEED = 0
"""Of fusion training, too: runs are drawn in the same order, so what that holds out of a folder is held out
here as well. The other pairs held out here were seen by the fusion networks, without their labels."""

_GUARD = 3
"""Pairs on either side of a held-out run that belong to neither part, beside those that hold_out guards by
number: they show nearly the same scene."""

Item = TypeVar("Item")


def hold_out_scenes(pairs: Sequence[PairPaths]) -> tuple[list[PairPaths], list[PairPaths]]:
    """Split a folder's pairs, as find_pairs sorts them, into (training, held out); always the same way."""
    training, held = hold_out(pairs, HELD_OUT, _SEED)
    held_stems, kept = {pair.stem for pair in held}, {pair.stem for pair in training}
    training = [
        pair
        for index, pair in enumerate(pairs)
        if pair.stem in kept
        and not any(near.stem in held_stems for near in pairs[max(0, index - _GUARD) : index + _GUARD + 1])
    ]
    return training, held


def share_of(items: Sequence[Item], share: float) -> list[Item]:
    """A share of the items, evenly spaced; share is in (0, 1]."""
    return [item for index, item in enumerate(items) if int((index + 1) * share) > int(index * share)]
