"""The row of models.yaml that a run ends with."""

from __future__ import annotations

import logging
import shlex
from typing import TYPE_CHECKING, Any

import yaml

from ivfusion_ros.files import write_whole
from ivfusion_ros.graphs.operations import count_operations
from ivfusion_ros.models import file_sha256

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from ivfusion_ros.training.recipe.kinds import Result
    from ivfusion_ros.training.recipe.recipe import Recipe
    from ivfusion_ros.training.recipe.run import Inputs

log = logging.getLogger(__name__)

_SIZE = (256, 256)
"""Width and height at which a fusion network's operations are counted, as papers do."""


def write_row(recipe: Recipe, run: Path, inputs: Inputs, results: Mapping[str, Result]) -> None:
    """Write run/models.yaml for the model that was made last; nothing where none was."""
    made = [result for result in results.values() if "model" in result and "task" in result]
    if not made:
        return
    last, model = made[-1], run / str(made[-1]["model"])
    row: dict[str, Any] = {
        "file": model.name,
        "task": last["task"],
        "sha256": file_sha256(model),
        "network": _network(last, model),
        "licence": recipe.licence,
        "data": _data(results),
        "command": _command(recipe, inputs),
        "recipe_sha256": file_sha256(run / "recipe.yaml"),
        **_figures(results),
    }
    path = run / "models.yaml"
    write_whole(path, yaml.safe_dump({recipe.name: row}, sort_keys=False, width=110))
    log.info("%s: %s; its row for models.yaml: %s", recipe.name, model, path)


def _network(result: Result, model: Path) -> str:
    if result["task"] != "fusion":
        return str(result["network"])
    parameters, operations = count_operations(model, _SIZE)
    return (
        f"{result['network']}, {parameters / 1e6:.2f} M parameters, {operations / 1e9:.3g} G multiply-adds "
        f"at {_SIZE[0]}x{_SIZE[1]}"
    )


def _data(results: Mapping[str, Result]) -> str:
    told = [str(result["data"]) for result in results.values() if "data" in result]
    return "; ".join(dict.fromkeys(told))


def _command(recipe: Recipe, inputs: Inputs) -> str:
    """What makes the model again."""
    words = ["ivfusion", "train", f"recipes/{recipe.name}", "--data", *_named(inputs.data)]
    words += ["--test", *_named(inputs.test)] if inputs.test else []
    return shlex.join([*words, *recipe.changes])


def _named(folders: Sequence[Path]) -> list[str]:
    """As they were given; of absolute paths, which say where on this machine they lie, the name alone."""
    return [folder.name if folder.is_absolute() else folder.as_posix() for folder in folders]


def _figures(results: Mapping[str, Result]) -> dict[str, Any]:
    """Of the last evaluation, and the data that they are of."""
    found = [result for result in results.values() if "figures" in result]
    return {key: found[-1][key] for key in ("figures_of", "figures")} if found else {}
