"""A paper's tables as printed, and what each takes: one file of config/reproduce."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ivfusion_ros.config.parameters import flatten
from ivfusion_ros.errors import ConfigError
from ivfusion_ros.files import read_yaml
from ivfusion_ros.models import share_folder

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class DataSet:
    """What a user gives as a folder. folders: in it, with the first and the second image of a pair."""

    what: str
    folders: tuple[str, str]


@dataclass(frozen=True)
class Row:
    """A line of a table: the paper's values by column, None where it has none, and how ours come about.

    train: setting in config/train. model: a fusion model by name. images: thermal or rgb, a camera's own.
    Without any of them the row needs fused images from elsewhere.
    """

    paper: tuple[float | None, ...]
    train: str = ""
    model: str = ""
    images: str = ""

    @property
    def key(self) -> str:
        """Name of the setting in `train`, as --weights and folders have it."""
        return self.train.rpartition("/")[2]


@dataclass(frozen=True)
class Table:
    """One table. columns: what is measured, by title. data: name of the data set that it is judged on."""

    number: int
    kind: str
    title: str
    digits: int
    columns: dict[str, str]
    rows: dict[str, Row]
    data: str = ""


@dataclass(frozen=True)
class Extent:
    """How much is done: most pairs to judge by (0: all), divisor of timed sides, timed runs."""

    pairs: int
    shrink: int
    rounds: int


@dataclass(frozen=True)
class Paper:
    """A paper. training, detector: settings by dotted name, over those of the rows."""

    name: str
    data: dict[str, DataSet]
    training: dict[str, Any]
    detector: dict[str, Any]
    size: Extent
    tables: dict[int, Table]
    quick: bool

    def table(self, number: int) -> Table:
        """Raises ConfigError where the paper has no such table."""
        if number not in self.tables:
            raise ConfigError(f"{self.name} has no table {number}, expected {_listed(self.tables)}")
        return self.tables[number]


def read_paper(name: str, quick: bool = False) -> Paper:
    """The paper of config/reproduce/NAME.yaml, at toy size if quick. Raises ConfigError."""
    folder = share_folder("config") / "reproduce"
    path = folder / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(item.stem for item in folder.glob("*.yaml")))
        raise ConfigError(f"no tables of a paper {name!r} are known, expected {known}")
    content = read_yaml(path)
    small: Mapping[str, Any] = content["quick"] if quick else {}
    settings = {
        part: dict(flatten(content[part])) | dict(flatten(small.get(part, {})))
        for part in ("training", "detector", "size")
    }
    return Paper(
        content["paper"],
        {key: DataSet(item["what"], tuple(item["folders"])) for key, item in content["data"].items()},
        settings["training"],
        settings["detector"],
        Extent(**settings["size"]),
        {number: _table(number, item) for number, item in content["tables"].items()},
        quick,
    )


def _table(number: int, item: Mapping[str, Any]) -> Table:
    rows = {name: Row(**{**row, "paper": tuple(row["paper"])}) for name, row in item["rows"].items()}
    return Table(number, **{**item, "rows": rows})


def _listed(numbers: Mapping[int, Table]) -> str:
    return ", ".join(map(str, numbers))
