"""The contact sheet of an evaluation: rows of pairs from best to worst, a column for each network."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ivfusion_ros.errors import IvfusionError
from ivfusion_ros.evaluation.fusion.scores import LOWER_IS_BETTER
from ivfusion_ros.images.encodings import to_rgb
from ivfusion_ros.images.files import read_image, write_image
from ivfusion_ros.images.pairs import spread
from ivfusion_ros.images.sheet import contact_sheet

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ivfusion_ros.evaluation.fusion.judge import Result
    from ivfusion_ros.evaluation.fusion.methods import Method
    from ivfusion_ros.evaluation.fusion.pairs import Pair
    from ivfusion_ros.types import Image

CELL_WIDTH = 420
"""Pixels."""

_NOTHING: Image = np.zeros((1, 1, 3), np.uint8)


def write_sheet(
    path: Path,
    pairs: Sequence[Pair],
    methods: Sequence[Method],
    results: Sequence[Result],
    metric: str,
    rows: int,
) -> None:
    """Write thermal, visible and every fused image of up to `rows` pairs. Raises ImageError."""
    scores = {(item.data, item.pair, item.method): item.scores for item in results if item.scores}
    strips = []
    for pair in choose(pairs, results, metric, rows):
        images = [to_rgb(read_image(pair.thermal)), to_rgb(read_image(pair.rgb))]
        titles = [f"{pair.stem}: {pair.thermal.parent.name}", f"{pair.data}: {pair.rgb.parent.name}"]
        for method in methods:
            own = scores.get((pair.data, pair.stem, method.label))
            images.append(_picture(method, pair) if own else _NOTHING)
            titles.append(f"{method.label}: {metric} {own[metric]:.3f}" if own else f"{method.label}: none")
        # A sheet of its own for each pair, since all cells of a sheet have one shape.
        strips.append(contact_sheet(images, titles, columns=len(images), cell_width=CELL_WIDTH))
    write_image(path, np.concatenate(strips))


def choose(pairs: Sequence[Pair], results: Sequence[Result], metric: str, rows: int) -> list[Pair]:
    """The best and the worst pair by the methods' mean of a metric, and others evenly between them."""
    found: dict[tuple[str, str], list[float]] = {}
    for item in results:
        if metric in item.scores:
            found.setdefault((item.data, item.pair), []).append(item.scores[metric])
    means = {key: float(np.mean(values)) for key, values in found.items()}
    known = [pair for pair in pairs if (pair.data, pair.stem) in means]
    ranked = sorted(
        known, key=lambda pair: means[pair.data, pair.stem], reverse=metric not in LOWER_IS_BETTER
    )
    if rows == 1:
        return ranked[len(ranked) // 2 :][:1]
    return spread(ranked, rows, ends=True)


def _picture(method: Method, pair: Pair) -> Image:
    try:
        fused = method.fused(pair)
        return to_rgb(read_image(fused) if isinstance(fused, Path) else fused)
    except IvfusionError:
        # It was scored a moment ago; a file that has gone since is no reason to lose the sheet.
        return _NOTHING
