"""Which pairs of the data folders are trained on and which are held out, and what identifies them."""

from __future__ import annotations

import hashlib
import logging
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ivfusion_ros.errors import DataError
from ivfusion_ros.images.pairs import PairPaths, following_pairs, hold_out, hold_out_end, spread
from ivfusion_ros.sources.published import pairs_to_learn_from

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from ivfusion_ros.training.fusion.config import TrainConfig
    from ivfusion_ros.training.matcher.config import SplitConfig

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Split:
    """Pairs to train on, those held out, and the next frame of each that has one in its recording."""

    training: list[PairPaths]
    validation: list[PairPaths]
    following: dict[PairPaths, PairPaths]

    def identity(self) -> dict[str, Any]:
        """Counts, and hashes of the lists of files: names and sizes, wherever the folders lie."""
        return {
            "training": {"pairs": len(self.training), "sha256": _hash(self.training)},
            "validation": {"pairs": len(self.validation), "sha256": _hash(self.validation)},
        }


def split_folders(
    folders: Sequence[Path], names: tuple[str, str], config: TrainConfig | SplitConfig
) -> Split:
    """Split each folder along its recordings; parts published to judge by are in neither half.

    Raises DataError where nothing is left to train on.
    """
    found = [pairs_to_learn_from(folder, names) for folder in folders]
    fraction, guard = config.validation_fraction, config.guard
    parts = [hold_out(pairs, fraction, config.split_seed, guard) for pairs in found]
    if fraction and not any(held for _, held in parts):
        # Single recordings, none of which can be spared whole.
        parts = [hold_out_end(pairs, fraction, guard) for pairs in found]
    training = [
        pair
        for folder, (kept, _) in zip(folders, parts, strict=True)
        for pair in _limited(folder, kept, config.folder_limit)
    ]
    if not training:
        raise DataError("no pairs are left to train on; lower validation_fraction or add --data folders")
    validation = [pair for _, held in parts for pair in held]
    following = {now: after for pairs in found for now, after in following_pairs(pairs).items()}
    return Split(training, validation, following)


def _limited(folder: Path, pairs: list[PairPaths], limit: int) -> list[PairPaths]:
    if not limit or len(pairs) <= limit:
        return pairs
    log.info("%s: %d of %d pairs, evenly spread, by folder_limit", folder, limit, len(pairs))
    return spread(pairs, limit)


def told(folders: Sequence[Path], identity: dict[str, Any]) -> str:
    """What models.yaml says of a split. identity: the split's."""
    training, held = identity["training"], identity["validation"]
    names = ", ".join(folder.name for folder in folders)
    lists = ", ".join(part["sha256"][:12] for part in (training, held))
    return (
        f"{names}: {training['pairs']} pairs to train on, {held['pairs']} held out in whole runs of frame "
        f"numbers (lists of files {lists})"
    )


def _hash(pairs: Iterable[PairPaths]) -> str:
    digest = hashlib.sha256()
    for pair in pairs:
        for path in filter(None, (pair.thermal, pair.rgb, pair.labels)):
            # The data folder's own name and what lies below it: it may be moved or mounted elsewhere.
            name = "/".join(path.resolve().parts[-3:])
            digest.update(os.fsencode(f"{name} {path.stat().st_size}\n"))
    return digest.hexdigest()
