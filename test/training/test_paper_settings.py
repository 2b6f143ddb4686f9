"""Settings named after the papers train as the papers do, and run."""

from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="training dependencies are not installed")

from training_samples import pair_folder

from ivfusion_ros.cli import main
from ivfusion_ros.config.parameters import flatten
from ivfusion_ros.errors import ConfigError
from ivfusion_ros.files import read_yaml
from ivfusion_ros.models import share_folder
from ivfusion_ros.networks.checkpoint import load_checkpoint
from ivfusion_ros.training.fusion.config import load_train_config, settings

FOLDER = share_folder("config") / "train"
PRINTED = {
    # RefineFuse, "Implement details".
    "refinefuse_paper": ("sgd", 1e-3, 8, 256, 300, "constant", True),
    # MDA, model.py and option.py of the released code.
    "mda": ("adam", 1e-5, 24, 192, 2, "exponential", False),
    # TransFusion, args_fusion.py of the released code.
    "transfusion_stage1": ("adam", 1e-5, 8, 256, 50, "constant", False),
    "transfusion_stage2": ("adam", 1e-5, 8, 256, 50, "constant", False),
}


@pytest.mark.parametrize("name", PRINTED)
def test_settings_are_the_papers(name: str) -> None:
    config = load_train_config(FOLDER / f"{name}.yaml", {})
    found = (config.optimizer.name, config.learning_rate, config.batch, *config.crop, config.epochs)
    assert (*found, config.schedule.name, config.augment.flip) == PRINTED[name]
    assert config.augment.rotate == config.augment.flip
    assert (config.weight_decay, config.gradient_limit, config.ema, config.precision) == (0, 0, 0, "f32")


def test_refinefuse_trains_on_all_pairs() -> None:
    assert load_train_config(FOLDER / "refinefuse_paper.yaml", {}).validation_fraction == 0


@pytest.mark.parametrize("name", PRINTED)
def test_constants_of_the_papers_losses_stand_in_their_files(name: str) -> None:
    config = load_train_config(FOLDER / f"{name}.yaml", {})
    stated, resolved = dict(flatten(read_yaml(FOLDER / f"{name}.yaml"))), dict(flatten(settings(config)))
    of_loss = {item for item in resolved if item.startswith(f"{config.loss}.")}
    assert of_loss and of_loss <= stated.keys()


def test_steps_that_are_asked_for_are_made() -> None:
    """Not the passes that stand in the file instead."""
    path = FOLDER / "mda.yaml"
    assert load_train_config(path, {"iterations": 4}).epochs == 0
    assert load_train_config(path, {"iterations": 4, "epochs": 3}).epochs == 3


def test_refinefuse_as_printed_runs_to_its_end(tmp_path: Path) -> None:
    pairs, run = pair_folder(tmp_path / "pairs"), tmp_path / "run"
    small = [
        "--epochs",
        "1",
        "--batch",
        "4",
        "--crop",
        "64",
        "--set",
        "validation.pairs=0",
        "--threads",
        "1",
    ]
    words = ["train", "refinefuse_paper", "--data", str(pairs), "--out", str(run), *small]
    assert main(words) == 0
    state = load_checkpoint(run / "last.pt")
    assert state["step"] == 3 and not (run / "best.pt").exists()
    assert state["provenance"]["data"]["training"]["pairs"] == 12
    (group,) = state["optimizer"]["param_groups"]
    assert (group["lr"], group["momentum"], group["weight_decay"]) == (1e-3, 0.9, 0)
    assert {*next(iter(state["optimizer"]["state"].values()))} == {"momentum_buffer"}


def test_a_file_with_a_base_changes_what_it_says(tmp_path: Path) -> None:
    (tmp_path / "first.yaml").write_text("network: mda\noptimizer: {name: sgd, momentum: 0.5}\n")
    second = tmp_path / "second.yaml"
    second.write_text("base: first.yaml\noptimizer: {momentum: 0.7}\n")
    config = load_train_config(second, {"batch": 3})
    assert (config.network, config.batch) == ("mda", 3)
    assert (config.optimizer.name, config.optimizer.momentum) == ("sgd", 0.7)
    (tmp_path / "third.yaml").write_text("base: second.yaml\n")
    with pytest.raises(ConfigError, match=r"based on second\.yaml, which has a base itself"):
        load_train_config(tmp_path / "third.yaml", {})
    second.write_text("base: missing.yaml\n")
    with pytest.raises(ConfigError, match=r"missing\.yaml"):
        load_train_config(second, {})
    second.write_text("base: first.yaml\noptimiser: {name: sgd}\n")
    with pytest.raises(ConfigError, match=r"second\.yaml: unknown parameter optimiser\.name"):
        load_train_config(second, {})
