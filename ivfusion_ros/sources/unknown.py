"""What to say of a folder in which no scenes are found: what lies there, and what is read."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from ivfusion_ros.errors import DataError
from ivfusion_ros.images.names import SUFFIXES
from ivfusion_ros.sources.layouts import LAYOUTS
from ivfusion_ros.sources.one_camera import FORMS, ONE_CAMERA

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_NAMED = 12
"""Most folders and kinds of files that a message names."""
_DEPTH = 3
"""Folders below one another that are looked into."""
_LOOKED_AT = 2000
"""Most files of one folder that are looked at."""


def nothing_in(folder: Path) -> DataError:
    """What to raise."""
    forms = "; ".join(
        f"{name}: {places[0].images} with {places[0].boxes}".replace("{", "").replace("}", "")
        for name, places in FORMS.items()
    )
    sets = ", ".join(
        dict.fromkeys(name.split(",")[0] for name in [*list(LAYOUTS)[1:], *list(ONE_CAMERA)[1:]])
    )
    return DataError(
        f"{folder} has no scenes of a known form; in it: {_inside(folder)}. Expected images of equal names "
        "in thermal/ and rgb/, or one of them alone, beside boxes/*.txt, labels/ or a COCO file; a data "
        f"set as it is published ({sets}); or images with boxes ({forms})"
    )


def _inside(folder: Path) -> str:
    """`7 .jpeg in train/, 1 .json`, or that nothing is there."""
    kinds: Counter[str] = Counter()
    for path in _below(folder, _DEPTH):
        place = f" in {path.parent.relative_to(folder)}/" if path.parent != folder else ""
        kinds[f"{path.suffix.lower() or 'without suffix'}{place}"] += 1
    said = [
        f"{count} {kind}" for kind, count in sorted(kinds.items(), key=lambda kind: not _is_image(kind[0]))
    ]
    return ", ".join(said[:_NAMED]) + (", ..." if len(said) > _NAMED else "") or "nothing"


def _is_image(kind: str) -> bool:
    return kind.split(" ")[0] in SUFFIXES


def _below(folder: Path, depth: int) -> Iterator[Path]:
    """Files in a folder and in those below."""
    left = _LOOKED_AT
    for path in sorted(folder.iterdir()):
        if path.is_file():
            left -= 1
            yield path
        elif path.is_dir() and depth > 1:
            yield from _below(path, depth - 1)
        if left < 0:
            return
