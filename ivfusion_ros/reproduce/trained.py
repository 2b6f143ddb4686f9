"""Models of a table's rows: trained by their settings where the user gave no weights, and exported."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import torch

from ivfusion_ros.export.fusion import export_fusion
from ivfusion_ros.models import file_sha256, share_folder
from ivfusion_ros.networks.checkpoint import load_checkpoint
from ivfusion_ros.networks.graph import build_graph
from ivfusion_ros.training.fusion.config import load_train_config
from ivfusion_ros.training.fusion.trainer import Trainer

if TYPE_CHECKING:
    from pathlib import Path

    from ivfusion_ros.reproduce.job import Job
    from ivfusion_ros.reproduce.paper import Row
    from ivfusion_ros.training.fusion.config import TrainConfig

log = logging.getLogger(__name__)

TRAINED_ON = "msrs"
TESTED_ON = "msrs_test"


def row_config(job: Job, row: Row) -> TrainConfig:
    """A row's setting in config/train, trained as the paper does. Raises ConfigError.

    With the data set for testing at hand, nothing of that for training is held out.
    """
    path = share_folder("config") / "train" / f"{row.train}.yaml"
    changes = dict(job.paper.training)
    if TESTED_ON in job.given.data:
        changes["validation_fraction"] = 0.0
    return load_train_config(path, changes)


def trained_model(job: Job, row: Row) -> Path:
    """The ONNX file of a row's network with the user's weights, or with those of a training here.

    A training that was stopped goes on; one that is done is not made again. Raises IvfusionError.
    """
    weights = job.given.weights.get(row.key) or _train(job, row)
    # Named by its weights, so that others make another one.
    path = job.work / f"{row.key}_{file_sha256(weights)[:12]}.onnx"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        network = load_checkpoint(weights)["network"]
        export_fusion(build_graph(network, weights), network, path)
    return path


def untrained_model(job: Job, row: Row, path: Path) -> None:
    """Write a row's network with random weights: what it costs does not depend on them."""
    torch.manual_seed(0)
    network = row_config(job, row).network
    export_fusion(build_graph(network), network, path)


def _train(job: Job, row: Row) -> Path:
    run = job.work / row.key
    trainer = Trainer(row_config(job, row), [job.data(TRAINED_ON)], run, names=job.names(TRAINED_ON))
    last = run / "last.pt"
    if last.exists():
        trainer.resume()
    if trainer.step < trainer.steps:
        log.info("%s: training", _place(job, row))
        with job.hold() as stopped:
            trainer.fit(stopped.is_set)
    return last


def _place(job: Job, row: Row) -> str:
    """A training's name, and the how-manieth of the table it is."""
    keys = list(dict.fromkeys(other.key for other in job.table.rows.values() if other.train))
    return f"{row.key} ({keys.index(row.key) + 1} of {len(keys)})"
