"""The page of any other result: what its JSON, CSV and pictures hold."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any

from ivfusion_ros.errors import DataError, refusing
from ivfusion_ros.report.chart import chart_of
from ivfusion_ros.report.page import Page, figure_texts
from ivfusion_ros.report.shot import page_image
from ivfusion_ros.report.table import table_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ivfusion_ros.report.chart import Chart
    from ivfusion_ros.report.table import Row
    from ivfusion_ros.types import Image

_PICTURE_WIDTH = 1800
_FEWEST_POINTS = 2


def any_page(
    title: str, figures: Mapping[str, Any], sheets: Mapping[str, str], pictures: Mapping[str, Image]
) -> Page:
    """figures: JSON. sheets: CSV by name, drawn as curves where all cells are numbers. pictures: RGB."""
    plain = {name: value for name, value in figures.items() if not _is_table(value)}
    rows = {name: _numbers(name, text) for name, text in sheets.items()}
    curves = {name: own for name, own in rows.items() if _are_curves(own)}
    tables = [
        table_of(name.replace("_", " "), _rows(value))
        for name, value in figures.items()
        if _is_table(value)
    ]
    tables += [table_of(name, own) for name, own in rows.items()]
    return Page(
        title,
        figure_texts(plain),
        pictures=[(name, page_image(image, _PICTURE_WIDTH)) for name, image in pictures.items()],
        tables=[table for table in tables if table.rows],
        curves=[chart for name, own in curves.items() for chart in _curves(name, own)],
    )


def _is_table(value: Any) -> bool:
    if isinstance(value, dict):
        return len(value) > 1 and all(isinstance(item, dict) and item for item in value.values())
    return isinstance(value, list) and bool(value) and all(isinstance(item, dict) for item in value)


def _rows(value: Any) -> list[Row]:
    return value if isinstance(value, list) else [{"name": name, **row} for name, row in value.items()]


def _numbers(name: str, text: str) -> list[Row]:
    with refusing(DataError, name, "a table of numbers as CSV"):
        return [
            {(column or "").strip(): _number(cell) for column, cell in row.items()}
            for row in csv.DictReader(io.StringIO(text))
        ]


def _number(cell: Any) -> Any:
    try:
        return float(cell)
    except (TypeError, ValueError):
        return cell if isinstance(cell, str) and cell.strip() else None


def _are_curves(rows: list[Row]) -> bool:
    return len(rows) >= _FEWEST_POINTS and all(
        isinstance(cell, float) or cell is None for row in rows for cell in row.values()
    )


def _curves(sheet: str, rows: list[Row]) -> list[Chart]:
    """One for each column, over the rows."""
    charts = []
    for name in rows[0]:
        values = [float("nan") if row.get(name) is None else row[name] for row in rows]
        if any(value > 0 for value in values):
            charts.append(chart_of(f"{sheet}: {name}", {name: values}))
    return charts
