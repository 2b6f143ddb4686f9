"""Options of `ivfusion train`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ivfusion_ros.config.parameters import Parameter, iter_parameters
from ivfusion_ros.options.outputs import output_folder
from ivfusion_ros.options.sources import add_folders_option
from ivfusion_ros.training.detector.config import DetectorConfig
from ivfusion_ros.training.fusion.config import TrainConfig

if TYPE_CHECKING:
    from collections.abc import Iterator


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options; one for each field of TrainConfig and of DetectorConfig."""
    parser.add_argument(
        "config",
        help="settings of one training or a recipe of several stages: YAML file, or name of one in "
        "config/train, for example refinefuse or recipes/refinefuse",
    )
    parser.add_argument(
        "--data",
        nargs="+",
        type=Path,
        default=[],
        metavar="DIR",
        help="folders with thermal/, rgb/ and optionally labels/, or data sets as they are published, or a "
        "part, LLVIP/train; for a detector: one folder of "
        "`ivfusion dataset`",
    )
    parser.add_argument(
        "--test",
        nargs="+",
        type=Path,
        default=[],
        metavar="DIR",
        help="recipes: folders of pairs that are never trained on; the model's figures are of them",
    )
    parser.add_argument(
        "--toy",
        action="store_true",
        help="recipes: at the size that they state for a trial, on tiny simulated pairs without --data",
    )
    add_folders_option(parser)
    parser.add_argument(
        "--out",
        type=output_folder,
        metavar="DIR",
        help="run folder (default: a number of its own in runs/CONFIG)",
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="say what would be read and written, and end"
    )
    parser.add_argument(
        "--resume", action="store_true", help="continue from the run folder's last checkpoint"
    )
    parser.add_argument(
        "--init",
        metavar="MODEL",
        help="start from the weights of a model that ships, or of this checkpoint or ONNX file",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="any setting, also those in sections, for example schedule.name=cosine; the last one of a "
        "name counts",
    )
    _add_settings(parser)


def _add_settings(parser: argparse.ArgumentParser) -> None:
    shared = {item.name: item for item in iter_parameters(DetectorConfig)}
    for item in outside_sections(TrainConfig):
        _add_option(parser, item, shared.pop(item.name, None))
    group = parser.add_argument_group("detectors only")
    for item in shared.values():
        _add_option(group, item)


def outside_sections(kind: type[Any]) -> Iterator[Parameter]:
    """The settings of a training that have an option of their own."""
    return (item for item in iter_parameters(kind) if "." not in item.name)


def _add_option(group: Any, item: Parameter, other: Parameter | None = None) -> None:
    """An option for one setting, which may also be one of detectors (other), with its own default."""
    default = f"default: {_shown(item)}" + (f", detectors: {_shown(other)}" if other else "")
    group.add_argument(
        f"--{item.name.replace('_', '-')}",
        type=_boolean if item.type is bool else item.entry,
        nargs="+" if item.type is tuple else None,
        help=f"{item.description} ({default})".replace("%", "%%"),
    )


def _shown(item: Parameter) -> str:
    if item.type is tuple:
        return " ".join(map(str, item.default))
    return "none" if item.default == "" else str(item.default)


def _boolean(text: str) -> bool:
    if text not in ("true", "false"):
        raise argparse.ArgumentTypeError(f"{text!r} is neither true nor false")
    return text == "true"
