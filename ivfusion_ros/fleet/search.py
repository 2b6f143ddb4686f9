"""Which recordings, which seconds: an expression over the moments of a fleet, asked by DuckDB."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ivfusion_ros.errors import DataError, did_you_mean, refusing
from ivfusion_ros.fleet.store import need

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ivfusion_ros.fleet.expression import Condition
    from ivfusion_ros.fleet.results import Results

_SPANS = """
with moments as (
    select key, pair, any_value(stamp_ns) as stamp_ns, any_value(log_ns) as log_ns, {condition} as fits
    from read_parquet(?) group by key, pair
),
timed as (select *, (stamp_ns - min(stamp_ns) over (partition by key)) / 1e9 as second from moments),
found as (
    select *, abs(second - lag(second) over (partition by key order by pair)) > ? as apart
    from timed where fits
),
numbered as (
    select *, count(*) filter (where apart) over (partition by key order by pair) as number from found
)
select key, min(second), max(second), min(stamp_ns), max(stamp_ns), min(log_ns), max(log_ns), count(*)
from numbered group by key, number order by key, number
"""


@dataclass(frozen=True)
class Span:
    """Seconds of a recording in which all moments that are found are near each other.

    folder: of its result. start_s, end_s: since its first pair. pairs: that fit. start_log_ns, end_log_ns:
    when they were received.
    """

    recording: str
    key: str
    folder: str
    start_s: float
    end_s: float
    start_ns: int
    end_ns: int
    start_log_ns: int
    end_log_ns: int
    pairs: int


def find(results: Results, condition: Condition, gap_s: float = 1.0) -> list[Span]:
    """Spans in order of recordings and time; moments up to gap_s apart are in one. Raises DataError."""
    names = results.moments()
    if not names:
        raise DataError(
            f"the recordings in {results.store.url}/{results.job} have no tables of detections; run the "
            "same `ivfusion fleet` again with --detections"
        )
    rows = {row["key"]: row for row in results.fused}
    sql = _SPANS.format(condition=condition.sql)
    found = ask(results, sql, [*condition.values, names, gap_s])
    spans = [
        Span(str(rows[key]["recording"]), key, str(rows[key]["folder"]), *rest) for key, *rest in found
    ]
    return sorted(spans, key=lambda span: (span.recording, span.start_s))


def unknown_classes(results: Results, condition: Condition) -> list[str]:
    """What is to be told of classes that an expression names and no table has. Raises DataError."""
    if not condition.classes:
        return []
    sql = "select distinct class_name from read_parquet(?) where class_name is not null order by 1"
    known = [str(name) for (name,) in ask(results, sql, [results.moments()])]
    listed = ", ".join(known) or "no objects at all"
    return [
        f"no {name!r} was detected; {did_you_mean(name, known)}the tables have {listed}"
        for name in dict.fromkeys(condition.classes)
        if name.lower() not in map(str.lower, known)
    ]


def ask(results: Results, sql: str, values: Iterable[Any]) -> list[tuple[Any, ...]]:
    """Rows of a query. values: of its ?, a list among them being names in the store. Raises DataError."""
    # Nothing is fetched from elsewhere, whatever the tables hold.
    options = {"autoinstall_known_extensions": False, "autoload_known_extensions": False}
    with (
        refusing(DataError, results.store.url, "tables of `ivfusion fleet --detections`"),
        need("duckdb").connect(config=options) as connection,
    ):
        given = [
            results.store.for_duckdb(connection, value) if isinstance(value, list) else value
            for value in values
        ]
        return list(connection.execute(sql, given).fetchall())
