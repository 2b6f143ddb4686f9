"""The page of an evaluation of a detector: precision, and the scenes of which most is missed."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

import numpy as np

from ivfusion_ros.report.bars import plain_bars
from ivfusion_ros.report.chart import chart_of
from ivfusion_ros.report.page import Page, figure_texts
from ivfusion_ros.report.quality import collect_shots, ranked_cells
from ivfusion_ros.report.shot import Shot, shot_of_images
from ivfusion_ros.report.table import in_turn, ranked, table_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ivfusion_ros.report.bars import Bars
    from ivfusion_ros.report.chart import Chart
    from ivfusion_ros.report.table import Row, Table
    from ivfusion_ros.types import Image

MEASURES = ("missed", "false_alarms")
"""Of a scene, by which scenes are ranked; lower is better."""
ALL = "all"
Key = tuple[str, ...]


def objects_page(
    title: str, figures: Mapping[str, Any], pictures: Callable[[Key], Mapping[str, Image]]
) -> Page:
    """figures: of `ivfusion eval-detection`'s results.json. pictures: of (data, scene), by method.

    What pictures raises as IvfusionError costs that scene's shot.
    """
    scenes: dict[Key, list[Row]] = defaultdict(list)
    for row in figures["scenes"]:
        scenes[row["data"], row["scene"]].append(row)
    values = {
        name: {key: float(np.mean([row[name] for row in rows])) for key, rows in scenes.items()}
        for name in MEASURES
    }
    places = ranked(values, MEASURES)
    shots = collect_shots(in_turn(places), lambda key, index: _shot(key, index, scenes[key], pictures))
    seen = {key: shot.index for key, shot in shots.items()}
    detector = figures["detector"]
    told = {name: detector[name] for name in ("model", "backend", "thresholds", "tiles")}
    return Page(
        title,
        figure_texts({**told, "scenes": len(scenes), "version": figures["version"]}),
        list(shots.values()),
        count=len(shots),
        tables=[table for table in _tables(figures, seen) if table.rows],
        bars=_bars(figures),
        curves=_curves(figures),
        ranked=ranked_cells(places, seen),
    )


def _shot(
    key: Key, index: int, rows: Sequence[Row], pictures: Callable[[Key], Mapping[str, Image]]
) -> Shot:
    images = pictures(key)
    height, width = next(iter(images.values())).shape[:2]
    boxes, facts = {}, {}
    for row in rows:
        scale = np.array([width, height] * 2) / np.array([*row["size"]] * 2)
        missed = [{**box, "missed": True} for box in row["missed_boxes"]]
        boxes[row["images"]] = [
            {**box, "box_xyxy": np.round(scale * box["box_xyxy"], 1).tolist()}
            for box in [*row["boxes"], *missed]
        ]
        facts[row["images"]] = (
            f"{row['missed']} of {row['objects']} missed, {row['false_alarms']} false alarms"
        )
    return shot_of_images(images, index, f"{key[1]} of {key[0]}", facts, boxes)


def _bars(figures: Mapping[str, Any]) -> list[Bars]:
    """AP50 of all classes and of each, on all scenes."""
    own = [row for row in figures["results"] if row["subset"] == ALL]
    names = list(dict.fromkeys(name for row in own for name in row["classes"]))
    panels = {"AP50, all classes": {row["images"]: row["AP50"] for row in own}}
    panels |= {
        f"AP50, {name}": {row["images"]: row["classes"][name]["AP50"] for row in own} for name in names
    }
    known = {
        title: {method: value for method, value in values.items() if value is not None}
        for title, values in panels.items()
    }
    return [plain_bars(title, values, most=1.0) for title, values in known.items() if values]


def _curves(figures: Mapping[str, Any]) -> list[Chart]:
    """Precision over recall from 0 to 1, by class, a line for each method."""
    curves: dict[str, dict[str, list[float]]] = {}
    for row in figures["results"]:
        for name, own in row["classes"].items():
            if row["subset"] == ALL and own["curve"]:
                curves.setdefault(name, {})[row["images"]] = own["curve"]
    return [chart_of(f"precision over recall from 0 to 1, {name}", lines) for name, lines in curves.items()]


def _tables(figures: Mapping[str, Any], seen: Mapping[Key, int]) -> list[Table]:
    columns = ("scene", "images", "objects", *MEASURES)
    scenes = figures["scenes"]
    plain = [{name: row[name] for name in columns} for row in scenes]
    found = [seen.get((row["data"], row["scene"])) for row in scenes]
    thresholds = [{"images": name, **own} for name, own in figures["thresholds"].items()]
    return [
        table_of("Average precision", map(_precision_row, figures["results"])),
        table_of("What fusion adds to AP50", figures["added_by_fusion"]),
        table_of(
            "Thresholds at equal false alarms", thresholds, {"found": "high", "calibration_error": "low"}
        ),
        table_of("Every scene", plain, dict.fromkeys(MEASURES, "low"), found),
        table_of("Left out", figures["skipped"]),
    ]


def _precision_row(row: Mapping[str, Any]) -> Row:
    by_class = {f"AP50 {name}": own["AP50"] for name, own in row["classes"].items()}
    return {name: row[name] for name in ("subset", "images", "scenes", "AP50", "AP50:95")} | by_class
