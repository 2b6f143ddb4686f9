"""Tables of what networks cost: parameters, multiply-adds, and time on this machine."""

from __future__ import annotations

import platform
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ivfusion_ros.evaluation.speed.benchmark import alternate, fusion_candidates, fusion_fusers
from ivfusion_ros.graphs.operations import count_operations
from ivfusion_ros.models import resolve_model
from ivfusion_ros.reproduce.job import Job, Outcome
from ivfusion_ros.reproduce.trained import untrained_model

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ivfusion_ros.types import Size

MULTIPLY_ADDS, TIME = "multiply_adds ", "ms "
"""What is measured at a size, before it: `ms 640x480`."""

Values = dict[str, dict[str, float | None]]
"""By row and by what is measured."""


def cost(job: Job) -> Outcome:
    """Of each row whose network is here. Raises BackendError where a library is missing."""
    with tempfile.TemporaryDirectory() as folder:
        models = _models(job, Path(folder))
        counted = {name: _counted(job, path) for name, path in models.items()}
        times, notes = timed(job, models)
    values = {name: {**row, **times.get(name, {})} for name, row in counted.items()}
    told = "FLOPs are multiply-adds of convolutions and matrix products, of the whole exported graph"
    return Outcome(values, (told, *notes))


def any_times(job: Job) -> bool:
    """Whether the table has times."""
    return bool(_measures(job, TIME))


def timed(job: Job, models: Mapping[str, Path]) -> tuple[Values, tuple[str, ...]]:
    """Median milliseconds of one fused image at each size that the table has, and how they came about."""
    values: Values = {name: {} for name in models}
    notes: dict[str, None] = {}
    how, extent = job.networks, job.paper.size
    for measure in _measures(job, TIME):
        width, height = (side // extent.shrink for side in _size(measure, TIME))
        calls = {}
        for name, path in models.items():
            fusers = fusion_fusers([str(path)], [(how.backend, how.precision)], how.threads)
            ((label, calls[name]),) = fusion_candidates(fusers, (width, height)).items()
            notes[f"times: {label.removeprefix(f'{path}: ')} on this machine ({platform.machine()})"] = None
        for name, times in alternate(calls, range(extent.rounds), warm_up=1).items():
            values[name][measure] = float(np.median(times))
        if extent.shrink > 1:
            notes[f"times at {measure.removeprefix(TIME)} are of {width}x{height} here"] = None
    return values, tuple(notes)


def _models(job: Job, folder: Path) -> dict[str, Path]:
    """ONNX files by row; networks that would be trained have random weights."""
    models = {}
    for name, row in job.table.rows.items():
        if row.model:
            models[name] = resolve_model(row.model, "fusion")
        elif row.train:
            models[name] = folder / f"{row.key}.onnx"
            untrained_model(job, row, models[name])
    return models


def _counted(job: Job, path: Path) -> dict[str, float | None]:
    values: dict[str, float | None] = {}
    for measure in _measures(job, MULTIPLY_ADDS):
        parameters, multiply_adds = count_operations(path, _size(measure, MULTIPLY_ADDS))
        values |= {measure: multiply_adds / 1e9, "parameters": parameters / 1e6}
    return values


def _measures(job: Job, kind: str) -> list[str]:
    return [measure for measure in job.table.columns.values() if measure.startswith(kind)]


def _size(measure: str, kind: str) -> Size:
    width, height = measure.removeprefix(kind).split("x")
    return int(width), int(height)
