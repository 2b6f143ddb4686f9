"""What making a table has at hand: the paper, what the user gave, and where results go."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event

from ivfusion_ros.errors import ConfigError, DataError, ModelError, no_folder
from ivfusion_ros.reproduce.paper import Paper, Row, Table


@dataclass(frozen=True)
class Given:
    """What the user has. data: folders of pairs by data set. fused: folders of fused images by row.

    weights: checkpoints by setting (Row.key) or detector, instead of a training here.
    """

    data: Mapping[str, Path] = field(default_factory=dict)
    fused: Mapping[str, Path] = field(default_factory=dict)
    weights: Mapping[str, Path] = field(default_factory=dict)


@dataclass(frozen=True)
class Networks:
    """How networks run, as load_backend takes it, and the processes that compute metrics."""

    backend: str = "auto"
    precision: str = "auto"
    threads: int = 0
    jobs: int = 1


@dataclass(frozen=True)
class Job:
    """One table to be made. hold: holds back Ctrl-C for a training that stops by itself."""

    paper: Paper
    table: Table
    given: Given
    out: Path
    networks: Networks
    hold: Callable[[], AbstractContextManager[Event]]

    @property
    def work(self) -> Path:
        """Folder of trainings, models and journals, which all tables share."""
        return self.out / ("quick" if self.paper.quick else "work")

    def check(self) -> None:
        """Before days of training: raises ConfigError for data sets and settings that the paper does not
        have, DataError and ModelError for folders and files that are not there.
        """
        settings = [row.key for table in self.paper.tables.values() for row in table.rows.values()]
        for option, given, known in (
            ("--data", self.given.data, list(self.paper.data)),
            ("--weights", self.given.weights, [*settings, self.paper.detector["detector"]]),
        ):
            for name in given:
                if name not in known:
                    listed = ", ".join(filter(None, dict.fromkeys(known)))
                    raise ConfigError(f"{option} names {name!r}, expected one of {listed}")
        for folder in (*self.given.data.values(), *self.given.fused.values()):
            if not folder.is_dir():
                raise no_folder(folder)
        for file in self.given.weights.values():
            if not file.is_file():
                raise ModelError(f"there is no file {file}; give a checkpoint, or none to train one")

    def data(self, name: str) -> Path:
        """The user's folder of a data set. Raises DataError where it was not given."""
        if name in self.given.data:
            return self.given.data[name]
        wanted = self.paper.data[name]
        raise DataError(
            f"table {self.table.number} needs {wanted.what}, a folder with {wanted.folders[0]}/ and "
            f"{wanted.folders[1]}/; give it with --data {name}=DIR"
        )

    def names(self, name: str) -> tuple[str, str]:
        """The two folders in a data set's folder."""
        return self.paper.data[name].folders

    def rows(self) -> dict[str, Row]:
        """The table's rows, and one without the paper's values for each other folder of fused images."""
        nothing = (None,) * len(self.table.columns)
        others = {name: Row(nothing) for name in self.given.fused if name not in self.table.rows}
        return {**self.table.rows, **others}


@dataclass(frozen=True)
class Outcome:
    """A table as it came out here: values by row and by what is measured, and what to know about them."""

    values: Mapping[str, Mapping[str, float | None]]
    notes: tuple[str, ...] = ()
