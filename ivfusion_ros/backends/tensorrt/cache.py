"""The folder of engines: a plan each, and beside it a JSON file that says what it is and where it runs.

A plan fits one version of TensorRT, one GPU, one model, size and precision. Those make its key, which is
compared before TensorRT sees a plan, as TensorRT itself only says that something does not fit.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ivfusion_ros.backends.kept_folder import KeptFolder, differences
from ivfusion_ros.files import write_whole

if TYPE_CHECKING:
    import os
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

log = logging.getLogger(__name__)

FOLDER_VARIABLE = "IVFUSION_ENGINES"
"""Environment variable that names another folder for engines."""

ENGINES = KeptFolder("engines", FOLDER_VARIABLE, makes="builds")

GRAPH_VERSION = 1
"""Raised whenever byte_input.py or half.py in graphs/ change what an engine computes."""


@dataclass(frozen=True)
class EngineKey:
    """What a plan depends on.

    gpu, capability: as CUDA names them, both "none" where it was built without a GPU (TensorRT for RTX).
    size: WIDTHxHEIGHT of the images. precision: f16 or f32, as requested.
    """

    model_sha256: str
    flavour: str
    version: str
    gpu: str
    capability: str
    size: str
    precision: str
    graph_version: int = GRAPH_VERSION


@dataclass(frozen=True)
class EngineRecord:
    """What stands beside a plan.

    runs_in: the precision that it has. fallback: why that is not the one asked for, else empty.
    check: the self-test's outcome. built: date and time in UTC.
    """

    key: EngineKey
    model: str
    runs_in: str
    fallback: str
    check: str
    plan_sha256: str
    plan_bytes: int
    build_seconds: float
    built: str


def engine_folder() -> Path:
    """Where engines are kept: the folder in IVFUSION_ENGINES, else below the user's cache folder.

    Raises ConfigError for a user without a home.
    """
    return ENGINES.path()


def plan_path(folder: Path, model: Path, key: EngineKey) -> Path:
    """File of a plan. What an update changes, TensorRT's version, is not in the name: it replaces the
    plan."""
    capability = key.capability.replace(".", "")
    words = (model.stem, key.model_sha256[:8], key.size, key.precision, key.flavour, f"sm{capability}")
    return folder / f"{'-'.join(words)}.engine"


def read_plan(path: Path, key: EngineKey) -> tuple[bytes, EngineRecord] | str:
    """The plan and what stands beside it, or the reason why it cannot be used; empty where there is
    none."""
    record = read_record(path)
    if isinstance(record, str):
        return record
    misfit = differences(record.key, key)
    if misfit:
        return misfit
    plan = _read_own(path)
    if isinstance(plan, str):
        return plan
    if hashlib.sha256(plan).hexdigest() != record.plan_sha256:
        return f"{path.name} is damaged (its content is not what was written)"
    return plan, record


def read_beside(path: Path) -> bytes:
    """Kernels or measured times that are kept beside plans, as trusted as those; b"" where there are none.

    What may be somebody else's is not used, which is logged: kernels are programs, too.
    """
    if not path.is_symlink() and not path.is_file():
        return b""
    content = _read_own(path)
    if isinstance(content, str):
        log.warning("not used, and made again: %s", content)
        return b""
    return content


def _read_own(path: Path) -> bytes | str:
    """Content of a file that nobody but the user and root can have written, or why it is not read."""
    if doubt := ENGINES.distrust_file(path):
        return doubt
    try:
        return path.read_bytes()
    except OSError as error:
        return f"{path.name} cannot be read ({error.strerror})"


def distrust(place: Path, status_of: Callable[[Path], os.stat_result]) -> str:
    """Why a plan or its folder may be somebody else's, empty where it is not: a plan is a program."""
    return ENGINES.distrust(place, status_of)


def read_record(path: Path) -> EngineRecord | str:
    """What stands beside a plan, or why it cannot be used; empty where there is no plan."""
    if not path.exists():
        return ""
    try:
        entries: dict[str, Any] = json.loads(_sidecar(path).read_text(encoding="utf-8"))
        return EngineRecord(EngineKey(**entries.pop("key")), **entries)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return f"{_sidecar(path).name} is missing or damaged"


def fitness(record: EngineRecord | str, flavour: str, version: str, gpu: str, capability: str) -> str:
    """Why an engine does not fit this machine, empty where it does; arguments as in EngineKey."""
    if isinstance(record, str):
        return record
    here = dataclasses.replace(
        record.key,
        flavour=flavour,
        version=version,
        gpu=gpu,
        capability=capability,
        graph_version=GRAPH_VERSION,
    )
    return differences(record.key, here)


def write_plan(path: Path, plan: bytes, record: EngineRecord) -> None:
    """Keep a plan. A crash between its two files leaves a pair that does not match, and is built again."""
    write_whole(path, plan)
    write_whole(_sidecar(path), json.dumps(dataclasses.asdict(record), indent=2).encode() + b"\n")


def read_records(folder: Path) -> dict[Path, EngineRecord | str]:
    """All plans of a folder, each with what stands beside it or why it cannot be used."""
    return {path: read_record(path) for path in sorted(folder.glob("*.engine"))}


def runtime_cache_path(path: Path) -> Path:
    """File for the kernels that TensorRT for RTX compiles on first use of a plan."""
    return path.with_suffix(".kernels")


def only_builder(path: Path) -> AbstractContextManager[bool]:
    """While inside, no other process builds this plan; one that waited finds the other's afterwards."""
    return ENGINES.only_maker(path)


def _sidecar(path: Path) -> Path:
    return path.with_suffix(".json")
