"""The journal of an evaluation: one line of JSON per judged image, so that a stopped run goes on."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ivfusion_ros.errors import ConfigError
from ivfusion_ros.metrics.flicker import FLICKER

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from types import TracebackType


@dataclass(frozen=True)
class Subject:
    """What a line of the journal is about.

    identity: changes with everything that the scores depend on.
    """

    data: str
    pair: str
    method: str
    identity: str


class Journal:
    """Values by subject, kept in a file that only grows. A torn last line is as if never written.

    content: what the values are, for example scores; a journal of something else is refused.
    """

    def __init__(self, path: Path, content: str = "scores") -> None:
        self._values: dict[Subject, dict[str, Any]] = {}
        self._content = content
        written = path.read_bytes() if path.exists() else b""
        for line in written.splitlines():
            self._read(line)
        if b"\n" in written and not self._values:
            raise ConfigError(f"{path} is not a journal of an evaluation; choose another folder")
        self._file = path.open("a", encoding="utf-8")
        if written and not written.endswith(b"\n"):
            self._file.write("\n")

    def _read(self, line: bytes) -> None:
        try:
            record = json.loads(line)
            values = dict(record.pop(self._content))
            self._values[Subject(**record)] = values
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return

    def find(self, subject: Subject, names: Sequence[str]) -> dict[str, Any] | None:
        """The named values of a subject, and its flicker; None unless all of the names were written."""
        values = self._values.get(subject)
        if values is None or not values.keys() >= set(names):
            return None
        return {name: values[name] for name in (*names, *FLICKER) if name in values}

    def add(self, subject: Subject, values: Mapping[str, Any]) -> None:
        """Append a line; it is in the file when this returns."""
        self._values[subject] = dict(values)
        self._file.write(json.dumps({**vars(subject), self._content: dict(values)}) + "\n")
        self._file.flush()

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
