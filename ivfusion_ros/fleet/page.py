"""The page of a fleet: sums over all recordings, what was seen at which hour, the worst ones first."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from ivfusion_ros.fleet.job import BAG
from ivfusion_ros.fleet.search import ask
from ivfusion_ros.report import Page, figure_texts, plain_bars, spread_bars, stacked_bars, table_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ivfusion_ros.fleet.results import Results
    from ivfusion_ros.report import Bars

_CLASSES = 8
"""Most classes that bars tell apart, the most frequent ones."""
_COUNTED = ("drops", "failed_pairs", "faults", "detections", "skipped_messages")

_PAIRS_BY_HOUR = """
select cast(floor(stamp_ns / 3600e9) as bigint) % 24 as hour, count(distinct (key, pair)) as pairs
from read_parquet(?) group by hour order by hour
"""
_OBJECTS_BY_HOUR = """
select cast(floor(stamp_ns / 3600e9) as bigint) % 24 as hour, class_name, count(*)
from read_parquet(?) where class_name is not null group by hour, class_name
"""
_OBJECTS_BY_PLACE = """
select round(latitude, 2), round(longitude, 2), count(distinct (key, pair)) as pairs,
    count(class_name) as objects
from read_parquet(?) where latitude is not null group by all
order by objects / pairs desc, pairs desc limit ?
"""
_PLACES = 20


def fleet_page(results: Results, html: Path) -> Page:
    """Of one job's results; html: where the page will be, from where it links. Raises DataError."""
    rows = [_read(row) for row in results.rows]
    fused = [row for row in rows if not row["error"]]
    worst = sorted(rows, key=lambda row: (not row["error"], -_trouble(row), row["recording"]))
    table = table_of(
        "Recordings, the worst first",
        [_line(row) for row in worst],
        best={"pairs a second": "high", **dict.fromkeys(_SHARES, "low")},
        links=[_link(results, row, html) for row in worst],
    )
    faults, drops = _sum(fused, "faults"), _sum(fused, "drops")
    return Page(
        f"fleet {results.job}",
        figure_texts(_figures(rows, fused)),
        tables=[table],
        bars=[
            *_rates(fused),
            *([plain_bars("pairs with a fault", faults)] if faults else []),
            *([plain_bars("frames without a partner, by reason", drops)] if drops else []),
            *_by_hour(results),
            *_by_place(results),
        ],
    )


def _figures(rows: Sequence[dict[str, Any]], fused: Sequence[dict[str, Any]]) -> dict[str, Any]:
    seconds = sum(row["seconds"] or 0 for row in fused)
    pairs = sum(row["pairs"] or 0 for row in fused)
    reasons = Counter(str(row["error"]).partition(":")[0] for row in rows if row["error"])
    return {
        "recordings": len(rows),
        "failed": dict(reasons),
        "pairs": pairs,
        "pairs_a_second_of_a_replica": round(pairs / seconds, 2) if seconds else 0,
        "hours_of_work": round(sum(row["wall_s"] or 0 for row in fused) / 3600, 3),
        "machines": len({row["host"] for row in fused}),
        "recordings_with_losses": sum(bool(row["losses"]) for row in fused),
        **{name: dict(_sum(fused, name).most_common()) for name in _COUNTED},
    }


def _read(row: dict[str, Any]) -> dict[str, Any]:
    """A row with its mappings and lists, which the table has as JSON."""
    read = dict(row)
    for name in (*_COUNTED, "losses"):
        empty: Any = [] if name == "losses" else {}
        read[name] = json.loads(row[name]) if row.get(name) else empty
    return read


def _sum(rows: Sequence[dict[str, Any]], name: str) -> Counter[str]:
    counts: Counter[str] = Counter()
    for row in rows:
        counts.update(row[name])
    return counts


def _dropped(row: dict[str, Any]) -> float:
    """Share of the frames."""
    drops = sum(row["drops"].values())
    return float(drops / max(1, drops + 2 * (row["pairs"] or 0)))


def _failed(row: dict[str, Any]) -> float:
    """Share of the pairs."""
    failed = sum(row["failed_pairs"].values())
    return float(failed / max(1, failed + (row["pairs"] or 0)))


def _faulty(row: dict[str, Any]) -> float:
    """Faults a pair."""
    return float(sum(row["faults"].values()) / max(1, row["pairs"] or 0))


_SHARES = {"frames dropped": _dropped, "pairs failed": _failed, "faults a pair": _faulty}


def _trouble(row: dict[str, Any]) -> float:
    return sum(share(row) for share in _SHARES.values()) + bool(row["losses"])


def _line(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "recording": row["recording"],
        "error": row["error"] or None,
        **{name: None if row["error"] else share(row) for name, share in _SHARES.items()},
        "losses": len(row["losses"]) or None,
        "pairs": row["pairs"],
        "pairs a second": row["pairs_per_second"],
        "objects": None if row["error"] else sum(row["detections"].values()),
        "attempts": row["attempts"],
    }


def _link(results: Results, row: dict[str, Any], html: Path) -> str | None:
    """To a recording's page where somebody made one, else to the folder of its result."""
    folder = Path(results.store.root, str(row["folder"]))
    if row["error"] or not folder.is_dir():
        return None
    page = (folder / BAG).with_suffix(".html")
    target = os.path.relpath(page if page.is_file() else folder, html.resolve().parent)
    return f"./{quote(target)}"


def _rates(fused: Sequence[dict[str, Any]]) -> list[Bars]:
    rates = spread_bars(
        "pairs a second, over the recordings", {"": [row["pairs_per_second"] or 0 for row in fused]}
    )
    return [] if rates is None else [rates]


def _by_hour(results: Results) -> list[Bars]:
    """Objects a pair, since hours differ by how much was recorded; none without tables of moments."""
    names = results.moments()
    if not names:
        return []
    pairs = {int(hour): int(count) for hour, count in ask(results, _PAIRS_BY_HOUR, [names])}
    counts: dict[int, Counter[str]] = {hour: Counter() for hour in pairs}
    for hour, name, count in ask(results, _OBJECTS_BY_HOUR, [names]):
        counts[int(hour)][str(name)] = int(count)
    total: Counter[str] = sum(counts.values(), Counter())
    shown = [name for name, _ in total.most_common(_CLASSES)]
    values: Mapping[str, Mapping[str, float]] = {
        f"{hour:02}:00, {pairs[hour]} pairs": {name: own[name] / pairs[hour] for name in shown}
        for hour, own in counts.items()
    }
    return [stacked_bars("objects a pair, by hour of the day (UTC)", values)] if shown else []


def _by_place(results: Results) -> list[Bars]:
    """Objects a pair where most are; none without GPS."""
    names = results.moments()
    found = ask(results, _OBJECTS_BY_PLACE, [names, _PLACES]) if names else []
    values = {
        f"{latitude:.2f}, {longitude:.2f}, {pairs} pairs": objects / pairs
        for latitude, longitude, pairs, objects in found
    }
    title = "objects a pair, by place (latitude, longitude, about 1 km), most first"
    return [plain_bars(title, values)] if values else []
