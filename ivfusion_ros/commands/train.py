"""`ivfusion train`: train a fusion network on folders of registered pairs, or a detector on a data set."""

from __future__ import annotations

import logging
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ivfusion_ros.commands.interruption import held_back
from ivfusion_ros.config.parameters import assignments, load_config
from ivfusion_ros.errors import ConfigError, did_you_mean
from ivfusion_ros.files import alone_in, read_yaml
from ivfusion_ros.models import resolve_model, share_folder
from ivfusion_ros.options.train import outside_sections
from ivfusion_ros.sources.layouts import find_pairs
from ivfusion_ros.training.detector.config import DetectorConfig
from ivfusion_ros.training.fusion.config import TrainConfig, load_train_config
from ivfusion_ros.training.fusion.split import split_folders
from ivfusion_ros.training.matcher.config import SplitConfig
from ivfusion_ros.training.recipe.names import check_names, check_test
from ivfusion_ros.training.recipe.recipe import Recipe, is_recipe, read_recipe, single, with_epochs
from ivfusion_ros.training.recipe.run import Inputs, began_as_toy, run_recipe
from ivfusion_ros.training.recipe.stages import DetectorStage, FusionStage
from ivfusion_ros.training.recipe.toy import write_toy_data
from ivfusion_ros.training.runs import latest_run, new_run

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from ivfusion_ros.models import ModelTask

log = logging.getLogger(__name__)

_TASKS: dict[str, ModelTask] = {"fusion": "fusion", "detector": "detection"}
"""What the networks are for, by the kind of a training by itself."""


def run(options: argparse.Namespace) -> None:
    """Train. Raises IvfusionError."""
    path = config_path(options.config)
    recipe = _recipe(path, options)
    if not options.data and not options.toy:
        raise ConfigError(f"there is nothing to train on; {_what_to_give(options, recipe.name)}")
    start = resolve_model(options.init, _TASKS[recipe.stages[0].kind]) if options.init else None
    if options.dry_run:
        _tell(options, path, recipe, start)
        return
    with _run_folder(options, recipe.name) as folder:
        data = options.data or write_toy_data(folder.parent / "toy_data")
        inputs = Inputs(tuple(data), tuple(options.test), tuple(options.folders), start, options.resume)
        run_recipe(recipe, folder, inputs, held_back)
        log.info("made %s", folder)


def _what_to_give(options: argparse.Namespace, name: str) -> str:
    if not options.resume:
        return "give folders with --data"
    run = options.out or latest_run(Path("runs") / name)
    if began_as_toy(run):
        return f"{run} was begun with --toy: give that again"
    return f"give the folders with --data with which {run} was begun"


def _tell(options: argparse.Namespace, path: Path, recipe: Recipe, start: Path | None) -> None:
    """What --dry-run prints. Raises IvfusionError for what is not there or cannot be trained on."""
    print(f"settings: {path}")
    check_names(recipe, init=start)
    if is_recipe(path):
        check_test(recipe, options.test, options.data, tuple(options.folders))
        for stage in recipe.stages:
            print(f"stage: {stage.name}")
    for folder in (*options.data, *options.test):
        if not folder.exists():
            # Unless it is a part of a data set that has no folder of its own.
            find_pairs(folder)
        print(f"reads: {folder}")
    configs = [stage.config for stage in recipe.stages]
    learner = next((config for config in configs if isinstance(config, (TrainConfig, SplitConfig))), None)
    if learner is not None and options.data:
        split = split_folders(options.data, tuple(options.folders), learner)
        print(f"pairs: {len(split.training)} to train on, {len(split.validation)} held out")
    if not options.data:
        print("reads: simulated pairs, which it writes first")
    print(f"writes: {options.out or f'a new folder in runs/{recipe.name}'}")


def _recipe(path: Path, options: argparse.Namespace) -> Recipe:
    """What a file asks for, a training by itself included. Raises ConfigError."""
    if is_recipe(path):
        _refuse_for_recipes(options)
        return read_recipe(path, assignments(options.set, "--set"), options.toy)
    if options.toy or options.test:
        raise ConfigError(f"{path} holds the settings of one training; --toy and --test are for recipes")
    content = read_yaml(path)
    if "detector" in content:
        given = with_epochs(_given(options), content)
        return single(path.stem, "detector", load_config(DetectorStage, path, given))
    return single(path.stem, "fusion", load_train_config(path, _given(options), FusionStage))


def _refuse_for_recipes(options: argparse.Namespace) -> None:
    """Raises ConfigError for what is said of one training, where there are several."""
    given = [*_given_alone(options), *(["init"] if options.init else [])]
    if given:
        raise ConfigError(
            f"--{given[0].replace('_', '-')} is for one training, and this is a recipe; say of which "
            f"stage: --set STAGE.{given[0]}=VALUE"
        )


@contextmanager
def _run_folder(options: argparse.Namespace, name: str) -> Iterator[Path]:
    """--out, or a number of its own below runs/NAME; gone again where nothing was written."""
    runs = Path("runs") / name
    if options.out is not None:
        folder = options.out
    else:
        folder = latest_run(runs) if options.resume else new_run(runs)
    try:
        with alone_in(folder):
            yield folder
    finally:
        for empty in (folder,) if options.out is not None else (folder, runs, runs.parent):
            with suppress(OSError):
                empty.rmdir()


def _given(options: argparse.Namespace) -> dict[str, Any]:
    """What the command line sets, by field; one of the wrong config class is refused as unknown."""
    return _given_alone(options) | assignments(options.set, "--set")


def _given_alone(options: argparse.Namespace) -> dict[str, Any]:
    """Likewise, by options of their own."""
    names = {item.name for kind in (TrainConfig, DetectorConfig) for item in outside_sections(kind)}
    return {name: value for name in names if (value := getattr(options, name)) is not None}


def config_path(name: str) -> Path:
    """Settings by the name of a file, or of one in config/train. Raises ConfigError."""
    if Path(name).is_file():
        return Path(name)
    folder = share_folder("config") / "train"
    # Those of the ablations are found by name too, and not listed.
    for path in (folder / f"{name}.yaml", folder / "ablation" / f"{name}.yaml"):
        if path.is_file():
            return path
    known = sorted(str(path.relative_to(folder).with_suffix("")) for path in _listed(folder))
    raise ConfigError(
        f"unknown training config {name!r}, {did_you_mean(name, known)}expected a YAML file or one of "
        f"{', '.join(known)}"
    )


def _listed(folder: Path) -> list[Path]:
    """Settings and recipes that a user picks from; those of ablations are found by name too."""
    return [*folder.glob("*.yaml"), *(folder / "recipes").glob("*.yaml")]
