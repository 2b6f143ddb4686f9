"""The stages that make a model of trained weights: ONNX, and int8."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from ivfusion_ros.backends.self_test import halve_file
from ivfusion_ros.export.detector import export_detector, is_detector
from ivfusion_ros.export.fusion import export_fusion
from ivfusion_ros.export.int8 import quantise_detector
from ivfusion_ros.export.int8_fusion import quantise_fusion
from ivfusion_ros.export.matcher import export_matcher
from ivfusion_ros.networks.checkpoint import load_checkpoint, load_weights
from ivfusion_ros.networks.graph import build_graph
from ivfusion_ros.networks.matcher import Matcher
from ivfusion_ros.training.fusion.split import split_folders, told
from ivfusion_ros.training.matcher.trainer import NETWORK as MATCHER

if TYPE_CHECKING:
    from pathlib import Path

    from ivfusion_ros.training.recipe.kinds import Result
    from ivfusion_ros.training.recipe.run import Context
    from ivfusion_ros.types import Size

log = logging.getLogger(__name__)


def export(context: Context) -> Result:
    """Write the network of a checkpoint as NAME.onnx into the run folder, and check it."""
    config = context.stage.config
    weights, path = context.take("of"), _model(context)
    if is_detector(weights):
        names = export_detector(weights, path, (config.width, config.height))
        result = {"task": "detection", "network": f"{', '.join(names)} at {config.width}x{config.height}"}
    elif (network := load_checkpoint(weights)["network"]) == MATCHER:
        result = _export_matcher(weights, path, (config.width, config.height))
    else:
        export_fusion(build_graph(network, weights), network, path)
        result = {"task": "fusion", "network": network}
    if config.half:
        outcome = halve_file(path)
        log.info("half precision: %s", outcome.text)
    return {**result, "model": context.relative(path)}


def _export_matcher(weights: Path, path: Path, size: Size) -> Result:
    matcher = Matcher()
    load_weights(matcher, weights)
    export_matcher(matcher, size, path)
    parameters = sum(weight.numel() for weight in matcher.parameters())
    return {
        "task": "matching",
        "network": f"{MATCHER}, {parameters / 1e6:.2f} M parameters, at {size[0]}x{size[1]}",
    }


def quantise(context: Context) -> Result:
    """Write a detector in int8 as NAME.onnx into the run folder, calibrated on a data set's images."""
    config = context.stage.config
    path = _model(context)
    outcome = quantise_detector(context.take("of"), path, context.take("images"))
    return {
        "model": context.relative(path),
        "task": "detection",
        "network": f"{config.of} in int8; {outcome.text}",
    }


def quantise_fusing(context: Context) -> Result:
    """Write a fusion network in int8 as NAME.onnx into the run folder, calibrated on pairs to train on."""
    config = context.stage.config
    split = split_folders(context.inputs.data, context.inputs.names, config)
    path = _model(context)
    outcome = quantise_fusion(context.take("of"), path, split.training)
    return {
        "model": context.relative(path),
        "task": "fusion",
        "network": f"{config.of} in int8; {outcome.text}",
        "data": told(context.inputs.data, split.identity()),
    }


def _model(context: Context) -> Path:
    """NAME.onnx for the last stage of the recipe that makes a model, NAME_STAGE.onnx for those before."""
    makers = [
        stage.name for stage in context.recipe.stages if stage.kind in ("export", "int8", "int8_fusion")
    ]
    last = context.stage.name == makers[-1]
    suffix = "" if last else f"_{context.stage.name}"
    return context.run / f"{context.recipe.name}{suffix}.onnx"
