"""The stages of fusion networks: a teacher's images, training, figures."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from tqdm import tqdm

from ivfusion_ros.errors import DataError, ModelError
from ivfusion_ros.evaluation.fusion.journal import Journal
from ivfusion_ros.evaluation.fusion.judge import judge
from ivfusion_ros.evaluation.fusion.methods import NetworkMethod
from ivfusion_ros.evaluation.fusion.pairs import Pair, read_pairs
from ivfusion_ros.evaluation.fusion.report import page
from ivfusion_ros.evaluation.fusion.sheet import write_sheet
from ivfusion_ros.evaluation.fusion.tables import image_rows, means, to_csv
from ivfusion_ros.files import write_whole
from ivfusion_ros.graphs.onnx_file import read_metadata
from ivfusion_ros.images.pairs import spread
from ivfusion_ros.networks import load_checkpoint, load_weights, make_network, save_checkpoint
from ivfusion_ros.networks.graph import NETWORK_KEY
from ivfusion_ros.sources.published import pairs_to_judge_by
from ivfusion_ros.training.fusion.data import read_luminance
from ivfusion_ros.training.fusion.prune import prune
from ivfusion_ros.training.fusion.split import split_folders, told
from ivfusion_ros.training.fusion.teacher import Teacher
from ivfusion_ros.training.fusion.trainer import Trainer

if TYPE_CHECKING:
    from pathlib import Path

    from ivfusion_ros.images.pairs import PairPaths
    from ivfusion_ros.training.recipe.kinds import Result
    from ivfusion_ros.training.recipe.run import Context
    from ivfusion_ros.training.recipe.stages import FusionStage

HELD_OUT = "held_out"
"""What the held-out pairs are called among the data sets that figures are of."""

_SHEET_ROWS = 6


def prepare_teacher(context: Context) -> Result:
    """Fuse all pairs of the learner; those that are there stay."""
    model = context.take("model")
    learner = context.learner
    split = split_folders(context.inputs.data, context.inputs.names, learner)
    pairs = [*split.training, *split.validation]
    Teacher(model, context.folder).prepare(pairs, learner.threads)
    path = context.relative(model) if model.is_relative_to(context.run) else str(model)
    return {"model": path, "images": context.relative(context.folder)}


def train(context: Context) -> Result:
    """Train from the start, or on from the last checkpoint."""
    trainer = _trainer(context)
    begun = (context.folder / "last.pt").exists()
    if context.inputs.resume if context.recipe.plain else begun:
        trainer.resume()
    with context.hold() as stopped:
        trainer.fit(stopped.is_set)
    identity = trainer.split.identity()
    best = context.folder / ("best.pt" if (context.folder / "best.pt").exists() else "last.pt")
    return {
        "weights": context.relative(best),
        "network": context.stage.config.network,
        "data": told(context.inputs.data, identity),
    }


def take_mean(context: Context) -> Result:
    """Write the mean of two networks' weights as a checkpoint. Raises ModelError, ConfigError."""
    config = context.stage.config
    first, second = (context.take(name) for name in ("of", "other"))
    name = load_checkpoint(first)["network"]
    path = context.folder / "mean.pt"
    save_checkpoint(path, {"network": name, "weights": mean_weights(name, first, second, config.share)})
    return {"weights": context.relative(path), "network": name}


def mean_weights(name: str, first: Path, second: Path, share: float) -> dict[str, torch.Tensor]:
    """Weights of a network by name: those of the first file, and a share of the second's in their place.

    Raises ModelError where a file does not hold this network.
    """
    network, other = make_network(name), make_network(name)
    load_weights(network, first)
    load_weights(other, second)
    others = other.state_dict()
    torn = [key for key, weight in network.state_dict().items() if weight.shape != others[key].shape]
    if torn:
        raise ModelError(f"{first} and {second} differ in channels, as of {torn[0]}; prune their mean")
    return {
        key: torch.lerp(weight, others[key], share) if weight.is_floating_point() else weight
        for key, weight in network.state_dict().items()
    }


