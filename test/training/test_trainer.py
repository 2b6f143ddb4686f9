"""A run on disk: resumed ones are equal to the bit, checkpoints, curves, pictures, what is refused."""

import csv
import logging
import math
import os
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

torch = pytest.importorskip("torch", reason="training dependencies are not installed")

import forked
from training_samples import config, pair_folder

from ivfusion_ros.cli import main
from ivfusion_ros.config.parameters import load_config
from ivfusion_ros.errors import INTERRUPTED, ConfigError, IvfusionError, ModelError
from ivfusion_ros.metrics import METRICS
from ivfusion_ros.networks.checkpoint import load_checkpoint
from ivfusion_ros.networks.graph import build_graph
from ivfusion_ros.sources.layouts import find_pairs
from ivfusion_ros.training.fusion.config import (
    AugmentConfig,
    OptimizerConfig,
    TrainConfig,
    ValidationConfig,
    settings,
)
from ivfusion_ros.training.fusion.data import read_luminance
from ivfusion_ros.training.fusion.trainer import Trainer
from ivfusion_ros.training.runs import latest_run, new_run


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return pair_folder(tmp_path_factory.mktemp("pairs"))


def lite(**changes) -> TrainConfig:
    return config(**({"network": "refinefuse_lite", "validation": ValidationConfig(pictures=1)} | changes))


def rows(run: Path) -> list[dict[str, str]]:
    with (run / "curves.csv").open() as file:
        return list(csv.DictReader(file))


def weights_of(run: Path, name: str = "last.pt") -> dict[str, torch.Tensor]:
    return load_checkpoint(run / name)["weights"]


def assert_equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert torch.equal(value, other[name]), name


def stopper(steps: int):
    """Asks to stop after so many questions."""
    asked = iter(range(10**6))
    return lambda: next(asked) >= steps


ALL = {
    "ema": 0.9,
    "precision": "bf16",
    "crop": (32, 64, 0),
    "multiscale": load_config(TrainConfig, None, {"multiscale.fidelity_weight": 0}).multiscale,
    "augment": AugmentConfig(noise=5.0, border=0.5, jpeg=0.5, gain=0.2),
}


CHANGES = {"plain": {}, "all": ALL, "sgd": {"optimizer": OptimizerConfig("sgd")}}


@pytest.fixture(scope="module", params=CHANGES)
def whole_run(request, folder, tmp_path_factory) -> tuple[TrainConfig, Path]:
    """Settings, and a run of theirs that nothing stopped."""
    settings, run = lite(**CHANGES[request.param], iterations=5), tmp_path_factory.mktemp("runs") / "whole"
    Trainer(settings, [folder], run).fit()
    return settings, run


@pytest.mark.parametrize("asked", [1, 3, 4])
def test_a_stopped_run_resumes_to_the_bit(folder, tmp_path, whole_run, asked) -> None:
    whole, parts = whole_run[1], tmp_path / "parts"
    settings = replace(whole_run[0], workers=asked % 2)
    with pytest.raises(KeyboardInterrupt, match=r"step \d of 5 is in .*--resume"):
        Trainer(settings, [folder], parts).fit(stopper(asked))
    resumed = Trainer(settings, [folder], parts)
    resumed.resume()
    assert 0 < resumed.step < 5
    resumed.fit()
    assert_equal(weights_of(whole), weights_of(parts))
    assert_equal(weights_of(whole, "best.pt"), weights_of(parts, "best.pt"))
    assert rows(whole) == rows(parts) and [row["step"] for row in rows(whole)] == ["2", "4", "5"]


