"""Run folders: numbered, never overwritten."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ivfusion_ros.errors import ModelError
from ivfusion_ros.files import make_folder

if TYPE_CHECKING:
    from pathlib import Path


def new_run(folder: Path) -> Path:
    """Make and return folder/001, or the number after the highest one that is there."""
    make_folder(folder)
    while True:
        run = folder / f"{max(_numbers(folder), default=0) + 1:03d}"
        try:
            run.mkdir()
        except FileExistsError:
            # Another run began at this moment.
            continue
        return run


def latest_run(folder: Path) -> Path:
    """The run with the highest number. Raises ModelError where there is none."""
    numbers = _numbers(folder)
    if not numbers:
        raise ModelError(f"there is no run in {folder}; train without --resume first")
    return folder / f"{max(numbers):03d}"


def _numbers(folder: Path) -> list[int]:
    if not folder.is_dir():
        return []
    return [int(path.name) for path in folder.iterdir() if path.name.isdigit()]
