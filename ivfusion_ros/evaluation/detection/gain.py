"""What fusion adds over the better camera, and how sure that is: a bootstrap over scenes.

Scenes are drawn anew, with repetition, as many as there are, and both average precisions are taken of the
same draw (Efron and Tibshirani, An Introduction to the Bootstrap, 1993; the percentile interval). Scenes of
one drive resemble each other, which it does not know: the intervals are rather too narrow.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ivfusion_ros.evaluation.detection.precision import ALL, Matches, matches
from ivfusion_ros.evaluation.fusion.tables import to_markdown
from ivfusion_ros.types import CAMERAS, Floats

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ivfusion_ros.evaluation.detection.find import Found
    from ivfusion_ros.evaluation.detection.scenes import Truth
    from ivfusion_ros.evaluation.fusion.tables import Row

DRAWS = 1000
"""The ends of an interval then move by some 2 % of its width from seed to seed."""

INTERVAL = 95.0
"""Percent of the draws that lie in it."""


@dataclass(frozen=True)
class Gain:
    """AP50 of a method's images above that of the better camera's, on a subset, of a class or ALL.

    low, high: ends of the interval.
    """

    subset: str
    method: str
    camera: str
    class_name: str
    added: float
    low: float
    high: float


def gains(
    truths: Sequence[Truth],
    found: Mapping[str, Sequence[Found]],
    class_names: Sequence[str],
    subsets: Mapping[str, Sequence[int]],
) -> list[Gain]:
    """Of each method that is no camera, each subset and class with objects; none without both cameras.

    truths[i] belongs to found[method][i]; subsets: places of their scenes in these.
    """
    methods = [name for name in found if name not in CAMERAS]
    if not methods or any(camera not in found for camera in CAMERAS):
        return []
    table = {name: matches(truths, items, class_names) for name, items in found.items()}
    results = []
    for subset, places in subsets.items():
        weights = draw(len(truths), places)
        scores = {name: _scores(own, weights) for name, own in table.items()}
        for column, name in enumerate([ALL, *class_names]):
            own = {method: values[:, column] for method, values in scores.items()}
            there = [method for method in methods if not np.isnan(own[method][0])]
            results += [_gain(subset, name, method, own) for method in there]
    return results


def draw(count: int, places: Sequence[int]) -> Floats:
    """(1 + DRAWS, count): how often each scene counts; first each of a subset once, then at random."""
    weights = np.zeros((1 + DRAWS, count))
    weights[0, list(places)] = 1
    shares = np.full(len(places), 1 / len(places))
    weights[1:, list(places)] = np.random.default_rng(0).multinomial(len(places), shares, DRAWS)
    return weights


def _scores(own: Sequence[Matches], weights: Floats) -> Floats:
    """(draws, 1 + classes) AP50: the mean over the classes that a draw has, and each.

    NaN without objects.
    """
    columns = np.array([[item.ap50(row) for item in own] for row in weights])
    there = ~np.isnan(columns)
    means = np.where(there, columns, 0).sum(axis=1) / np.maximum(there.sum(axis=1), 1)
    return np.column_stack([np.where(there.any(axis=1), means, np.nan), columns])


def _gain(subset: str, name: str, method: str, own: Mapping[str, Floats]) -> Gain:
    camera = max(CAMERAS, key=lambda camera: float(own[camera][0]))
    added = own[method] - own[camera]
    ends = (100 - INTERVAL) / 2, (100 + INTERVAL) / 2
    low, high = np.nanpercentile(added[1:], ends).tolist()
    return Gain(subset, method, camera, name, float(added[0]), low, high)


def section(found: Sequence[Gain]) -> str:
    """Markdown: a row per subset and method, a column per class."""
    table: dict[tuple[str, str], Row] = {}
    for item in found:
        row = table.setdefault((item.subset, item.method), {"subset": item.subset, "images": item.method})
        text = f"{item.added:+.3f} over {item.camera} ({item.low:+.3f} to {item.high:+.3f})"
        row[f"AP50 {item.class_name}"] = text
    return (
        f"## What fusion adds\n\nAP50 above the better camera's, and its {INTERVAL:g} % interval by "
        f"{DRAWS} draws of as many scenes.\n\n{to_markdown(list(table.values()))}"
    )
