"""The page of a benchmark: networks, pipelines by stage, and the steps around them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ivfusion_ros.report.bars import stacked_bars
from ivfusion_ros.report.page import Page, figure_texts
from ivfusion_ros.report.table import table_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ivfusion_ros.report.bars import Bars
    from ivfusion_ros.report.table import Table

_PARTS = ("networks", "pipelines", "steps")
_BEST = {
    "median": "low",
    "p95": "low",
    "pairs_per_second": "high",
    "speed_up": "high",
    "share_of_peak": "high",
}


def speed_page(title: str, figures: Mapping[str, Any]) -> Page:
    """figures: as `ivfusion bench --json` writes them."""
    told = {name: value for name, value in figures.items() if name not in _PARTS}
    return Page(
        title,
        figure_texts(told),
        tables=[_table(part, figures[part]) for part in _PARTS if figures[part]],
        bars=[_bars(part, figures[part]) for part in _PARTS if figures[part]],
    )


def _bars(part: str, rows: Mapping[str, Mapping[str, Any]]) -> Bars:
    medians: dict[str, dict[str, float]] = {
        name: {stage: own["median"] for stage, own in row["stages"].items()}
        if "stages" in row
        else {"": row["median"]}
        for name, row in rows.items()
    }
    late = {name: row["p95"] for name, row in rows.items()}
    marks = {name: row["least_ms"] for name, row in rows.items() if "least_ms" in row}
    staged = any("stages" in row for row in rows.values())
    bar = (
        "bar: medians of the stages, one after another; line: from there to p95 of all"
        if staged
        else "bar: median; line: up to p95"
    )
    note = bar + ("; tick: shortest time at the machine's peak" if marks else "")
    return stacked_bars(f"{part}, ms", medians, late=late, marks=marks, note=note)


def _table(part: str, rows: Mapping[str, Mapping[str, Any]]) -> Table:
    stages = {
        name: {f"{stage} ms": own["median"] for stage, own in row.get("stages", {}).items()}
        for name, row in rows.items()
    }
    plain = [
        {
            "name": name,
            **{key: value for key, value in row.items() if not isinstance(value, (dict, list))},
            **stages[name],
        }
        for name, row in rows.items()
    ]
    return table_of(f"{part.capitalize()}, ms", plain, _BEST)
