"""What a recipe names, looked at before its first stage begins: the last may come hours later."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ivfusion_ros.backends.choice import resolve_backend
from ivfusion_ros.detection.classes import read_class_map
from ivfusion_ros.errors import ConfigError, IvfusionError, did_you_mean
from ivfusion_ros.evaluation.fusion.methods import check_methods
from ivfusion_ros.evaluation.fusion.names import METRIC_NAMES
from ivfusion_ros.metrics.names import EYE_NAMES, PAPER_NAMES
from ivfusion_ros.sources.published import pairs_to_judge_by, pairs_to_learn_from
from ivfusion_ros.training.recipe.kinds import KINDS
from ivfusion_ros.training.recipe.taken import DETECTION, FUSION, WEIGHTS, Taken
from ivfusion_ros.types import CAMERAS

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from ivfusion_ros.training.detector.config import PasteConfig
    from ivfusion_ros.training.fusion.config import ValidationConfig
    from ivfusion_ros.training.fusion.loss_config import TermsConfig
    from ivfusion_ros.training.recipe.recipe import Recipe, Stage

    Makers = Mapping[str, str]
    """Kinds of the stages before one, by their names."""


def check_names(recipe: Recipe, done: Collection[str] = (), init: Path | None = None) -> None:
    """See that the stages which are not done have their libraries, and that what they name is there.

    init: the start of a training by itself. Raises BackendError, ConfigError or ModelError, with the stage
    and the setting.
    """
    makers: dict[str, str] = {}
    for stage in recipe.stages:
        if stage.name not in done:
            _check_stage(stage, makers, alone=recipe.plain)
            if stage.kind == "detector":
                _check_start(stage, makers, init)
        makers[stage.name] = stage.kind


def check_test(
    recipe: Recipe, folders: Sequence[Path], data: Sequence[Path], names: tuple[str, str]
) -> None:
    """See that the folders to judge by have pairs, not those to train on, and that a stage judges by them.

    data: folders to train on. names: as find_pairs'. Raises DataError, ConfigError.
    """
    if folders and not any(stage.kind == "evaluation" for stage in recipe.stages):
        raise ConfigError(
            "--test is for stages of kind evaluation, of which this recipe has none; leave it out, and "
            "judge the result by `ivfusion eval` or, if it is a detector, `ivfusion eval-detection`"
        )
    if not folders:
        return
    learned = {pair.thermal.resolve() for folder in data for pair in pairs_to_learn_from(folder, names)}
    for folder in folders:
        judged = pairs_to_judge_by(folder, names)
        both = sum(pair.thermal.resolve() in learned for pair in judged)
        if both:
            raise ConfigError(
                f"--test {folder} has {len(judged)} pairs, of which --data has {both} to train on; give "
                "pairs that are never trained on"
            )


def _check_stage(stage: Stage, makers: Makers, *, alone: bool) -> None:
    """alone: as a training by itself, which is given its data by the command."""
    kind = KINDS[stage.kind]
    kind.load()
    where = "" if alone else f"stage {stage.name}, "
    named = [setting for setting in kind.takes if not (alone and setting == "data")]
    checks = _CHECKS.get(stage.kind, {})
    for setting in dict.fromkeys((*named, *checks)):
        value = getattr(stage.config, setting)
        try:
            if setting in named and value:
                _check_taken(value, kind.takes[setting], makers)
            if setting in checks:
                checks[setting](value, makers)
        except IvfusionError as error:
            raise type(error)(f"{where}{setting}: {error}") from error


def _check_start(stage: Stage, makers: Makers, init: Path | None) -> None:
    """init: of a training by itself, as no setting of the stage."""
    from ivfusion_ros.training.detector.ultralytics_settings import check_start

    named = stage.config.init
    if named in makers:
        return
    try:
        check_start(stage.config, WEIGHTS.outside(named) if named else init)
    except ConfigError as error:
        raise ConfigError(f"{f'stage {stage.name}, ' if stage.name else ''}{error}") from error


def _check_taken(reference: str, taken: Taken, makers: Makers) -> None:
    if reference not in makers:
        taken.outside(reference)
    elif taken.key not in (makes := KINDS[makers[reference]].makes):
        raise ConfigError(
            f"stage {reference} makes {' and '.join(makes) or 'figures alone'}, expected {taken.key}"
        )


def _check_known(names: Iterable[str], known: Iterable[str], listed: Iterable[str] = ()) -> None:
    """listed: those of the known ones that an error names, all where none are given."""
    known = tuple(known)
    for name in names:
        if name not in known:
            raise ConfigError(
                f"unknown {name!r}, {did_you_mean(name, known)}expected one of {', '.join(listed or known)}"
            )


def _check_network(name: str, _: Makers) -> None:
    from ivfusion_ros.networks import ALL_NETWORKS, NETWORKS

    _check_known([name], ALL_NETWORKS, NETWORKS)


def _check_loss(name: str, _: Makers) -> None:
    from ivfusion_ros.training.fusion.losses import LOSSES
    from ivfusion_ros.training.fusion.losses.refinefuse_ablation import REFINEFUSE_ABLATION

    _check_known([name], (*LOSSES, *REFINEFUSE_ABLATION), LOSSES)


def _check_validation(config: ValidationConfig, _: Makers) -> None:
    _check_known(config.metrics, (*PAPER_NAMES, *EYE_NAMES))


def _check_terms(config: TermsConfig, _: Makers) -> None:
    from ivfusion_ros.training.fusion.losses import TERMS

    if config.detection.weight:
        TERMS["detection"](config.detection)


def _check_images(texts: Iterable[str], makers: Makers) -> None:
    from ivfusion_ros.training.detector.kinds import Kind

    for model in (Kind.parse(text).model for text in texts):
        if model not in CAMERAS:
            _check_taken(model, FUSION, makers)


def _check_detector(name: str, _: Makers) -> None:
    from ivfusion_ros.training.detector.ultralytics_settings import check_detector

    check_detector(name)


def _check_int8(name: str, makers: Makers) -> None:
    from ivfusion_ros.export.int8 import read_for_int8

    if name not in makers:
        read_for_int8(DETECTION.outside(name))


def _check_paste(config: PasteConfig, _: Makers) -> None:
    from ivfusion_ros.training.detector.paste import check_cut_outs

    if config.objects:
        check_cut_outs(Path(config.objects))


_CHECKS: dict[str, dict[str, Callable[[Any, Makers], object]]] = {
    "fusion": {
        "network": _check_network,
        "loss": _check_loss,
        "validation": _check_validation,
        "terms": _check_terms,
    },
    "dataset": {
        "images": _check_images,
        "class_map": lambda name, _: read_class_map(Path(name) if name else None),
        "backend": lambda name, _: resolve_backend(name),
    },
    "detector": {"detector": _check_detector, "paste": _check_paste},
    "int8": {"of": _check_int8},
    "evaluation": {
        "metrics": lambda names, _: _check_known(names, METRIC_NAMES),
        "backend": lambda name, _: resolve_backend(name),
    },
    "detection_evaluation": {
        "models": lambda models, _: check_methods(models),
        "backend": lambda name, _: resolve_backend(name),
    },
}
"""Of settings that name something else than what Kind.takes has, or more than that, by kind of stage."""
