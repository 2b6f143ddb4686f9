"""The stage that trains a detector; apart from the others, as it alone needs ultralytics."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ivfusion_ros.errors import ConfigError
from ivfusion_ros.training.detector.dataset import written_data
from ivfusion_ros.training.detector.state import STATE
from ivfusion_ros.training.detector.trainer import DetectorTrainer

if TYPE_CHECKING:
    from pathlib import Path

    from ivfusion_ros.training.recipe.kinds import Result
    from ivfusion_ros.training.recipe.run import Context


def train(context: Context) -> Result:
    """Train from the start, or on from where the run stopped."""
    config = context.stage.config
    start = context.take("init") if config.init else context.inputs.init
    begun = (context.folder / STATE).exists()
    trainer = DetectorTrainer(
        config,
        _data(context),
        context.folder,
        start=start,
        resume=context.inputs.resume if context.recipe.plain else begun,
        teacher=context.take("teacher") if config.teacher else None,
        memory=context.take("memory") if config.memory else None,
    )
    with context.hold() as stopped:
        trainer.fit(stopped.is_set)
    weights = context.folder / "weights" / trainer.weights.name
    return {"weights": context.relative(weights), "network": config.detector}


def _data(context: Context) -> Path:
    if not context.recipe.plain:
        return context.take("data")
    if len(context.inputs.data) != 1:
        raise ConfigError(
            f"--data has {len(context.inputs.data)} folders, expected one of `ivfusion dataset`"
        )
    return written_data(context.inputs.data[0], context.folder / "dataset")