def prune_channels(context: Context) -> Result:
    """Write a network with fewer channels as a checkpoint. Raises ModelError, DataError."""
    config = context.stage.config
    split = split_folders(context.inputs.data, context.inputs.names, config)
    source = context.take("of")
    name = _network_name(source)
    network = make_network(name).eval()
    load_weights(network, source)
    pairs = tqdm(spread(split.training, config.pairs), unit="pair", desc="looked at")
    inputs = (_inputs(pair, int(getattr(network, "stride"))) for pair in pairs)  # noqa: B009 (hidden type)
    weights = prune(network, inputs, config.error, config.multiple)
    path = context.folder / "pruned.pt"
    save_checkpoint(path, {"network": name, "weights": weights})
    return {
        "weights": context.relative(path),
        "network": name,
        "data": told(context.inputs.data, split.identity()),
    }


def _network_name(path: Path) -> str:
    """Of the network whose weights a checkpoint or an exported file holds. Raises ModelError."""
    if path.suffix != ".onnx":
        return str(load_checkpoint(path)["network"])
    name = read_metadata(path).get(NETWORK_KEY)
    if name is None:
        raise ModelError(
            f"{path} does not name its network; expected a fusion network of `ivfusion export`"
        )
    return name


def _inputs(pair: PairPaths, stride: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Thermal and visible, (1, 1, H, W) in [0, 1], of what a network of this stride takes of a pair."""
    planes = torch.from_numpy(read_luminance(pair)[:2]).float() / 255
    height, width = (side // stride * stride for side in planes.shape[1:])
    thermal, visible = planes[:, None, None, :height, :width]
    return thermal, visible


def _trainer(context: Context) -> Trainer:
    config: FusionStage = context.stage.config
    start = context.take("init") if config.init else context.inputs.init
    cache = None
    teacher = None
    if config.teacher:
        teacher = context.take("teacher")
        made = context.results.get(config.teacher, {})
        cache = context.run / str(made["images"]) if "images" in made else None
    return Trainer(
        config,
        context.inputs.data,
        context.folder,
        start,
        context.inputs.names,
        teacher=teacher,
        teacher_cache=cache,
    )


def evaluate(context: Context) -> Result:
    """Score a model on the learner's held-out pairs, and on the test folders, which have the last word."""
    config = context.stage.config
    split = split_folders(context.inputs.data, context.inputs.names, context.learner)
    held = [_pair(pair) for pair in split.validation]
    tests = read_pairs(context.inputs.test, context.inputs.names, find=pairs_to_judge_by)
    pairs = [*held, *tests]
    if not pairs:
        raise DataError(
            "nothing is held out to judge the model by; give folders with --test, or a larger "
            f"{config.learner}.validation_fraction"
        )
    model = context.take("of")
    method = NetworkMethod(context.recipe.name, str(model), config.backend, "auto", 0)
    with Journal(context.folder / "scores.jsonl") as journal:
        results = judge(pairs, [method], config.metrics, journal, config.jobs)
    if not any(result.scores for result in results):
        raise DataError(f"none of {len(results)} images could be scored; the first: {results[0].reason}")
    write_sheet(context.folder / "sheet.png", pairs, [method], results, config.metrics[0], _SHEET_ROWS)
    write_whole(context.folder / "images.csv", to_csv(image_rows(results)))
    write_whole(context.folder / "results.md", page(results, {}, ["sheet.png"]))
    by_set = {data: next(iter(rows.values())) for data, rows in means(results).items()}
    deciding = next((data for data in by_set if data != HELD_OUT), HELD_OUT)
    return {"figures": _rounded(by_set[deciding]), "figures_of": deciding}


def _pair(pair: PairPaths) -> Pair:
    folder = pair.thermal.resolve().parents[1].name
    return Pair(HELD_OUT, f"{folder}_{pair.stem}", pair.thermal, pair.rgb, pair.labels)


def _rounded(scores: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 4) for name, value in scores.items()}
