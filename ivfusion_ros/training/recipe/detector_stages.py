"""The stages around a detector's training: its data set, and average precision."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ivfusion_ros.detection.classes import read_class_map
from ivfusion_ros.errors import DataError
from ivfusion_ros.evaluation.detection.find import CameraMethod, DetectorUnderTest, find
from ivfusion_ros.evaluation.detection.precision import ALL
from ivfusion_ros.evaluation.detection.results import Entry, complete, judge, page
from ivfusion_ros.evaluation.detection.scenes import Truth, read_scenes
from ivfusion_ros.evaluation.detection.sheet import write_sheet
from ivfusion_ros.evaluation.fusion.journal import Journal
from ivfusion_ros.evaluation.fusion.methods import Method, make_methods
from ivfusion_ros.files import write_whole
from ivfusion_ros.training.detector.dataset import write_dataset
from ivfusion_ros.training.detector.kinds import Kind
from ivfusion_ros.training.detector.teacher import Teacher
from ivfusion_ros.training.recipe.taken import FUSION
from ivfusion_ros.types import CAMERAS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ivfusion_ros.training.recipe.kinds import Result
    from ivfusion_ros.training.recipe.run import Context

_SHEET_ROWS = 8


def make_dataset(context: Context) -> Result:
    """Write what of the data set is missing."""
    config = context.stage.config
    teacher = Teacher(context.take("teacher"), config.backend) if config.teacher else None
    kinds = [_kind(context, text) for text in config.images]
    classes = read_class_map(Path(config.class_map)) if config.class_map else None
    counts = write_dataset(context.inputs.data, context.folder, kinds, teacher, config.backend, classes)
    names = ", ".join(folder.name for folder in context.inputs.data)
    pairs, held = counts["train"].pairs, counts["val"].pairs
    told = f"{pairs} pairs of {names} as {' '.join(config.images)}, {held} held out"
    return {
        "folder": context.relative(context.folder),
        "data": f"{told} in whole runs of frame numbers",
    }


def _kind(context: Context, text: str) -> Kind:
    """KIND[:SHARE], where KIND may be a stage that made a model."""
    kind = Kind.parse(text)
    if kind.model not in context.results:
        return kind
    return replace(kind, model=str(context.find(kind.model, FUSION)))


def evaluate(context: Context) -> Result:
    """Average precision in both cameras' images and in those of fusion models."""
    config = context.stage.config
    scenes, all_names = read_scenes(context.take("data"), "val", config.limit or None)
    names = config.classes or all_names
    methods: list[Method] = [CameraMethod(camera) for camera in CAMERAS]
    methods += make_methods(config.models, (), backend=config.backend, precision="auto", threads=0)
    model = str(context.take("of"))
    detector = DetectorUnderTest(model, names, backend=config.backend, precision="auto", threads=0)
    with Journal(context.folder / "detections.jsonl", "detections") as journal:
        results = find(scenes, methods, detector, journal)
    detector.close()
    truths, found, skipped = complete(results)
    truths = [_of_classes(truth, all_names, names) for truth in truths]
    entries = judge(truths, found, names)
    write_sheet(
        context.folder / "misses.png", truths, found, methods, names, _SHEET_ROWS, detector.thresholds
    )
    write_whole(context.folder / "results.md", page(entries, detector, skipped, ["misses.png"]))
    return {"figures": _figures(entries), "figures_of": f"AP50 on {len(truths)} held-out scenes"}


def _of_classes(truth: Truth, all_names: Sequence[str], names: Sequence[str]) -> Truth:
    """The objects of some classes, numbered by those."""
    numbers = np.array([names.index(name) if name in names else -1 for name in all_names], np.int64)
    class_ids = numbers[truth.class_ids]
    return Truth(truth.boxes_xyxy[class_ids >= 0], class_ids[class_ids >= 0])


def _figures(entries: Sequence[Entry]) -> dict[str, Any]:
    """AP50 by kind of images: of each class, and their mean."""
    figures: dict[str, Any] = {}
    for entry in entries:
        if entry.subset == ALL:
            values = {item.class_name: item.ap50 for item in entry.classes} | {"mean": entry.ap50}
            figures[entry.method] = {
                name: None if value is None else round(value, 3) for name, value in values.items()
            }
    if not figures:
        raise DataError("no scene could be judged")
    return figures
