"""The contact sheet of misses: rows of scenes, worst first, a column for each method."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ivfusion_ros.detection.thresholds import told_thresholds
from ivfusion_ros.errors import IvfusionError
from ivfusion_ros.evaluation.detection.find import Found, picture
from ivfusion_ros.evaluation.detection.precision import missed
from ivfusion_ros.images.draw import annotate, narrowed, outline, scaled
from ivfusion_ros.images.files import write_image
from ivfusion_ros.images.sheet import contact_sheet, heading
from ivfusion_ros.types import Detections, Image

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ivfusion_ros.evaluation.detection.scenes import Truth
    from ivfusion_ros.evaluation.fusion.methods import Method
    from ivfusion_ros.types import Floats

CELL_WIDTH = 480
"""Pixels."""

LEGEND = (
    "coloured boxes: what the detector reports, from a score of {told} on; white boxes: objects "
    "that it misses. Rows: scenes, the worst first"
)

_NOTHING: Image = np.zeros((1, 1, 3), np.uint8)


def write_sheet(
    path: Path,
    truths: Sequence[Truth],
    found: dict[str, list[Found]],
    methods: Sequence[Method],
    class_names: Sequence[str],
    count: int,
    thresholds: Floats,
) -> None:
    """Write the scenes with the worst misses: what is reported in colour, missed objects outlined in white.

    truths[i] belongs to found[method][i]. thresholds: (classes,) scores from which
    objects are reported.
    """
    misses = {method: missed(truths, items, class_names, thresholds) for method, items in found.items()}
    strips = []
    for index in worst(truths, list(misses.values()))[:count]:
        images, titles = [], []
        for method, items in found.items():
            item, objects = items[index], misses[method][index]
            images.append(_shown(item, truths[index], objects, methods, thresholds))
            total = len(truths[index].class_ids)
            titles.append(f"{item.scene.pair.stem} {method}: {len(objects)} of {total} missed")
        # A sheet of its own for each scene, since all cells of a sheet have one shape.
        strips.append(contact_sheet(images, titles, columns=len(images), cell_width=CELL_WIDTH))
    width = max(strip.shape[1] for strip in strips)
    strips = [np.pad(strip, ((0, 0), (0, width - strip.shape[1]), (0, 0))) for strip in strips]
    legend = heading(LEGEND.format(told=told_thresholds(thresholds, class_names)), width, CELL_WIDTH)
    write_image(path, np.concatenate([legend, *strips]))


def worst(truths: Sequence[Truth], misses: Sequence[Sequence[Sequence[int]]]) -> list[int]:
    """Scenes by the heights of what all methods together missed, most first: large objects weigh more."""
    weights = np.zeros(len(truths))
    for scenes in misses:
        for index, places in enumerate(scenes):
            boxes = truths[index].boxes_xyxy[list(places)]
            weights[index] += float((boxes[:, 3] - boxes[:, 1]).sum())
    return [int(index) for index in np.argsort(-weights, kind="stable")]


def _shown(
    item: Found, truth: Truth, places: Sequence[int], methods: Sequence[Method], thresholds: Floats
) -> Image:
    try:
        image = picture(item, methods)
    except IvfusionError:
        # It was read a moment ago; a file that has gone since is no reason to lose the sheet.
        return _NOTHING
    every = item.detections
    sure = every.scores >= thresholds[every.class_ids]
    reported = Detections(
        every.boxes_xyxy[sure], every.scores[sure], every.class_ids[sure], every.class_names
    )
    small = narrowed(image, CELL_WIDTH)
    scale = small.shape[1] / image.shape[1]
    missing = truth.boxes_xyxy[list(places)] * np.float32(scale)
    return annotate(outline(small, missing), scaled(reported, scale))
