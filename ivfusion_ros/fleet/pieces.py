"""Long recordings cut into pieces, which are fused apart, and joined again to one result.

A piece is a span of log times. It is read with OVERLAP_S more at both ends: before, so that what is learned
over time is as without the cut; after, since a late camera's frames belong to it too. Of what comes of that
only the pairs that were received in the span itself are kept.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ivfusion_ros.bags import BagReader, BagWriter
from ivfusion_ros.errors import BagError
from ivfusion_ros.fleet.job import BAG, FIGURES
from ivfusion_ros.fleet.moments import MOMENTS
from ivfusion_ros.fleet.store import need
from ivfusion_ros.fleet.table import read_parquet
from ivfusion_ros.messages import LABELS_TOPIC
from ivfusion_ros.types import UNTRACKED

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ivfusion_ros.types import FusionResult

OVERLAP_S = 30.0
"""A replay waits as long for a late camera; the stretch of 0.7 s and faults have settled long before."""
TRACKS = 1_000_000
"""Numbers of tracks that a piece has for itself: an object that crosses a seam gets another one."""
PIECES = "pieces"
"""Folder in that of a result, while it is not whole."""
_FIRST_NS, _LAST_NS = -(2**63), 2**63 - 1
_SUMS = ("frames", "drops", "failed_pairs", "skipped_messages")


@dataclass(frozen=True)
class Piece:
    """start_ns, end_ns: log times, the end is the next one's start."""

    number: int
    count: int
    start_ns: int
    end_ns: int

    @property
    def folder(self) -> str:
        """In that of the result."""
        return f"{PIECES}/{self.number + 1}-of-{self.count}"

    @property
    def between(self) -> tuple[int, int]:
        """Log times that are read."""
        overlap_ns = int(OVERLAP_S * 1e9)
        return max(_FIRST_NS, self.start_ns - overlap_ns), min(_LAST_NS, self.end_ns + overlap_ns)

    def keeps(self, result: FusionResult) -> bool:
        """Whether a result is this piece's."""
        log_ns = result.stamp_ns if result.received_ns is None else result.received_ns
        return self.start_ns <= log_ns < self.end_ns

    def numbered(self, result: FusionResult) -> FusionResult:
        """With numbers of tracks that no other piece has."""
        found = result.detections
        if found is None or found.track_ids is None:
            return result
        ids = np.where(found.track_ids == UNTRACKED, UNTRACKED, found.track_ids + self.number * TRACKS)
        return replace(result, detections=replace(found, track_ids=ids))


def pieces_of(recording: Path, minutes: float) -> list[Piece]:
    """Of equal length, none longer than `minutes`; none for a recording that is short, or does not say.

    Raises BagError.
    """
    with BagReader(recording) as reader:
        start_ns, end_ns = reader.start_ns, reader.end_ns
    if start_ns is None or end_ns is None:
        return []
    count = math.ceil((end_ns - start_ns) / (minutes * 60e9))
    if count <= 1:
        return []
    seams = [start_ns + (end_ns - start_ns) * number // count for number in range(1, count)]
    bounds = [_FIRST_NS, *seams, _LAST_NS]
    return [Piece(number, count, *bounds[number : number + 2]) for number in range(count)]


class KeptFigures:
    """Counts what a piece keeps, in the place of what its replay counts with the overlaps."""

    def __init__(self) -> None:
        self._pairs = 0
        self._faults: Counter[str] = Counter()
        self._detections: Counter[str] = Counter()

    def add(self, result: FusionResult) -> None:
        """Take a result that is kept."""
        self._pairs += 1
        self._faults.update(result.faults.labels)
        found = result.detections
        if found is not None and not found.age_ns:
            self._detections.update(found.class_names[class_id] for class_id in found.class_ids)

    def within(self, figures: dict[str, Any]) -> dict[str, Any]:
        """The replay's figures with these."""
        counts = {"faults": self._faults, "detections": self._detections}
        return figures | {"pairs": self._pairs} | {name: dict(own) for name, own in counts.items()}


def join(parts: Sequence[Path], output: Path) -> dict[str, Any]:
    """Folders of pieces' results, in order, to a bag and a table like theirs in a folder; the figures.

    Raises DataError, BagError.
    """
    figures = joined([json.loads((part / FIGURES).read_text()) for part in parts])
    with BagWriter(output / BAG) as writer:
        first = True
        for part in filter(_pairs, parts):
            _add(part / BAG, writer, first=first)
            first = False
    if (parts[0] / MOMENTS).exists():
        _join_moments([part / MOMENTS for part in parts], output / MOMENTS)
    return figures


def _pairs(part: Path) -> int:
    return int(json.loads((part / FIGURES).read_text())["pairs"])


def _add(bag: Path, writer: BagWriter, *, first: bool) -> None:
    with BagReader(bag) as reader:
        for topic, log_ns, data in reader.messages():
            # It stands once in a bag.
            if first or topic.name != f"/{LABELS_TOPIC}":
                writer.write_again(topic, log_ns, data)


def _join_moments(tables: Sequence[Path], output: Path) -> None:
    arrow, parquet = need("pyarrow"), need("pyarrow.parquet")
    done = 0
    writer = None
    for path in tables:
        table = read_parquet(path.read_bytes())
        writer = writer or parquet.ParquetWriter(output, table.schema)
        pairs = table["pair"].to_numpy()
        place = table.schema.get_field_index("pair")
        table = table.set_column(place, table.schema.field("pair"), arrow.array(pairs + done))
        writer.write_table(table)
        done += int(pairs.max(initial=-1)) + 1
    if writer is not None:
        writer.close()


def joined(figures: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Figures of a whole from those of its pieces; of medians, which do not add up, none.

    Frames, drops, what was skipped and what the refinement did count where pieces overlap twice.
    """
    sums = {name: _sum(figures, name) for name in (*_SUMS, "faults", "detections")}
    seconds = sum(own["seconds"] for own in figures)
    pairs = sum(own["pairs"] for own in figures)
    if not pairs:
        raise BagError("no thermal frame was paired with an RGB frame in any of its pieces")
    losses = list(dict.fromkeys(loss for own in figures for loss in own["losses"]))
    whole = {name: figures[0][name] for name in ("topics",)}
    if "refinement" in figures[0]:
        whole["refinement"] = _sum(figures, "refinement")
    return {
        **whole,
        **sums,
        "pieces": len(figures),
        "pairs": pairs,
        "seconds": round(seconds, 3),
        "wall_s": round(sum(own["wall_s"] for own in figures), 3),
        "pairs_per_second": round(pairs / seconds, 2) if seconds else 0.0,
        "skew_ms": {"max": max(own["skew_ms"]["max"] for own in figures)},
        "losses": losses,
    }


def _sum(figures: Sequence[dict[str, Any]], name: str) -> dict[str, int]:
    total: Counter[str] = Counter()
    for own in figures:
        total.update(own[name])
    return dict(total)
