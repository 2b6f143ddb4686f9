"""The models that ship: names, files, checksums (`models/models.yaml`), and where they lie.

The folder is found from a source checkout, a pip or a colcon installation alike.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ivfusion_ros.errors import ConfigError, ModelError, did_you_mean
from ivfusion_ros.files import read_yaml

if TYPE_CHECKING:
    from collections.abc import Iterable

ModelTask = Literal["fusion", "detection", "matching"]

_TAKEN_BY = {
    "fusion": " (--model, fusion.model)",
    "detection": " (--detector, detection.model)",
    "matching": " (calibrate --matcher, registration.refine.matcher)",
}
"""Where a model of a task belongs."""

_INPUTS: dict[ModelTask, set[str]] = {
    "fusion": {"thermal", "rgb"},
    "detection": {"images"},
    "matching": {"thermal", "visible"},
}
"""As they are named in most files."""


@dataclass(frozen=True)
class ModelEntry:
    """One row of models.yaml; details holds the rest of it (data, command, figures, licence)."""

    name: str
    path: Path
    task: str
    """one of ModelTask"""
    sha256: str
    details: dict[str, Any]

    @property
    def present(self) -> bool:
        """Whether the file exists."""
        return self.path.is_file()

    @property
    def intact(self) -> bool:
        """Whether the file has the checksum that models.yaml states."""
        return self.present and file_sha256(self.path) == self.sha256


def file_sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def share_folder(name: str) -> Path:
    """The folder `models` or `config` of this installation. Raises ConfigError when there is none."""
    package = Path(__file__).resolve().parent
    # A checkout has the folder beside the package; an installation has it under PREFIX/share.
    candidates = [package.parent / name]
    candidates += [parent / "share" / "ivfusion_ros" / name for parent in package.parents]
    for candidate in candidates:
        if candidate.is_dir():
            return candidate
    raise ConfigError(f"no folder {name}/ was installed with ivfusion_ros; reinstall the package")


def read_models(folder: Path | None = None) -> dict[str, ModelEntry]:
    """All rows of models.yaml by name. Raises ConfigError where a row is incomplete."""
    folder = folder or share_folder("models")
    entries = {}
    for name, row in read_yaml(folder / "models.yaml").items():
        if not isinstance(row, dict) or not {"file", "task", "sha256"} <= row.keys():
            raise ConfigError(f"{folder / 'models.yaml'}: {name} needs file, task and sha256")
        details = {key: value for key, value in row.items() if key not in ("file", "task", "sha256")}
        entries[name] = ModelEntry(name, folder / row["file"], row["task"], row["sha256"], details)
    return entries


def _expanded(name: str) -> Path:
    """A path with ~ and ~user followed. Raises ModelError for a user that there is not."""
    try:
        return Path(name).expanduser()
    except RuntimeError as error:
        raise ModelError(f"there is no model file at {name}: {error}") from error


def looks_like(inputs: Iterable[str], wanted: ModelTask) -> str:
    """What a file is for by the names of its inputs, for an error; empty where it may be `wanted`."""
    names = set(inputs)
    found = next((task for task in _INPUTS if task != wanted and _INPUTS[task] == names), None)
    return "" if found is None else f"it looks like a model for {found}{_TAKEN_BY[found]}"


def resolve_model(name: str, *tasks: ModelTask) -> Path:
    """The path of a shipped model by name, or the given path itself.

    tasks: what it may be for, none for anything; of files only those that ship are known by it. Raises
    ModelError when it is neither, or for something else, naming what ships.
    """
    path, entries = _expanded(name), read_models()
    fitting = [each.name for each in entries.values() if not tasks or each.task in tasks]
    expected = ", ".join(fitting) or "(none ships)"
    if path.suffix or path.is_file():
        if not path.is_file():
            raise ModelError(f"there is no model file at {path}")
        entry = next((each for each in entries.values() if each.path.resolve() == path.resolve()), None)
    elif name in entries:
        entry = entries[name]
    else:
        raise ModelError(
            f"unknown model {name!r}, {did_you_mean(name, fitting)}expected a path or one of {expected}"
        )
    if entry is None:
        return path
    if entry.name not in fitting:
        raise ModelError(
            f"{name} is a model for {entry.task}{_TAKEN_BY.get(entry.task, '')}, expected one for "
            f"{' or '.join(tasks)}: {expected}, or a file of your own"
        )
    if not entry.present:
        raise ModelError(f"{entry.path} is missing; reinstall the package, or restore models/")
    return entry.path
