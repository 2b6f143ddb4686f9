"""The state of a detector's training on disk: all that a run needs to go on as if it had not stopped.

ultralytics' own checkpoints round weights and optimiser to half precision, and know whole epochs only.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from ivfusion_ros.errors import ModelError
from ivfusion_ros.files import whole_file, write_whole
from ivfusion_ros.networks.torch_file import load_data
from ivfusion_ros.training.fusion.provenance import check_same_run, files_identity

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

STATE = "state.pt"
MAY_CHANGE = ("device", "workers", "save_every")
"""Settings by which a run may differ from the one that it resumes: they decide how fast, not what."""


@dataclass(frozen=True)
class State:
    """Where a run is.

    epoch, batch: what comes next. step: of all. progress: of the schedule, 0 to 1. elapsed_s: time so far.
    trainer: weights, their mean and the optimiser. origin: settings, data and start of the run.
    losses: means over the epoch's batches so far, by name; None before the first, and in files of earlier
    versions.
    """

    epoch: int
    batch: int
    step: int
    progress: float
    elapsed_s: float
    mosaic_closed: bool
    finished: bool
    trainer: dict[str, Any]
    origin: dict[str, Any]
    losses: dict[str, torch.Tensor] | None = None


def save_state(folder: Path, state: State) -> None:
    """Write a run's state; it is there whole or not at all."""
    with whole_file(folder / STATE) as staged, staged.open("wb") as file:
        torch.save(vars(state), file)


def load_state(folder: Path, origin: Mapping[str, Any]) -> State:
    """Read a run's state. Raises ModelError where there is none, ConfigError for that of something else."""
    path = folder / STATE
    if not path.is_file():
        raise ModelError(f"there is no checkpoint at {path}; train without --resume first")
    try:
        state = State(**load_data(path))
    except Exception as error:  # torch raises many kinds for a damaged file
        raise ModelError(f"{path} is not a readable state; begin again, with another --out") from error
    check_same_run(folder, state.origin, origin, MAY_CHANGE)
    return state


def data_identity(data: Path) -> dict[str, Any]:
    """Count and hash of the list of a data set's files, names and sizes. data: its data.yaml."""
    # The second as Roboflow has them.
    names = ("images", "labels") if (data.parent / "images").is_dir() else ("train", "valid", "val", "test")
    found = (path for name in names for path in (data.parent / name).rglob("*.*"))
    return files_identity(data.parent, (path for path in found if path.suffix != ".cache"))


def cut_curves(path: Path, epochs: int) -> None:
    """Leave the first epochs of a results.csv; later ones are made again."""
    if not path.exists():
        return
    with path.open(newline="", encoding="utf-8") as file:
        header, *rows = list(csv.reader(file)) or [[]]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([header, *(row for row in rows if float(row[0]) <= epochs)])
    write_whole(path, text.getvalue())
