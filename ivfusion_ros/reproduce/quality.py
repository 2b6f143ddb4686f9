"""Tables of metrics of fused images: comparisons with other methods, and ablations."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from ivfusion_ros.errors import DataError
from ivfusion_ros.evaluation.fusion.journal import Journal
from ivfusion_ros.evaluation.fusion.judge import judge
from ivfusion_ros.evaluation.fusion.methods import FolderMethod, Method, NetworkMethod
from ivfusion_ros.evaluation.fusion.pairs import Pair, read_pairs
from ivfusion_ros.evaluation.fusion.scores import JUDGED_BY
from ivfusion_ros.evaluation.fusion.tables import means
from ivfusion_ros.images.pairs import spread
from ivfusion_ros.models import resolve_model
from ivfusion_ros.reproduce.cost import any_times, timed
from ivfusion_ros.reproduce.job import Job, Outcome
from ivfusion_ros.reproduce.trained import TRAINED_ON, row_config, trained_model
from ivfusion_ros.training.fusion.split import split_folders

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from ivfusion_ros.evaluation.fusion.judge import Result

HELD_OUT = "held_out"


def quality(job: Job) -> Outcome:
    """Scores on the table's data set. Raises DataError where it, or what to train on, was not given."""
    folder = job.data(job.table.data)
    pairs = read_pairs([folder], job.names(job.table.data), limit=job.paper.size.pairs or None)
    check_training(job)
    return _scored(job, pairs, _models(job), f"judged on {len(pairs)} pairs of {job.table.data}")


def ablation(job: Job) -> Outcome:
    """As quality, with times where the table has them.

    Without the data set for testing it is judged on held-out pairs of that for training.
    """
    if job.table.data in job.given.data:
        found = quality(job)
    else:
        check_training(job)
        pairs = _held_out(job)
        told = f"judged on {len(pairs)} held-out pairs of {TRAINED_ON}; for those of the paper give --data "
        found = _scored(job, pairs, _models(job), f"{told}{job.table.data}=DIR")
    return _with_times(job, found) if any_times(job) else found


def check_training(job: Job) -> None:
    """Raises DataError where a row is to be trained and there is nothing to train on."""
    for name, row in job.table.rows.items():
        if row.train and name not in job.given.fused and row.key not in job.given.weights:
            job.data(TRAINED_ON)


def _models(job: Job) -> dict[str, Path]:
    """ONNX files by row, of those that have no folder of fused images."""
    return {
        name: trained_model(job, row) if row.train else resolve_model(row.model, "fusion")
        for name, row in job.table.rows.items()
        if name not in job.given.fused and (row.train or row.model)
    }


def _held_out(job: Job) -> list[Pair]:
    folder, names = job.data(TRAINED_ON), job.names(TRAINED_ON)
    row = next(row for row in job.table.rows.values() if row.train)
    held = split_folders([folder], names, row_config(job, row)).validation
    chosen = spread(held, job.paper.size.pairs or len(held))
    return [Pair(HELD_OUT, pair.stem, pair.thermal, pair.rgb) for pair in chosen]


def _scored(job: Job, pairs: Sequence[Pair], models: Mapping[str, Path], note: str) -> Outcome:
    how = job.networks
    methods: list[Method] = [
        NetworkMethod(name, str(path), how.backend, how.precision, how.threads)
        for name, path in models.items()
    ]
    methods += [FolderMethod(name, folder) for name, folder in job.given.fused.items()]
    metrics = [name for name in job.table.columns.values() if name in JUDGED_BY]
    job.work.mkdir(parents=True, exist_ok=True)
    with Journal(job.work / f"table_{job.table.number}.jsonl") as journal:
        results = judge(pairs, methods, metrics, journal, how.jobs)
    if not any(result.scores for result in results):
        raise DataError(f"none of {len(results)} images could be scored; the first: {results[0].reason}")
    # One data set; whatever the day and the night of it are by themselves is not the paper's.
    (rows,) = means(results).values()
    values = {name: {metric: row.get(metric) for metric in metrics} for name, row in rows.items()}
    return Outcome(values, (note, *_gaps(results, len(pairs))))


def _gaps(results: Sequence[Result], pairs: int) -> list[str]:
    """Of each method that lacks images, how many there are and why one of them is missing."""
    missing = {result.method: result.reason for result in results if not result.scores}
    found = Counter(result.method for result in results if result.scores)
    return [
        f"{name}: {found[name]} of {pairs} images could be scored; one of the others: {reason}"
        for name, reason in missing.items()
    ]


def _with_times(job: Job, found: Outcome) -> Outcome:
    times, notes = timed(job, _models(job))
    values = {name: {**row, **times.get(name, {})} for name, row in found.values.items()}
    return Outcome(values, (*found.notes, *notes))
