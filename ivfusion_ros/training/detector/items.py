"""Which scenes of which folders a data set has, in which of its parts and kinds of images."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, cast

from ivfusion_ros.errors import DataError
from ivfusion_ros.images.names import RUN_GAP
from ivfusion_ros.sources.scenes import Scene, find_scenes
from ivfusion_ros.training.detector.kinds import Kind
from ivfusion_ros.training.detector.split import PARTS, draw_scenes, hold_out_scenes, published, share_of
from ivfusion_ros.types import CAMERAS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from ivfusion_ros.types import CameraName

log = logging.getLogger(__name__)

Part = Literal["train", "val", "test"]

_NEAR = f"within {RUN_GAP} frame numbers of a held-out one"
_NO_SHARE = "not in the share of any kind of images"
_UNSEEN = "not seen by the cameras that are asked for"
"""Rules that leave scenes out."""


@dataclass(frozen=True)
class Item:
    """A scene, the name of its folder, the part that it is in, and the kinds of images that show it."""

    scene: Scene
    folder: str
    part: Part
    kinds: tuple[Kind, ...]

    @property
    def stem(self) -> str:
        """Of its files."""
        return f"{self.folder}_{self.scene.stem}"


def find_items(
    folders: Sequence[Path], kinds: Sequence[Kind], drawn: Sequence[int], camera: CameraName | None
) -> list[Item]:
    """The scenes of all folders that some kind shows; what is left out is logged. Raises DataError.

    drawn, camera: as write_dataset.
    """
    items: list[Item] = []
    scenes: list[Scene] = []
    for folder in folders:
        found = find_scenes(folder, camera)
        name = _name_of(folder)
        items += _drawn_items(name, found, kinds, drawn) if drawn else _items(name, found, kinds)
        scenes += found
    if not items:
        raise _nothing_asked(scenes, kinds)
    _check_names(items)
    return items


def _check_names(scenes: Sequence[Item]) -> None:
    """Raises DataError for two scenes that would be one file."""
    seen: dict[str, Scene] = {}
    for item in scenes:
        other = seen.setdefault(item.stem, item.scene)
        if other is not item.scene:
            raise DataError(
                f"{other.image} and {item.scene.image} would both be {item.stem}; give each folder once, "
                "under a name of its own"
            )


def _name_of(folder: Path) -> str:
    parts = folder.resolve().parts
    return "_".join(parts[-2:]) if folder.name in PARTS else parts[-1]


def _drawn_items(
    name: str, found: Sequence[Scene], kinds: Sequence[Kind], drawn: Sequence[int]
) -> Iterator[Item]:
    parts = draw_scenes(found, drawn)
    log.info("%s: drawn at random, %s", name, ", ".join(f"{len(x)} {part}" for part, x in parts.items()))
    for part, scenes in parts.items():
        for scene in scenes:
            shown = tuple(kind for kind in kinds if kind.shows(scene))
            if shown:
                yield Item(scene, name, cast("Part", part), shown)


def _items(name: str, scenes: Sequence[Scene], kinds: Sequence[Kind]) -> list[Item]:
    training, held = published(scenes) or hold_out_scenes(scenes)
    shown = {kind: {scene.stem for scene in share_of(training, kind.share)} for kind in kinds}
    parts: dict[Part, list[Scene]] = {"train": training, "val": held}
    items: list[Item] = []
    left_out = Counter({_NEAR: len(scenes) - len(training) - len(held)})
    for part, scene in ((part, scene) for part, inside in parts.items() for scene in inside):
        seen = tuple(kind for kind in kinds if kind.shows(scene))
        chosen = tuple(kind for kind in seen if part == "val" or scene.stem in shown[kind])
        if chosen:
            items.append(Item(scene, name, part, chosen))
        else:
            left_out[_NO_SHARE if seen else _UNSEEN] += 1
    own = " and ".join(dict.fromkeys(scene.held_out for scene in held if scene.held_out))
    _tell_parts(name, items, +left_out, f", its own {own}" if own else "")
    return items


def _tell_parts(name: str, items: Sequence[Item], left_out: Counter[str], own: str) -> None:
    """How many scenes each part has, and how many each rule left out. own: held out by the set itself."""
    counts = Counter(item.part for item in items)
    reasons = ", ".join(f"{count} {rule}" for rule, count in left_out.items()) or "none"
    log.info(
        "%s: %d scenes, %d to train on, %d held out%s; left out: %s",
        name, len(items) + left_out.total(), counts["train"], counts["val"], own, reasons,
    )  # fmt: skip
    if items and not counts["train"]:
        log.warning("%s: nothing of it is trained on", name)
    if counts["train"] and not counts["val"]:
        log.warning("%s is a single short recording or has too few scenes: nothing of it is held out", name)


def _nothing_asked(scenes: Sequence[Scene], kinds: Sequence[Kind]) -> DataError:
    """What to raise where no scene is in any kind."""
    asked = " ".join(kind.name for kind in kinds)
    if any(kind.shows(scene) for kind in kinds for scene in scenes):
        return DataError(f"none of {len(scenes)} scenes is in the shares of --images {asked}; ask for more")
    cameras = {camera for camera in CAMERAS for scene in scenes if getattr(scene, camera) is not None}
    have = " ".join(camera for camera in CAMERAS if camera in cameras)
    return DataError(
        f"--images is {asked}, but {len(scenes)} scenes have images of one camera each, {have}; ask for "
        f"--images {have}"
        + ("" if len(cameras) > 1 else "; --camera says whose they are where no folder does")
    )
