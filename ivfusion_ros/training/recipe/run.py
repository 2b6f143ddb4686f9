"""Running a recipe: stages in order in one run folder, each from where it stopped, and the model's row.

A run folder holds `recipe.yaml` (everything that the run is made of), a folder for each stage with
`stage.json` once it is done, the model as ONNX, and `models.yaml` with its row.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any

import yaml

from ivfusion_ros.errors import ConfigError, ModelError
from ivfusion_ros.files import read_yaml, write_whole
from ivfusion_ros.sources.layouts import find_pairs
from ivfusion_ros.training.fusion.config import MAY_CHANGE
from ivfusion_ros.training.fusion.provenance import differences, files_identity, versions
from ivfusion_ros.training.recipe.kinds import KINDS, Result
from ivfusion_ros.training.recipe.names import check_names, check_test
from ivfusion_ros.training.recipe.recipe import Recipe, Stage
from ivfusion_ros.training.recipe.row import write_row
from ivfusion_ros.types import CAMERAS

if TYPE_CHECKING:
    from ivfusion_ros.training.recipe.taken import Taken

log = logging.getLogger(__name__)

_RECIPE, _TOY = "recipe.yaml", "--toy"

Hold = Callable[[], AbstractContextManager[Event]]
"""Holds back Ctrl-C and SIGTERM, for a stage that stops by itself when the event is set."""


@dataclass(frozen=True)
class Inputs:
    """What a run is given apart from its recipe.

    data: folders to train on. test: folders never trained on, to judge by.
    names: of the folders with the thermal and the rgb images. init: a checkpoint, for a training by itself.
    """

    data: tuple[Path, ...]
    test: tuple[Path, ...] = ()
    names: tuple[str, str] = CAMERAS
    init: Path | None = None
    resume: bool = False


@dataclass(frozen=True)
class Context:
    """What a stage has at hand."""

    recipe: Recipe
    stage: Stage
    run: Path
    inputs: Inputs
    hold: Hold
    results: Mapping[str, Result] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """The stage's own folder."""
        return self.run / self.stage.name

    @property
    def learner(self) -> Any:
        """Settings of the stage that the setting `learner` names."""
        name = self.stage.config.learner
        return next(stage.config for stage in self.recipe.stages if stage.name == name)

    def take(self, setting: str) -> Path:
        """The file or folder that a setting of the stage names. Raises ModelError where there is none."""
        taken = KINDS[self.stage.kind].takes[setting]
        try:
            return self.find(getattr(self.stage.config, setting), taken)
        except ModelError as error:
            raise ModelError(f"{setting}: {error}") from error

    def find(self, reference: str, taken: Taken) -> Path:
        """A file or folder by the stage that made it, by path, or by a model's name. Raises ModelError."""
        if reference in self.results:
            return self.run / str(self.results[reference][taken.key])
        return taken.outside(reference)

    def relative(self, path: Path) -> str:
        """As a stage's result holds it."""
        return str(path.relative_to(self.run))


def run_recipe(recipe: Recipe, run: Path, inputs: Inputs, hold: Hold) -> None:
    """Run all stages that are not done. Raises IvfusionError, KeyboardInterrupt with how to go on."""
    try:
        _run_stages(recipe, run, inputs, hold)
    except KeyboardInterrupt as stop:
        if stop.args:
            raise
        raise KeyboardInterrupt(_how_to_go_on(recipe, run)) from None


def _how_to_go_on(recipe: Recipe, run: Path) -> str:
    """For who stopped it before a first step, or in a stage that has none."""
    kept = ("last.pt", "state.pt") if recipe.plain else (_RECIPE,)
    if any((run / name).exists() for name in kept):
        return f"--resume goes on in {run}"
    return "nothing was kept yet; begin again, without --resume"


def began_as_toy(run: Path) -> bool:
    """Whether a run folder is of a recipe that was begun with --toy."""
    path = run / _RECIPE
    return path.is_file() and bool(read_yaml(path).get("toy"))


def _run_stages(recipe: Recipe, run: Path, inputs: Inputs, hold: Hold) -> None:
    done = [stage.name for stage in recipe.stages if _done(run, stage).exists()]
    check_names(recipe, done, inputs.init)
    if recipe.plain:
        _run_stage(Context(recipe, recipe.stages[0], run, inputs, hold))
        return
    check_test(recipe, inputs.test, inputs.data, inputs.names)
    begun = _write_or_compare(recipe, run, inputs)
    try:
        results = _results(recipe, run, inputs, hold)
    except Exception:
        if begun:
            _take_back(recipe, run)
        raise
    write_row(recipe, run, inputs, results)


