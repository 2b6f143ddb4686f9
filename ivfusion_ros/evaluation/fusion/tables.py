"""Results as tables: per image and means, as JSON, CSV and Markdown."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ivfusion_ros.evaluation.fusion.names import FADED, FAINT, PEOPLE
from ivfusion_ros.evaluation.fusion.pairs import hour
from ivfusion_ros.evaluation.fusion.scores import LOWER_IS_BETTER

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ivfusion_ros.evaluation.fusion.judge import Result
    from ivfusion_ros.evaluation.speed.cost import Cost

ALL = "all"
"""Name of the table over all images of several data sets."""

Row = dict[str, Any]
Means = dict[str, dict[str, dict[str, float]]]
"""data set -> method -> metric -> mean"""


def metric_names(results: Sequence[Result]) -> list[str]:
    """All metrics that any result has, in order."""
    return list(dict.fromkeys(name for result in results for name in result.scores))


def means(results: Sequence[Result]) -> Means:
    """Means of what was scored; over all images too where there are several data sets."""
    scored = [result for result in results if result.scores]
    sets = list(dict.fromkeys(result.data for result in scored))
    methods = list(dict.fromkeys(result.method for result in scored))
    table: Means = {}
    for data in [*sets, ALL] if len(sets) > 1 else sets:
        for method in methods:
            chosen = [item for item in scored if data in (item.data, ALL) and item.method == method]
            if chosen:
                table.setdefault(data, {})[method] = _mean(chosen)
    return table


def _mean(results: Sequence[Result]) -> dict[str, float]:
    # The first frame of a video has no flicker.
    return {
        name: _mean_of(name, [result for result in results if name in result.scores])
        for name in metric_names(results)
    }


def _mean_of(name: str, results: Sequence[Result]) -> float:
    """Over the images, or over the people in them: one alone in an image counts as one in a crowd."""
    weights = [result.people for result in results] if name in (FADED, FAINT) else None
    return float(np.average([result.scores[name] for result in results], weights=weights))


def counts(results: Sequence[Result]) -> dict[tuple[str, str], dict[str, int]]:
    """Numbers of scored images, and of people where they were looked for, by (data set or ALL, method)."""
    found: dict[tuple[str, str], dict[str, int]] = {}
    for result in results:
        for data in (result.data, ALL):
            number = found.setdefault((data, result.method), {"images": 0})
            number["images"] += bool(result.scores)
            if result.people:
                number[PEOPLE] = number.get(PEOPLE, 0) + result.people
    return found


def by_hour(results: Sequence[Result]) -> list[Result]:
    """The results of each data set that has pairs by day and by night, as two data sets."""
    hours: dict[str, set[str | None]] = {}
    for result in results:
        hours.setdefault(result.data, set()).add(hour(result.pair))
    return [
        replace(result, data=f"{result.data}, {hour(result.pair)}")
        for result in results
        if hours[result.data] >= {"day", "night"} and hour(result.pair)
    ]


def image_rows(results: Sequence[Result]) -> list[Row]:
    """One row per scored image."""
    return [
        {"data": item.data, "pair": item.pair, "network": item.method, **item.scores}
        for item in results
        if item.scores
    ]


def mean_rows(results: Sequence[Result], costs: Mapping[str, Cost]) -> list[Row]:
    """One row per data set and method, with the cost of networks where it was measured.

    Rows by hour, where there are both, come last.
    """
    hours = by_hour(results)
    number = counts([*results, *hours])
    by_set = means(results) | {data: rows for data, rows in means(hours).items() if data != ALL}
    return [
        {"data": data, "network": method, **number[data, method], **values}
        | (cost_columns(costs[method]) if method in costs else {})
        for data, methods in by_set.items()
        for method, values in methods.items()
    ]


def cost_columns(cost: Cost) -> Row:
    """A cost in the units that people compare."""
    width, height = cost.size
    return {
        "size": f"{width}x{height}",
        "parameters_M": cost.parameters / 1e6,
        "multiply_adds_G": cost.multiply_adds / 1e9,
        "file_MB": cost.file_bytes / 1e6,
        "median_ms": cost.median_ms,
        "peak_MB": None if cost.peak_bytes is None else cost.peak_bytes / 1e6,
    }


def to_csv(rows: Sequence[Row]) -> str:
    """Rows as CSV under all their columns; numbers with six digits."""
    text = io.StringIO()
    writer = csv.DictWriter(text, _columns(rows), lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _short(value, "{:.6g}") for name, value in row.items()} for row in rows)
    return text.getvalue()


def to_markdown(rows: Sequence[Row], best: Sequence[str] = ()) -> str:
    """Rows as a Markdown table; of the columns in `best`, the best value is bold and an arrow tells why."""
    columns = _columns(rows)
    winners = {name: _best(rows, name) for name in best if len(rows) > 1}
    titles = [f"{name} {arrow(name)}" if name in best else name for name in columns]
    lines = [titles, ["---" if _is_text(rows, name) else "---:" for name in columns]]
    for row in rows:
        cells = {name: _short(row.get(name), "{:.4f}") for name in columns}
        for name, winner in winners.items():
            if winner is not None and row.get(name) == winner:
                cells[name] = f"**{cells[name]}**"
        lines.append([cells[name].replace("|", "\\|") for name in columns])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def arrow(metric: str) -> str:
    """Which way is better."""
    return "↓" if metric in LOWER_IS_BETTER else "↑"


def finite(value: Any) -> Any:
    """JSON has no infinity: None stands for it, however deep."""
    if isinstance(value, dict):
        return {name: finite(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _columns(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row))


def _best(rows: Sequence[Row], name: str) -> float | None:
    values = [row[name] for row in rows if name in row]
    if not values:
        return None
    return float(min(values) if name in LOWER_IS_BETTER else max(values))


def _is_text(rows: Sequence[Row], name: str) -> bool:
    return any(isinstance(row.get(name), str) for row in rows)


def _short(value: Any, form: str) -> str:
    if value is None:
        return ""
    return form.format(value) if isinstance(value, float) else str(value)