def test_a_run_stopped_in_its_last_validation_is_judged_when_it_goes_on(folder, tmp_path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    Trainer(lite(), [folder], whole).fit()
    stopped = Trainer(lite(), [folder], parts)
    with pytest.raises(KeyboardInterrupt, match="step 4 of 4"):
        stopped.fit(lambda: stopped.step == 4)
    assert [row["step"] for row in rows(parts)] == ["2"]
    resumed = Trainer(lite(), [folder], parts)
    resumed.resume()
    resumed.fit()
    assert rows(whole) == rows(parts)
    assert_equal(weights_of(whole, "best.pt"), weights_of(parts, "best.pt"))


def test_what_a_run_leaves(folder, tmp_path) -> None:
    trainer = Trainer(lite(ema=0.5, validation=ValidationConfig(pictures=6)), [folder], tmp_path / "run")
    trainer.fit()
    run = tmp_path / "run"
    assert load_config(TrainConfig, run / "config.yaml") == trainer.config
    provenance = load_checkpoint(run / "best.pt")["provenance"]
    assert provenance == yaml.safe_load((run / "provenance.yaml").read_text()) == trainer.provenance
    assert provenance["settings"] == settings(trainer.config)
    assert provenance["versions"]["torch"] == torch.__version__
    assert provenance["data"]["validation"]["pairs"] == len(trainer.split.validation) == 6
    pictures = sorted((run / "validation").iterdir())
    assert len(pictures) == 6 and pictures[0].name.endswith("D.png")
    # Three images at full size, and captions above them.
    height, width = cv2.imread(str(pictures[0])).shape[:2]
    assert width == 3 * 128 and height > 96


def test_validation_is_of_whole_images_and_finds_the_best(folder, tmp_path) -> None:
    trainer = Trainer(lite(iterations=6), [folder], tmp_path / "run")
    trainer.fit()
    found = [float(row["validation_VIF"]) for row in rows(tmp_path / "run")]
    best = load_checkpoint(tmp_path / "run" / "best.pt")
    assert best["best"]["VIF"] == pytest.approx(max(found))
    assert best["step"] == 2 + 2 * int(np.argmax(found))
    # What an exported network of these weights scores on the images themselves.
    graph, scores = build_graph("refinefuse_lite", tmp_path / "run" / "best.pt"), []
    for pair in trainer.split.validation:
        thermal, visible, _ = read_luminance(pair)
        grey = torch.from_numpy(np.repeat(visible[:, :, None], 3, 2))[None]
        with torch.no_grad():
            fused = graph(torch.from_numpy(thermal)[None], grey)[0, :, :, 0].numpy()
        scores.append(METRICS["VIF"](thermal, visible, fused))
    assert np.mean(scores) == pytest.approx(max(found), rel=2e-3)


def test_the_loss_or_a_metric_where_less_is_better_chooses_too(folder, tmp_path) -> None:
    for name, metrics in (("loss", ("VIF",)), ("MSE", ("MSE",))):
        run = tmp_path / name
        chosen = ValidationConfig(metrics=metrics, best=name, pairs=2, pictures=1)
        Trainer(lite(iterations=6, validation=chosen), [folder], run).fit()
        found = [float(row[f"validation_{name}"]) for row in rows(run)]
        assert load_checkpoint(run / "best.pt")["best"][name] == pytest.approx(min(found))
        assert len(list((run / "validation").iterdir())) == 1


def test_exported_weights_are_the_mean(folder, tmp_path) -> None:
    trainer = Trainer(lite(ema=0.9), [folder], tmp_path / "run")
    trainer.fit()
    state = load_checkpoint(tmp_path / "run" / "last.pt")
    graph = build_graph("refinefuse_lite", tmp_path / "run" / "last.pt")
    assert_equal(dict(graph.network.state_dict()), state["ema"])
    assert not torch.equal(state["ema"]["head.bias"], state["weights"]["head.bias"])


def test_epochs_are_passes_over_the_pairs(folder, tmp_path) -> None:
    trainer = Trainer(lite(epochs=3, batch=4, validation_fraction=0.0), [folder], tmp_path / "run")
    assert trainer.steps == 9


def test_it_warns_where_nothing_is_held_out(folder, tmp_path, caplog) -> None:
    with caplog.at_level(logging.INFO):
        Trainer(lite(validation_fraction=0.0), [folder], tmp_path / "run").fit()
    assert "nothing is held out" in caplog.text and "s a step, about 0 s left" in caplog.text
    assert not (tmp_path / "run" / "best.pt").exists()
    assert float(rows(tmp_path / "run")[0]["train_intensity"]) > 0


def test_events_for_tensorboard(folder, tmp_path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    Trainer(lite(validation=ValidationConfig(pictures=6)), [folder], tmp_path / "run").fit()
    events = accumulator.EventAccumulator(str(tmp_path / "run" / "tensorboard")).Reload()
    scalars = [(event.step, event.value) for event in events.Scalars("validation/VIF")]
    found = [(int(row["step"]), float(row["validation_VIF"])) for row in rows(tmp_path / "run")]
    assert np.array(scalars) == pytest.approx(np.array(found))
    assert len(events.Tags()["images"]) == 6


def test_without_tensorboard_it_says_so(folder, tmp_path, monkeypatch, caplog) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with caplog.at_level(logging.INFO):
        Trainer(lite(), [folder], tmp_path / "run").fit()
    assert "pip install tensorboard" in caplog.text and len(rows(tmp_path / "run")) == 2


def test_a_loss_that_is_no_number_ends_the_run(folder, tmp_path) -> None:
    trainer = Trainer(lite(), [folder], tmp_path / "run")
    trainer.network.head.bias.data[:] = math.nan
    with pytest.raises(IvfusionError, match="no longer a number at step 2"):
        trainer.fit()


def test_what_a_trainer_refuses(folder, tmp_path) -> None:
    run = tmp_path / "run"
    with pytest.raises(ConfigError, match="multiple of refinefuse's stride"):
        Trainer(config(network="refinefuse", crop=(72,)), [folder], run)
    with pytest.raises(ConfigError, match="crop is 32, must be at least 64 for loss multiscale"):
        Trainer(lite(crop=(32,)), [folder], run)
    with pytest.raises(ConfigError, match="unknown loss"):
        Trainer(lite(loss="l3"), [folder], run)
    with pytest.raises(ConfigError, match=r"has 'VIV', expected some of .*VIF"):
        Trainer(lite(validation=ValidationConfig(metrics=("VIV",), best="VIV")), [folder], run)
    with pytest.raises(ConfigError, match="'VIV', expected loss or one of"):
        ValidationConfig(best="VIV")
    trainer = Trainer(lite(), [folder], run)
    with pytest.raises(ModelError, match=r"no checkpoint at .*without --resume"):
        trainer.resume()
    with pytest.raises(ModelError, match=r"cannot read checkpoint .*nope.pt: there is no such file; exp"):
        Trainer(lite(), [folder], run, start=tmp_path / "nope.pt")
    run.mkdir()
    (run / "last.pt").write_bytes(b"broken")
    with pytest.raises(
        ModelError, match=r"last.pt cannot be read .*expected the last.pt of a run"
    ) as refused:
        Trainer(lite(), [folder], run, start=run / "last.pt")
    assert "weights_only" not in str(refused.value)


def test_a_run_goes_on_with_the_same_only(folder, tmp_path) -> None:
    run, other = tmp_path / "run", tmp_path / "other"
    Trainer(lite(), [folder], run).fit()
    with pytest.raises(
        ConfigError, match=r"settings.batch: was 2, is 3; settings.augment.noise: was 0.0, is 1"
    ):
        Trainer(lite(batch=3, augment=AugmentConfig(noise=1.0)), [folder], run).resume()
    pair_folder(other, (1, 2, 3, 50, 51, 52))
    with pytest.raises(ConfigError, match=r"data.training.pairs: was 6, is 3"):
        Trainer(lite(), [other], run).resume()
    with pytest.raises(ConfigError, match=r"init.file: was nothing, is last.pt"):
        Trainer(lite(), [folder], run, start=run / "last.pt").resume()
    with pytest.raises(ConfigError, match=r"holds a run already; continue it with --resume"):
        Trainer(lite(), [folder], run).fit()
    # How fast is another matter.
    Trainer(lite(workers=0, memory_gb=1.0), [folder], run).resume()


def test_a_moved_data_folder_is_the_same_and_a_changed_file_is_not(tmp_path) -> None:
    first = pair_folder(tmp_path / "first" / "street")
    run = tmp_path / "run"
    Trainer(lite(), [first], run).fit()
    second = tmp_path / "second" / "street"
    second.parent.mkdir()
    first.rename(second)
    Trainer(lite(), [second], run).resume()
    changed = find_pairs(second)[0].thermal
    cv2.imwrite(str(changed), np.zeros((96, 128), np.uint8))
    with pytest.raises(ConfigError, match=r"data.\w+.sha256: was"):
        Trainer(lite(), [second], run).resume()


def test_run_folders_are_numbered(tmp_path) -> None:
    runs = tmp_path / "runs" / "lite"
    with pytest.raises(ModelError, match="no run in"):
        latest_run(runs)
    assert [new_run(runs).name for _ in range(3)] == ["001", "002", "003"]
    (runs / "002").rmdir()
    (runs / "notes").mkdir()
    assert (latest_run(runs).name, new_run(runs).name) == ("003", "004")


WORDS = [
    *("--network", "refinefuse_lite", "--batch", "2", "--crop", "32", "64", "--precision", "f32"),
    *("--validation-fraction", "0.4", "--threads", "1", "--set", "multiscale.fidelity_weight=0"),
    *("--set", "validation.pairs=2"),
]


def train(folder: Path, *more: str) -> list[str]:
    return ["train", "refinefuse_cpu", "--data", str(folder), *WORDS, *more]


def test_the_command_numbers_its_runs_and_goes_on_in_the_last(folder, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    words = train(folder, "--iterations", "2", "--validate-every", "2")
    assert main(words) == main(words) == 0
    runs = tmp_path / "runs" / "refinefuse_cpu"
    assert sorted(path.name for path in runs.iterdir()) == ["001", "002"]
    assert main([*words, "--resume"]) == 0
    assert main([*words, "--resume", "--set", "seed=1"]) == ConfigError.exit_code
    assert main([*words, "--out", str(runs / "001")]) == ConfigError.exit_code
    assert main(["train", "refinefuse_cpu", "--data", str(tmp_path / "nothing")]) != 0
    assert sorted(path.name for path in runs.iterdir()) == ["001", "002"]


@pytest.fixture(scope="module")
def whole_command(folder, tmp_path_factory) -> tuple[list[str], Path]:
    """Words of a training, and a run of theirs that nothing stopped."""
    words = train(folder, "--iterations", "12", "--validate-every", "10", "--save-every", "3")
    run = tmp_path_factory.mktemp("commands") / "whole"
    assert main([*words, "--out", str(run)]) == 0
    return words, run


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_killed_command_goes_on_to_the_same_bits(whole_command, tmp_path, number) -> None:
    words, whole = whole_command
    process = forked.start([*words, "--out", str(tmp_path / "parts")], step_s=1.0)
    while not (tmp_path / "parts" / "last.pt").exists():
        assert process.is_alive()
        time.sleep(0.01)
    os.kill(process.pid, number)
    process.join()
    assert process.exitcode == (-signal.SIGKILL if number == signal.SIGKILL else INTERRUPTED)
    # Well before the first validation.
    assert 3 <= load_checkpoint(tmp_path / "parts" / "last.pt")["step"] < 10
    assert main([*words, "--out", str(tmp_path / "parts"), "--resume"]) == 0
    assert_equal(weights_of(whole), weights_of(tmp_path / "parts"))
    assert rows(whole) == rows(tmp_path / "parts")


def test_what_is_compiled_is_the_network_and_not_its_mean(folder, tmp_path, monkeypatch) -> None:
    compiled = []
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self: compiled.append(self))
    trainer = Trainer(lite(compile=True, ema=0.9), [folder], tmp_path / "run")
    assert compiled == [trainer.network]
    trainer.fit()
