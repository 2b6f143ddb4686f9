"""What was measured on this machine is remembered: a file for each model and way to run it.

Whoever writes such a file decides which backend runs, so it is trusted as engines are. Without a folder,
and with a file that is damaged, there is another measurement, and never a start that fails.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import os
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from ivfusion_ros.backends.cpu import cpu_model, usable_cores
from ivfusion_ros.backends.kept_folder import KeptFolder, differences
from ivfusion_ros.backends.measured import Candidate, Times, candidates, fastest, measure
from ivfusion_ros.errors import ConfigError
from ivfusion_ros.files import read_bytes, write_whole
from ivfusion_ros.models import file_sha256

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from ivfusion_ros.backends.backend import Backend

log = logging.getLogger(__name__)

MEASUREMENTS = KeptFolder("measurements", "IVFUSION_MEASUREMENTS", makes="makes")

_MOST_BYTES = 1 << 16
"""Of a file."""


@dataclass(frozen=True)
class MeasuredFor:
    """What a measurement depends on.

    cores: those that the process may use. libraries: the backends that were to choose from, with their
    versions. precision, threads: as they were asked for.
    """

    model_sha256: str
    cpu: str
    cores: int
    libraries: str
    precision: str
    threads: int


@dataclass(frozen=True)
class Measurement:
    """A file's content: the backend and threads that were the fastest.

    figures: of all, for people. measured: date and time in UTC.
    """

    key: MeasuredFor
    model: str
    backend: str
    threads: int
    figures: str
    measured: str

    @property
    def choice(self) -> Candidate:
        """What is to run the model."""
        return Candidate(self.backend, self.threads)


def key_here(model_sha256: str, versions: Mapping[str, str], precision: str, threads: int) -> MeasuredFor:
    """The key of a model on this machine. versions: of the libraries, by the backends to choose from."""
    libraries = ", ".join(f"{name} {version}" for name, version in versions.items())
    return MeasuredFor(model_sha256, cpu_model(), usable_cores(), libraries, precision, threads)


def record_path(model: Path, key: MeasuredFor) -> Path:
    """The file of a key; what an update changes, the libraries, is not in its name: it is replaced.

    Raises ConfigError for a user without a home.
    """
    lasting = dataclasses.asdict(dataclasses.replace(key, libraries=""))
    digest = hashlib.sha256(json.dumps(lasting).encode()).hexdigest()
    return MEASUREMENTS.path() / f"{model.stem}-{digest[:16]}.json"


def measured_choice(
    model: Path,
    versions: Mapping[str, str],
    load: Callable[[Candidate], Backend],
    *,
    precision: str,
    threads: int,
) -> Candidate:
    """The fastest backend and number of threads for a model, remembered from before or measured now.

    versions: as in key_here. threads: 0 to choose them too. Where nothing can be measured it is the first
    backend. Raises OSError where the model cannot be read.
    """
    tried = candidates(tuple(versions), usable_cores(), threads)
    if len(tried) == 1:
        return tried[0]
    key = key_here(file_sha256(model), versions, precision, threads)
    try:
        path = record_path(model, key)
    except ConfigError as error:
        log.warning("%s; else every start measures anew", error)
        return _choice(model, tried, measure(model.name, tried, load))
    if found := _remembered(path, key, tried):
        return found
    with MEASUREMENTS.only_maker(path.parent / MEASUREMENTS.content) as writable:
        # Whoever was in before may have measured the same.
        if found := _remembered(path, key, tried):
            return found
        times_ms = measure(model.name, tried, load)
        choice = _choice(model, tried, times_ms)
        if writable and times_ms:
            _keep(path, Measurement(key, model.name, *choice, _figures(times_ms), _now()))
    return choice


def read_measurement(path: Path) -> Measurement | str:
    """What a file holds, or why it cannot be used; empty where there is none."""
    if not os.path.lexists(path):
        return ""
    if doubt := MEASUREMENTS.distrust_file(path):
        return doubt
    try:
        entries: dict[str, Any] = json.loads(read_bytes(path, _MOST_BYTES))
        found = Measurement(MeasuredFor(**entries.pop("key")), **entries)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return f"{path.name} cannot be read, or is damaged"
    return found if _is_typed(found.key) and _is_typed(found) else f"{path.name} is damaged"


def read_measurements() -> list[Measurement]:
    """All of this user's that can be read. Raises ConfigError for a user without a home."""
    found = (read_measurement(path) for path in sorted(MEASUREMENTS.path().glob("*.json")))
    return [measurement for measurement in found if isinstance(measurement, Measurement)]


def _remembered(path: Path, key: MeasuredFor, tried: Sequence[Candidate]) -> Candidate | None:
    found = read_measurement(path)
    if isinstance(found, str):
        if found:
            log.warning("measured again: %s", found)
        return None
    if misfit := differences(found.key, key):
        log.info("%s is measured again: %s", found.model, misfit)
        return None
    return found.choice if found.choice in tried else None


def _choice(model: Path, tried: Sequence[Candidate], times_ms: Times) -> Candidate:
    if not times_ms:
        return tried[0]
    choice = fastest(times_ms)
    log.info("%s: %s is taken, of %s", model.name, choice, _figures(times_ms))
    return choice


def _figures(times_ms: Times) -> str:
    in_order = sorted(times_ms, key=times_ms.__getitem__)
    return ", ".join(f"{candidate} {times_ms[candidate]:.2f} ms" for candidate in in_order)


def _keep(path: Path, measurement: Measurement) -> None:
    try:
        write_whole(path, json.dumps(dataclasses.asdict(measurement), indent=2) + "\n")
    except OSError as error:
        log.warning("the measurement is not kept in %s: %s", path.parent, error.strerror)


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def _is_typed(record: MeasuredFor | Measurement) -> bool:
    """Whether each field is what its annotation says."""
    return all(
        type(getattr(record, field.name)).__name__ == field.type for field in dataclasses.fields(record)
    )
