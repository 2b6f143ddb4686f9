"""What a data set's numbers mean, by the file that lies in its folder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ivfusion_ros.errors import DataError
from ivfusion_ros.files import read_yaml

if TYPE_CHECKING:
    from pathlib import Path

_MOST = 10_000
"""Classes of a set; no number is above it."""


def names_of_set(folder: Path) -> tuple[str, ...]:
    """By ultralytics' YAML or a list of lines; () where it does not say. Raises DataError."""
    for path in (folder / name for name in ("data.yaml", "dataset.yaml")):
        names = read_yaml(path).get("names") if path.is_file() else None
        if names is not None:
            return _listed(path, names)
    lists = (folder / "classes.txt", folder / "labels" / "classes.txt")
    return next(
        (
            tuple(path.read_bytes().decode("utf-8-sig", errors="replace").split("\n"))
            for path in lists
            if path.is_file()
        ),
        (),
    )


def _listed(path: Path, names: Any) -> tuple[str, ...]:
    """In the order of their numbers; a number without a name stands for itself."""
    numbered = dict(enumerate(names)) if isinstance(names, list) else names
    if not isinstance(numbered, dict) or not numbered or not all(map(_is_number, numbered)):
        raise DataError(
            f"{path}: `names` is {str(names)[:80]}, expected a list of names or `number: name` from 0; "
            "without that entry numbers are COCO's"
        )
    return tuple(str(numbered.get(number, number)) for number in range(max(numbered) + 1))


def _is_number(word: object) -> bool:
    return isinstance(word, int) and 0 <= word < _MOST
