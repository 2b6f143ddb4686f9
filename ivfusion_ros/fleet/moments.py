"""The moments of a recording as Parquet: a row for each object found in a pair, else one without object."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from ivfusion_ros.errors import DataError, refusing
from ivfusion_ros.fleet.store import need
from ivfusion_ros.fleet.table import read_parquet
from ivfusion_ros.types import UNTRACKED, Detections

if TYPE_CHECKING:
    from pathlib import Path

    from ivfusion_ros.types import FusionResult

MOMENTS = "detections.parquet"
"""Of a recording's result."""
_SIDES = ("left", "top", "right", "bottom")
_ROWS = 20_000
"""Of a part that is written at once."""


class MomentTable:
    """Results in, rows out; whole when closed. Use `with`.

    Columns: key (of the recording), pair (from 0), stamp_ns, log_ns (when it was received, else the stamp),
    brightness (mean of the RGB image's grey levels, 0 to 255), latitude, longitude (degrees by the newest
    GPS fix, null without one), faults, class_name (null where nothing was found), score, max_kelvin,
    mean_kelvin (null where not known), track (null without one), left, top, right, bottom (pixels of the
    fused image).
    """

    def __init__(self, path: Path, key: str) -> None:
        """Raises DataError without pyarrow."""
        self._arrow, parquet = need("pyarrow"), need("pyarrow.parquet")
        self._schema = _schema(self._arrow)
        self._file = parquet.ParquetWriter(path, self._schema)
        self._key = key
        self._pairs = 0
        self._place: dict[str, float] = {}
        self._rows: list[dict[str, Any]] = []

    def set_place(self, latitude: float, longitude: float) -> None:
        """Where the rig is from now on, degrees."""
        self._place = {"latitude": latitude, "longitude": longitude}

    def add(self, result: FusionResult) -> None:
        """Take the next result."""
        moment = {
            "key": self._key,
            "pair": self._pairs,
            "stamp_ns": result.stamp_ns,
            "log_ns": result.stamp_ns if result.received_ns is None else result.received_ns,
            "brightness": brightness(result),
            "faults": list(result.faults.labels),
            **self._place,
        }
        self._pairs += 1
        found = result.detections
        # Those of an older image are in its rows.
        objects = [] if found is None or found.age_ns else _objects(found)
        self._rows += [moment | row for row in objects or [{}]]
        if len(self._rows) >= _ROWS:
            self._write()

    def close(self) -> None:
        """Write what is left."""
        self._write()
        self._file.close()

    def __enter__(self) -> MomentTable:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _write(self) -> None:
        self._file.write_table(self._arrow.Table.from_pylist(self._rows, schema=self._schema))
        self._rows = []


@dataclass(frozen=True)
class Moment:
    """A pair of a table; objects: in the fused image."""

    pair: int
    stamp_ns: int
    brightness: float
    faults: tuple[str, ...]
    objects: Detections


def read_moments(content: bytes, class_names: tuple[str, ...]) -> list[Moment]:
    """What a MomentTable wrote, in order of pairs. Raises DataError for a class that is not named."""
    with refusing(DataError, "a table of detections", f"one whose classes are {', '.join(class_names)}"):
        rows = read_parquet(content).to_pylist()
        groups = itertools.groupby(rows, lambda row: row["pair"])
        return [_moment(list(group), class_names) for _, group in groups]


def _moment(rows: list[dict[str, Any]], class_names: tuple[str, ...]) -> Moment:
    first = rows[0]
    seen = [row for row in rows if row["class_name"] is not None]
    objects = Detections(
        np.array([[row[side] for side in _SIDES] for row in seen], np.float32).reshape(-1, 4),
        np.array([row["score"] for row in seen], np.float32),
        np.array([class_names.index(row["class_name"]) for row in seen], np.int64),
        class_names,
    )
    return Moment(first["pair"], first["stamp_ns"], first["brightness"], tuple(first["faults"]), objects)


def brightness(result: FusionResult) -> float:
    """Mean of the RGB image's grey levels, 0 to 255."""
    red, green, blue, _ = cv2.mean(result.rgb)
    return 0.299 * red + 0.587 * green + 0.114 * blue


def _schema(arrow: Any) -> Any:
    words = arrow.dictionary(arrow.int32(), arrow.string())
    types = {"key": words, "pair": arrow.int64(), "stamp_ns": arrow.int64(), "log_ns": arrow.int64()}
    types |= {"brightness": arrow.float32(), "latitude": arrow.float64(), "longitude": arrow.float64()}
    types |= {"faults": arrow.list_(arrow.string()), "class_name": words}
    types |= dict.fromkeys(("score", "max_kelvin", "mean_kelvin"), arrow.float32())
    types |= {"track": arrow.int64()}
    types |= dict.fromkeys(_SIDES, arrow.float32())
    return arrow.schema(list(types.items()))


def _objects(found: Detections) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for index, box in enumerate(found.boxes_xyxy.tolist()):
        row = dict(zip(_SIDES, box, strict=True))
        row |= {"class_name": found.class_names[found.class_ids[index]]}
        row |= {"score": float(found.scores[index])}
        for name in ("max_kelvin", "mean_kelvin"):
            values = getattr(found, name)
            if values is not None and np.isfinite(values[index]):
                row[name] = float(values[index])
        if found.track_ids is not None and found.track_ids[index] != UNTRACKED:
            row["track"] = int(found.track_ids[index])
        rows.append(row)
    return rows