def _results(recipe: Recipe, run: Path, inputs: Inputs, hold: Hold) -> dict[str, Result]:
    """What all stages made, by their names."""
    results: dict[str, Result] = {}
    for number, stage in enumerate(recipe.stages, 1):
        done = _done(run, stage)
        if done.exists():
            results[stage.name] = json.loads(done.read_text(encoding="utf-8"))["result"]
            log.info("stage %d of %d, %s: done", number, len(recipe.stages), stage.name)
            continue
        log.info("stage %d of %d, %s: %s", number, len(recipe.stages), stage.name, stage.kind)
        (run / stage.name).mkdir(parents=True, exist_ok=True)
        before = time.monotonic()
        result = _run_stage(Context(recipe, stage, run, inputs, hold, dict(results)))
        content = {"kind": stage.kind, "seconds": round(time.monotonic() - before, 1), "result": result}
        write_whole(done, json.dumps(content, indent=2) + "\n")
        results[stage.name] = result
    return results


def _take_back(recipe: Recipe, run: Path) -> None:
    """Remove what says that a run began, where no stage wrote anything."""
    for stage in recipe.stages:
        with suppress(OSError):
            (run / stage.name).rmdir()
    if [path.name for path in run.iterdir()] == [_RECIPE]:
        (run / _RECIPE).unlink()


def _done(run: Path, stage: Stage) -> Path:
    """Where what a stage made is told, once it is done."""
    return run / stage.name / "stage.json"


def _run_stage(context: Context) -> Result:
    return KINDS[context.stage.kind].run(context)


def _write_or_compare(recipe: Recipe, run: Path, inputs: Inputs) -> bool:
    """Begin a run (True), or see that it goes on with the same recipe and data. Raises ConfigError."""
    path, toy = run / _RECIPE, _TOY in recipe.changes
    own = {
        "recipe": recipe.name,
        "stages": {stage.name: stage.settings() for stage in recipe.stages},
        "data": _identities(inputs.data),
        "test": _identities(inputs.test),
    }
    if not path.exists():
        if any(run.iterdir()):
            raise ConfigError(f"{run} holds something else; give another folder with --out")
        begun = {**own, **({"toy": True} if toy else {}), "versions": versions()}
        write_whole(path, yaml.safe_dump(begun, sort_keys=False))
        return True
    if not inputs.resume:
        raise ConfigError(f"{run} holds a run already; continue it with --resume, or give another --out")
    before = read_yaml(path)
    old_versions, was_toy = before.pop("versions", {}), bool(before.pop("toy", False))
    changed = [line for line in differences(before, own) if not _is_free(line)]
    if changed and was_toy != toy:
        how = "with" if was_toy else "without"
        raise ConfigError(f"{run} was begun {how} {_TOY}; go on {how} it, or give another --out")
    if changed:
        raise ConfigError(
            f"{run} is a run of something else ({'; '.join(changed)}); give the same, or another --out"
        )
    for line in differences(old_versions, versions()):
        log.warning("since the run began: %s; the weights may be others than without the stop", line)
    return False


def _is_free(line: str) -> bool:
    """Whether a difference is of a setting that decides how fast, not what."""
    name = line.partition(":")[0]
    return name.startswith("stages.") and name.rpartition(".")[2] in MAY_CHANGE


def _identities(folders: Sequence[Path]) -> dict[str, Any]:
    """Of the files in data folders and the folders below them, by the folders' names."""
    names = [folder.resolve().name for folder in folders]
    result = {}
    for folder, name in zip(folders, names, strict=True):
        files = (path for path in folder.glob("*/*") if path.is_file())
        if not folder.is_dir():
            # A part of a data set that has no folder of its own, or nothing, which is refused.
            files = (path for pair in find_pairs(folder) for path in (pair.thermal, pair.rgb))
        twice = names.count(name) > 1
        result[f"{folder.resolve().parent.name}/{name}" if twice else name] = files_identity(
            folder if folder.is_dir() else folder.parent, files
        )
    return result
