"""`ivfusion train`: train a fusion network on folders of registered pairs, or a detector on a data set."""

from __future__ import annotations

import argparse
import logging
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ivfusion_ros.commands.interruption import held_back
from ivfusion_ros.commands.options import add_folders_option
from ivfusion_ros.config.parameters import Parameter, assignments, iter_parameters, load_config
from ivfusion_ros.errors import BackendError, ConfigError
from ivfusion_ros.files import read_yaml
from ivfusion_ros.models import share_folder
from ivfusion_ros.training.detector.config import DetectorConfig
from ivfusion_ros.training.fusion.config import TrainConfig, load_train_config
from ivfusion_ros.training.runs import latest_run, new_run

if TYPE_CHECKING:
    from collections.abc import Iterator

log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options; one for each field of TrainConfig and of DetectorConfig."""
    parser.add_argument("config", help="YAML file, or name of one in config/train, for example refinefuse")
    parser.add_argument(
        "--data",
        nargs="+",
        type=Path,
        required=True,
        metavar="DIR",
        help="folders with thermal/, rgb/ and optionally labels/; for a detector: one folder of "
        "`ivfusion dataset`",
    )
    add_folders_option(parser)
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="run folder (default: a number of its own in runs/CONFIG)"
    )
    parser.add_argument(
        "--resume", action="store_true", help="continue from the run folder's last checkpoint"
    )
    parser.add_argument("--init", type=Path, metavar="FILE", help="start from this checkpoint's weights")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="any setting, also those in sections, for example schedule.name=cosine; the last one of a "
        "name counts",
    )
    shared = {item.name: item for item in iter_parameters(DetectorConfig)}
    for item in _outside_sections(TrainConfig):
        _add_option(parser, item, shared.pop(item.name, None))
    group = parser.add_argument_group("detectors only")
    for item in shared.values():
        _add_option(group, item)


def _outside_sections(kind: type[Any]) -> Iterator[Parameter]:
    return (item for item in iter_parameters(kind) if "." not in item.name)


def run(options: argparse.Namespace) -> None:
    """Train. Raises IvfusionError."""
    path = _config_path(options.config)
    with _run_folder(options, path.stem) as folder:
        kind = _train_detector if "detector" in read_yaml(path) else _train_fusion
        kind(options, path, folder)


@contextmanager
def _run_folder(options: argparse.Namespace, name: str) -> Iterator[Path]:
    """--out, or a number of its own below runs/NAME; gone again where nothing was written."""
    runs = Path("runs") / name
    if options.out is not None:
        folder = options.out
    else:
        folder = latest_run(runs) if options.resume else new_run(runs)
    try:
        yield folder
    finally:
        for empty in (folder,) if options.out is not None else (folder, runs, runs.parent):
            with suppress(OSError):
                empty.rmdir()


def _train_fusion(options: argparse.Namespace, path: Path, folder: Path) -> None:
    try:
        from ivfusion_ros.training.fusion.train import Trainer
    except ImportError as error:
        raise BackendError(f"training needs torch ({error}); run: pip install torch") from error
    config = load_train_config(path, _given(options))
    trainer = Trainer(config, options.data, folder, options.init, tuple(options.folders))
    if options.resume:
        trainer.resume()
    with held_back() as stopped:
        trainer.fit(stopped.is_set)
    log.info("checkpoints in %s; make a model with `ivfusion export`", trainer.run)


def _train_detector(options: argparse.Namespace, path: Path, folder: Path) -> None:
    if len(options.data) != 1:
        raise ConfigError(f"--data has {len(options.data)} folders, expected one of `ivfusion dataset`")
    try:
        from ivfusion_ros.training.detector.train import DetectorTrainer
    except ImportError as error:
        raise BackendError(
            f"training a detector needs ultralytics and openvino ({error}); run: "
            "pip install ultralytics openvino"
        ) from error
    config = load_config(DetectorConfig, path, _given(options))
    trainer = DetectorTrainer(config, options.data[0], folder, start=options.init, resume=options.resume)
    trainer.train()
    log.info("checkpoint: %s; make a model with `ivfusion export`", trainer.last)


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


def _given(options: argparse.Namespace) -> dict[str, Any]:
    """What the command line sets, by field; one of the wrong config class is refused as unknown."""
    names = {item.name for kind in (TrainConfig, DetectorConfig) for item in _outside_sections(kind)}
    given = {name: value for name in names if (value := getattr(options, name)) is not None}
    return given | assignments(options.set, "--set")


def _config_path(name: str) -> Path:
    if Path(name).is_file():
        return Path(name)
    folder = share_folder("config") / "train"
    # Those of the ablations are found by name too, and not listed.
    for path in (folder / f"{name}.yaml", folder / "ablation" / f"{name}.yaml"):
        if path.is_file():
            return path
    names = ", ".join(sorted(path.stem for path in folder.glob("*.yaml")))
    raise ConfigError(f"unknown training config {name!r}, expected a YAML file or one of {names}")
