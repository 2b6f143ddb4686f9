"""Values of named things side by side, as bars: from 0, stacked, or a spread with its median."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ivfusion_ros.types import Floats

WIDTH, HEIGHT = 1000, 20
"""Of a bar's drawing; a page scales it to its own width."""


@dataclass(frozen=True)
class Bar:
    """Places are in the drawing. parts: key, left, width. line: a thin one through them. mark: a tick."""

    name: str
    text: str
    parts: Sequence[tuple[str, float, float]]
    line: tuple[float, float] | None = None
    mark: float | None = None


@dataclass(frozen=True)
class Bars:
    """title: with the unit. least, most: values at the edges. keys: what colours stand for."""

    title: str
    least: float
    most: float
    rows: Sequence[Bar]
    keys: Sequence[str]
    note: str = ""


def plain_bars(title: str, values: Mapping[str, float], *, most: float | None = None) -> Bars:
    """A bar from 0 for each."""
    return stacked_bars(title, {name: {"": value} for name, value in values.items()}, most=most)


def stacked_bars(
    title: str,
    values: Mapping[str, Mapping[str, float]],
    *,
    late: Mapping[str, float] | None = None,
    marks: Mapping[str, float] | None = None,
    most: float | None = None,
    note: str = "",
) -> Bars:
    """Parts one after the other, by name of the bar and of the part, none below 0.

    late: ends of thin lines. marks: ticks. most: value at the right edge.
    """
    late, marks = late or {}, marks or {}
    ends = [*late.values(), *marks.values(), *(sum(parts.values()) for parts in values.values())]
    top = most or max(ends, default=0) or 1.0
    keys = list(dict.fromkeys(key for parts in values.values() for key in parts))
    rows = []
    for name, parts in values.items():
        edge, pieces = 0.0, []
        for key, value in parts.items():
            pieces.append((key, _place(edge, 0, top), _place(value, 0, top)))
            edge += value
        line = (_place(edge, 0, top), _place(late[name], 0, top)) if name in late else None
        mark = _place(marks[name], 0, top) if name in marks else None
        rows.append(Bar(name, f"{edge:.4g}", pieces, line, mark))
    return Bars(title, 0.0, top, rows, keys if len(keys) > 1 else [], note)


def spread_bars(title: str, values: Mapping[str, Sequence[float]]) -> Bars | None:
    """Of each name's finite values the middle half, a tick at the median, a line over all; None without."""
    known = {name: _finite(numbers) for name, numbers in values.items()}
    known = {name: numbers for name, numbers in known.items() if len(numbers)}
    if not known:
        return None
    least, most = min(map(np.min, known.values())), max(map(np.max, known.values()))
    most = most if most > least else least + 1e-9
    rows = []
    for name, numbers in known.items():
        low, first, median, third, high = (
            _place(float(value), least, most) for value in np.percentile(numbers, (0, 25, 50, 75, 100))
        )
        text = f"{np.median(numbers):.4g}"
        rows.append(Bar(name, text, [("", first, third - first)], (low, high), median))
    note = "bar: the middle half; tick: median; line: all"
    return Bars(title, float(least), float(most), rows, [], note)


def _finite(numbers: Sequence[float]) -> Floats:
    values = np.asarray(numbers, np.float64)
    return values[np.isfinite(values)]


def _place(value: float, least: float, most: float) -> float:
    return round(WIDTH * (value - least) / (most - least), 1)
