"""Numbers over the results of a run, as SVG."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ivfusion_ros.types import Floats

WIDTH, HEIGHT = 1000, 90
"""Of a chart's drawing; a page scales it to its own width."""
_MAX_POINTS = 1000


@dataclass(frozen=True)
class Line:
    """points: `x,y x,y ...` in the chart's drawing; of several results at one place the largest."""

    name: str
    points: str


@dataclass(frozen=True)
class Chart:
    """title: with the unit. top: the value at the upper edge, the lower one is 0. marks: x of events."""

    title: str
    top: float
    lines: tuple[Line, ...]
    marks: tuple[float, ...] = ()


def chart_of(title: str, values: Mapping[str, Sequence[float]], marked: Sequence[int] = ()) -> Chart:
    """Lines of equally many values, one for each result; NaN leaves a gap. marked: indices of results."""
    series = {name: np.asarray(numbers, np.float64) for name, numbers in values.items()}
    known = np.concatenate([numbers[np.isfinite(numbers)] for numbers in series.values()])
    top = _round_up(float(known.max(initial=0.0)))
    count = max(map(len, series.values()))
    return Chart(
        title,
        top,
        tuple(Line(name, part) for name, numbers in series.items() for part in _points(numbers, top)),
        tuple(round(WIDTH * (index + 0.5) / count, 1) for index in marked),
    )


def _points(values: Floats, top: float) -> list[str]:
    """Unbroken parts of a line."""
    step = -(-len(values) // _MAX_POINTS)
    parts: list[list[str]] = [[]]
    for start in range(0, len(values), step):
        seen = values[start : start + step]
        seen = seen[np.isfinite(seen)]
        if not len(seen):
            parts.append([])
            continue
        x = WIDTH * (start + min(step, len(values) - start) / 2) / len(values)
        parts[-1].append(f"{x:.1f},{HEIGHT * (1 - seen.max() / top):.1f}")
    return [" ".join(part) for part in parts if part]


def _round_up(value: float) -> float:
    """The next number of one digit, 1 for 0."""
    if value <= 0:
        return 1.0
    unit = 10.0 ** math.floor(math.log10(value))
    return round(math.ceil(value / unit - 1e-9) * unit, 12)
