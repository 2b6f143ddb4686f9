"""A recipe: stages in order, from pairs on disk to a model and its figures, in one YAML file.

recipe: refinefuse          # name of the model, and of the run folders
licence: AGPL-3.0-or-later
defaults:                   # by kind, for all stages of it
  fusion: {network: refinefuse, batch: 8}
stages:                     # by name, in order
  train: {kind: fusion, iterations: 4000}
  export: {kind: export, of: train}
  evaluation: {kind: evaluation, of: export, learner: train}
toy:                        # by stage, taken over the rest with --toy
  train: {iterations: 4}
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ivfusion_ros.config.parameters import flatten, make_config, plain
from ivfusion_ros.errors import ConfigError
from ivfusion_ros.files import read_yaml
from ivfusion_ros.training.fusion.config import TrainConfig, check_sections, settings
from ivfusion_ros.training.recipe.kinds import KINDS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

log = logging.getLogger(__name__)

_KEYS = ("recipe", "licence", "defaults", "stages", "toy")


@dataclass(frozen=True)
class Stage:
    """One step of a recipe. name: of its folder within the run; empty: the run folder itself."""

    name: str
    kind: str
    config: Any

    def settings(self) -> dict[str, Any]:
        """Kind and all settings, as YAML holds them."""
        fusion = isinstance(self.config, TrainConfig)
        return {"kind": self.kind, **(settings(self.config) if fusion else plain(self.config))}


@dataclass(frozen=True)
class Recipe:
    """Stages in order.

    changes: options of the command that changed what the file says. plain: one stage without a recipe
    around it, a training by itself.
    """

    name: str
    stages: tuple[Stage, ...]
    licence: str = ""
    changes: tuple[str, ...] = ()
    plain: bool = False


def is_recipe(path: Path) -> bool:
    """Whether a YAML file holds a recipe, not the settings of one training. Raises ConfigError."""
    return "stages" in read_yaml(path)


def single(name: str, kind: str, config: Any) -> Recipe:
    """The recipe that a training by itself is."""
    return Recipe(name, (Stage("", kind, config),), plain=True)


def read_recipe(path: Path, overrides: Mapping[str, Any], toy: bool = False) -> Recipe:
    """A recipe from a file.

    overrides: STAGE.NAME or KIND.NAME to values, taken over the file's. toy: its own for a trial, too.
    Raises ConfigError for unknown names, wrong values and stages that are not there.
    """
    content = read_yaml(path)
    unknown = [key for key in content if key not in _KEYS]
    if unknown:
        raise ConfigError(f"{path}: unknown key {unknown[0]}; known: {', '.join(_KEYS)}")
    stages = _mappings(content, "stages", path)
    if not stages:
        raise ConfigError(f"{path} has no stages")
    changes = _by_stage(flatten(overrides), stages, "--set")
    if toy:
        small = _by_stage(flatten(_mappings(content, "toy", path)), stages, f"{path}: toy")
        changes = {name: small[name] | changes[name] for name in stages}
    defaults = _mappings(content, "defaults", path)
    made = [_stage(path, name, values, defaults, changes[name]) for name, values in stages.items()]
    _check_references(path, made)
    options = [*(["--toy"] if toy else []), *(f"--set={name}={value}" for name, value in overrides.items())]
    name, licence = (str(content.get(key, "")) for key in ("recipe", "licence"))
    return Recipe(name or path.stem, tuple(made), licence, tuple(options))


def _mappings(content: Mapping[str, Any], key: str, path: Path) -> dict[str, Any]:
    """A mapping of mappings; empty where there is none."""
    value = content.get(key) or {}
    if not isinstance(value, dict) or not all(isinstance(item, dict) for item in value.values()):
        raise ConfigError(f"{path}: {key} is {type(value).__name__}, expected `name: {{setting: value}}`")
    return value


def _by_stage(
    values: Iterator[tuple[str, Any]], stages: Mapping[str, Any], source: str
) -> dict[str, dict[str, Any]]:
    """STAGE.NAME: value, or KIND.NAME for all stages of a kind -> by stage, names without it."""
    result: dict[str, dict[str, Any]] = {name: {} for name in stages}
    for full, value in values:
        target, _, name = full.partition(".")
        chosen = [target] if target in stages else _of_kind(stages, target)
        if not chosen or not name:
            known = ", ".join(
                dict.fromkeys([*stages, *(str(item.get("kind")) for item in stages.values())])
            )
            raise ConfigError(f"{source}: {full} names no stage; expected STAGE.NAME with one of {known}")
        for stage in chosen:
            result[stage][name] = value
    return result


def _of_kind(stages: Mapping[str, Any], kind: str) -> list[str]:
    return [name for name, item in stages.items() if item.get("kind") == kind]


def _stage(
    path: Path,
    name: str,
    values: Mapping[str, Any],
    defaults: Mapping[str, Any],
    changes: Mapping[str, Any],
) -> Stage:
    own = dict(values)
    kind = str(own.pop("kind", ""))
    where = f"{path}: stage {name}"
    if kind not in KINDS:
        raise ConfigError(f"{where} is of kind {kind!r}, expected one of {', '.join(KINDS)}")
    if not name.isidentifier():
        raise ConfigError(f"{where}: a stage's name is also a folder's, use letters, digits and _")
    merged = dict(flatten(defaults.get(kind, {}))) | dict(flatten(own))
    merged |= with_epochs(changes, merged, f"stage {name}: ") if kind == "detector" else changes
    config = make_config(KINDS[kind].config, merged, where)
    if isinstance(config, TrainConfig):
        check_sections(config)
    return Stage(name, kind, config)


def with_epochs(changes: Mapping[str, Any], settings: Mapping[str, Any], where: str = "") -> dict[str, Any]:
    """Changes of a detector's settings: epochs among them end the settings' hours, which would win."""
    if "epochs" not in changes or "hours" in changes or not settings.get("hours"):
        return dict(changes)
    log.info(
        "%sepochs are given: %s, so that hours are 0, not %s", where, changes["epochs"], settings["hours"]
    )
    return {**changes, "hours": 0.0}


def _check_references(path: Path, stages: list[Stage]) -> None:
    """Raises ConfigError where a stage takes what only a later one makes, or its learner is none."""
    names = [stage.name for stage in stages]
    for index, stage in enumerate(stages):
        kind = KINDS[stage.kind]
        for reference in kind.takes:
            value = getattr(stage.config, reference)
            if value in names[index:]:
                raise ConfigError(
                    f"{path}: stage {stage.name} takes {reference} from {value}, which comes no sooner"
                )
        learner = getattr(stage.config, "learner", "")
        if kind.learners and not any(
            each.name == learner and each.kind in kind.learners for each in stages
        ):
            raise ConfigError(
                f"{path}: stage {stage.name}: learner is {learner!r}, expected a stage of kind "
                f"{' or '.join(kind.learners)}"
            )
