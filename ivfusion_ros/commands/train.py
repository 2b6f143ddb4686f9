"""`ivfusion train`: train a fusion network on folders of registered pairs."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from ivfusion_ros.errors import BackendError, ConfigError
from ivfusion_ros.models import share_folder
from ivfusion_ros.parameters import iter_parameters, load_config
from ivfusion_ros.training.config import TrainConfig
from ivfusion_ros.training.data import PAIR_FOLDERS

log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options; one for each field of TrainConfig."""
    parser.add_argument("config", help="YAML file, or name of one in config/train, for example refinefuse")
    parser.add_argument(
        "--data", nargs="+", type=Path, required=True, metavar="DIR",
        help="folders with thermal/ and rgb/ and, where there are any, labels/",
    )  # fmt: skip
    parser.add_argument(
        "--folders", nargs=2, default=PAIR_FOLDERS, metavar="NAME",
        help="what thermal/ and rgb/ are called in there, for example MRI PET",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, metavar="DIR", help="run folder; default runs/CONFIG")
    parser.add_argument("--resume", action="store_true", help="go on from the run folder's last checkpoint")
    parser.add_argument("--init", type=Path, metavar="FILE", help="start from this checkpoint's weights")
    for item in iter_parameters(TrainConfig):
        option = f"--{item.name.replace('_', '-')}"
        parser.add_argument(option, type=item.type, help=f"{item.description} (default {item.default})")


def run(options: argparse.Namespace) -> None:
    """Train. Raises IvfusionError."""
    try:
        from ivfusion_ros.training.train import Trainer
    except ImportError as error:
        raise BackendError(
            f"training needs torch ({error}); run: pip install 'ivfusion_ros[train]'"
        ) from error
    given = {item.name: getattr(options, item.name) for item in iter_parameters(TrainConfig)}
    overrides = {name: value for name, value in given.items() if value is not None}
    path = _config_path(options.config)
    config = load_config(TrainConfig, path, overrides)
    run_folder = options.out or Path("runs") / path.stem
    trainer = Trainer(config, options.data, run_folder, options.init, tuple(options.folders))
    if options.resume:
        trainer.resume()
    trainer.fit()
    log.info("checkpoint: %s; make a model with `ivfusion export`", trainer.run / "last.pt")


def _config_path(name: str) -> Path:
    if Path(name).is_file():
        return Path(name)
    folder = share_folder("config") / "train"
    if (folder / f"{name}.yaml").is_file():
        return folder / f"{name}.yaml"
    names = ", ".join(sorted(path.stem for path in folder.glob("*.yaml")))
    raise ConfigError(f"unknown training config {name!r}, expected a YAML file or one of {names}")
