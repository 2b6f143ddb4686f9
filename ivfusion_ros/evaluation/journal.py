"""The journal of an evaluation: one line of JSON per scored image, so that a stopped run goes on."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from ivfusion_ros.errors import ConfigError
from ivfusion_ros.metrics.flicker import FLICKER


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
    """Scores by subject, kept in a file that only grows. A torn last line is as if never written."""

    def __init__(self, path: Path) -> None:
        self._scores: dict[Subject, dict[str, float]] = {}
        content = path.read_bytes() if path.exists() else b""
        for line in content.splitlines():
            self._read(line)
        if b"\n" in content and not self._scores:
            raise ConfigError(f"{path} is no journal of an evaluation; choose another folder")
        self._file = path.open("a", encoding="utf-8")
        if content and not content.endswith(b"\n"):
            self._file.write("\n")

    def _read(self, line: bytes) -> None:
        try:
            record = json.loads(line)
            scores = record.pop("scores")
            self._scores[Subject(**record)] = {str(name): float(value) for name, value in scores.items()}
        except (ValueError, TypeError, KeyError, AttributeError):
            return

    def find(self, subject: Subject, metrics: Sequence[str]) -> dict[str, float] | None:
        """The named metrics of a subject and its flicker, None unless all metrics were written."""
        scores = self._scores.get(subject)
        if scores is None or not scores.keys() >= set(metrics):
            return None
        return {name: scores[name] for name in (*metrics, *FLICKER) if name in scores}

    def add(self, subject: Subject, scores: Mapping[str, float]) -> None:
        """Append a line; it is in the file when this returns."""
        self._scores[subject] = dict(scores)
        self._file.write(json.dumps({**vars(subject), "scores": dict(scores)}) + "\n")
        self._file.flush()

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
