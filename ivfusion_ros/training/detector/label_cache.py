"""ultralytics' memory of a data set's labels: a pickle beside them, which may come from anybody.

What unpickles it runs whatever it names. The labels are read again instead, about a millisecond each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ultralytics.data import dataset

if TYPE_CHECKING:
    from pathlib import Path


def scan_labels_anew() -> None:
    """Have ultralytics take none of these files, of training and of validation images."""
    dataset.load_dataset_cache_file = _none


def _none(path: Path) -> dict[str, object]:
    raise FileNotFoundError(path)
