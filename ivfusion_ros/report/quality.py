"""The page of an evaluation of fusion: its figures, and the pairs that each metric calls worst."""

from __future__ import annotations

import logging
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import numpy as np

from ivfusion_ros.errors import IvfusionError
from ivfusion_ros.report.bars import spread_bars
from ivfusion_ros.report.page import Page, figure_texts
from ivfusion_ros.report.shot import Shot, shot_of_images
from ivfusion_ros.report.table import Ranked, in_turn, ranked, table_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ivfusion_ros.report.table import Table
    from ivfusion_ros.types import Image

log = logging.getLogger(__name__)

PICTURE_BYTES = 9_000_000
"""Of all shots of a page, which with its tables stays below 15 MB."""

Key = tuple[str, ...]


def quality_page(
    title: str, figures: Mapping[str, Any], pictures: Callable[[Key], Mapping[str, Image]]
) -> Page:
    """figures: of `ivfusion eval`'s results.json. pictures: of (data, pair), images by name.

    What pictures raises as IvfusionError costs that pair's shot.
    """
    rows: list[Mapping[str, Any]] = figures["images"]
    metrics, low = figures["metrics"], figures["lower_is_better"]
    values = _means_by_pair(rows, metrics)
    places = ranked(values, low)
    scores: dict[Key, dict[str, dict[str, float]]] = defaultdict(dict)
    for row in rows:
        scores[_key(row)][row["network"]] = {
            name: row[name] for name in metrics if row.get(name) is not None
        }
    shots = collect_shots(in_turn(places), lambda key, index: _shot(key, index, scores[key], pictures))
    best = {name: "low" if name in low else "high" for name in metrics}
    seen = {key: shot.index for key, shot in shots.items()}
    return Page(
        title,
        figure_texts(
            {"networks": list(figures["networks"]), "pairs": len(scores), "version": figures["version"]}
        ),
        list(shots.values()),
        count=len(shots),
        tables=[table for table in _tables(figures, rows, best, seen) if table.rows],
        bars=[bars for name in metrics if (bars := _bars(name, rows, low))],
        ranked=ranked_cells(places, seen),
    )


def collect_shots(keys: Sequence[Key], make: Callable[[Key, int], Shot]) -> dict[Key, Shot]:
    """Shots of the first keys that there is room for; one that cannot be made is left out and logged."""
    shots: dict[Key, Shot] = {}
    size = 0
    for key in keys:
        try:
            shot = make(key, len(shots))
        except IvfusionError as error:
            log.warning("no picture of %s: %s", key[-1], error)
            continue
        size += shot.picture_bytes
        if size > PICTURE_BYTES:
            break
        shots[key] = shot
    return shots


def ranked_cells(
    places: Sequence[Ranked], seen: Mapping[Key, int]
) -> dict[str, list[tuple[str, str, int | None]]]:
    """Page.ranked."""
    cells: dict[str, list[tuple[str, str, int | None]]] = {}
    for row in places:
        text = f"{row.key[-1]}: {row.value:.4g}"
        cells.setdefault(row.metric, []).append((row.place, text, seen.get(row.key)))
    return cells


def _key(row: Mapping[str, Any]) -> Key:
    return row["data"], row["pair"]


def _means_by_pair(
    rows: Sequence[Mapping[str, Any]], metrics: Sequence[str]
) -> dict[str, dict[Key, float]]:
    """By metric and pair, the networks' mean."""
    found: dict[str, dict[Key, list[float]]] = {name: defaultdict(list) for name in metrics}
    for row in rows:
        for name in metrics:
            if row.get(name) is not None:
                found[name][_key(row)].append(row[name])
    return {
        name: {key: float(np.mean(own)) for key, own in by_key.items()} for name, by_key in found.items()
    }


def _shot(
    key: Key,
    index: int,
    scores: Mapping[str, Mapping[str, float]],
    pictures: Callable[[Key], Mapping[str, Image]],
) -> Shot:
    facts = {
        network: ", ".join(f"{name} {value:.4g}" for name, value in own.items())
        for network, own in scores.items()
    }
    return shot_of_images(pictures(key), index, f"{key[1]} of {key[0]}", facts)


def _bars(metric: str, rows: Sequence[Mapping[str, Any]], low: Sequence[str]) -> Any:
    values: dict[str, list[float]] = {}
    for row in rows:
        if row.get(metric) is not None:
            values.setdefault(row["network"], []).append(row[metric])
    return spread_bars(f"{metric} {'↓' if metric in low else '↑'}", values)


def _tables(
    figures: Mapping[str, Any],
    rows: Sequence[Mapping[str, Any]],
    best: Mapping[str, str],
    seen: Mapping[Key, int],
) -> list[Table]:
    costs = [{"network": name, **own["cost"]} for name, own in figures["networks"].items() if "cost" in own]
    named = [{"pair": row["pair"], "network": row["network"], **_others(row)} for row in rows]
    return [
        table_of("Means", figures["means"], best),
        table_of("Cost", costs),
        table_of("Every image", named, best, [seen.get(_key(row)) for row in rows]),
        table_of("Skipped", figures["skipped"]),
    ]


def _others(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in ("pair", "network")}
