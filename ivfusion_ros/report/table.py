"""Tables that a page sorts and filters, and what ranks pairs by their metrics."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

Row = dict[str, Any]
"""By column; JSON."""

_DIGITS = 5


@dataclass(frozen=True)
class Table:
    """columns: names; best: those of numbers with "low" or "high" for what is better. rows: cells in order.

    shots: of each row the index of the shot to see it on, None without one; empty where none has any.
    links: likewise a place relative to the page's.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    best: Mapping[str, str] | None = None
    shots: Sequence[int | None] = ()
    links: Sequence[str | None] = ()


def table_of(
    title: str,
    rows: Iterable[Mapping[str, Any]],
    best: Mapping[str, str] | None = None,
    shots: Sequence[int | None] = (),
    links: Sequence[str | None] = (),
) -> Table:
    """Rows under all their columns; numbers with five digits, what is missing is None."""
    rows = list(rows)
    columns = list(dict.fromkeys(name for row in rows for name in row))
    cells = [[_cell(row.get(name)) for name in columns] for row in rows]
    return Table(title, columns, cells, best, shots, links)


def _cell(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.{_DIGITS}g}") if math.isfinite(value) else None
    if value is None or isinstance(value, (str, int)):
        return value
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value))
    return str(value)


@dataclass(frozen=True)
class Ranked:
    """A pair by one metric: where it stands ("worst", "median"), its mean over all methods, its key."""

    metric: str
    place: str
    value: float
    key: tuple[str, ...]


_WORST = 3


def ranked(
    values: Mapping[str, Mapping[tuple[str, ...], float]], lower_is_better: Iterable[str]
) -> list[Ranked]:
    """The worst pairs and the median one by each metric. values: by metric and key, finite ones count."""
    low = set(lower_is_better)
    found = []
    for metric, by_key in values.items():
        known = [(value, key) for key, value in by_key.items() if math.isfinite(value)]
        known.sort(key=lambda item: (-item[0] if metric in low else item[0], item[1]))
        worst = [
            ("worst" if not place else f"worst {place + 1}", item)
            for place, item in enumerate(known[:_WORST])
        ]
        middle = [("median", known[len(known) // 2])] if len(known) > _WORST else []
        found += [Ranked(metric, place, value, key) for place, (value, key) in [*worst, *middle]]
    return found


def in_turn(rows: Sequence[Ranked]) -> list[tuple[str, ...]]:
    """Keys, each once: the worst of every metric first, then the medians, then the next ones."""
    order = ["worst", "median", *(f"worst {place}" for place in range(2, _WORST + 1))]
    return list(dict.fromkeys(row.key for place in order for row in rows if row.place == place))
