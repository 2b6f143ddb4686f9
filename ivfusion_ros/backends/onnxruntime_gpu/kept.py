"""A folder of what a provider compiled, and a record of what it is for: trusted as engines are.

The provider reads and writes the folder by itself, so it is looked at before: who can have written it, what
it was made for, and whether its files are those that were sealed.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ivfusion_ros.backends.kept_folder import differences
from ivfusion_ros.backends.tensorrt.cache import EngineKey, EngineRecord, distrust
from ivfusion_ros.files import write_whole
from ivfusion_ros.models import file_sha256

if TYPE_CHECKING:
    from collections.abc import Iterator

_RECORD = "record.json"


def folder_of(engines: Path, model: Path, key: EngineKey) -> Path:
    """Where one model at one size is kept by one provider on one kind of GPU."""
    capability = key.capability.replace(".", "")
    words = (model.stem, key.model_sha256[:8], key.size, key.precision, key.flavour, f"sm{capability}")
    return engines / f"{'-'.join(words)}.provider"


def read_kept(folder: Path, key: EngineKey) -> EngineRecord | str:
    """What is in the folder, or the reason why it cannot be used; empty where there is none."""
    if not folder.exists():
        return ""
    for place in (folder.parent, folder, *sorted(folder.rglob("*"))):
        if doubt := distrust(place, Path.stat if place == folder.parent else Path.lstat):
            return doubt
    record = _read(folder / _RECORD)
    if record is None:
        return f"{folder.name} has no record that can be read"
    if misfit := differences(record.key, key):
        return misfit
    return record if record.plan_sha256 == _digest(folder) else f"{folder.name} is not what was written"


def clear(folder: Path) -> None:
    """Make the folder anew, for nobody else. Raises OSError."""
    if folder.is_symlink():
        folder.unlink()
    elif folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(mode=0o700, parents=True)


def seal(folder: Path, record: EngineRecord) -> EngineRecord:
    """Write what the folder is for beside what is in it now. Raises OSError."""
    size = sum(path.stat().st_size for path in _files(folder))
    record = dataclasses.replace(record, plan_sha256=_digest(folder), plan_bytes=size)
    text = json.dumps(dataclasses.asdict(record), indent=2).encode() + b"\n"
    write_whole(folder / _RECORD, text)
    return record


def kept_records(engines: Path) -> Iterator[EngineRecord]:
    """Of all folders that have one which can be read."""
    for folder in sorted(engines.glob("*.provider")):
        record = _read(folder / _RECORD)
        if record is not None:
            yield record


def _read(path: Path) -> EngineRecord | None:
    try:
        entries: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return EngineRecord(EngineKey(**entries.pop("key")), **entries)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.name != _RECORD and not path.is_dir())


def _digest(folder: Path) -> str:
    lines = [f"{path.relative_to(folder)} {file_sha256(path)}" for path in _files(folder)]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
