"""Recipes: each that ships runs to its end at toy size; one that is killed at every stage ends the same."""

import time
from pathlib import Path

import pytest
import yaml

pytest.importorskip("torch", reason="training dependencies are not installed")
onnx = pytest.importorskip("onnx", reason="training dependencies are not installed")

import forked
import torch
from training_samples import pair_folder

from ivfusion_ros.cli import main
from ivfusion_ros.commands import train as train_command
from ivfusion_ros.config.parameters import flatten
from ivfusion_ros.errors import INTERRUPTED, ConfigError, ModelError
from ivfusion_ros.files import read_yaml
from ivfusion_ros.models import read_models, share_folder
from ivfusion_ros.networks import ALL_NETWORKS, make_network
from ivfusion_ros.networks.checkpoint import load_checkpoint, save_checkpoint
from ivfusion_ros.sources.layouts import find_pairs
from ivfusion_ros.training.fusion.config import MAY_CHANGE
from ivfusion_ros.training.recipe.fusion_stages import mean_weights
from ivfusion_ros.training.recipe.recipe import read_recipe
from ivfusion_ros.training.recipe.toy import write_toy_data

pytestmark = pytest.mark.usefixtures("one_export_per_network")

RECIPES = sorted((share_folder("config") / "train" / "recipes").glob("*.yaml"))
NAMES = [path.stem for path in RECIPES]
SHIPPED = {
    "refinefuse",
    "refinefuse_int8",
    "refinefuse_lite",
    "mda",
    "transfusion",
    "yolov5n",
    "yolov5n_int8",
    "yolov5s",
    "matcher",
}
OF_SCHEDULES = {"one_cycle": ("name", "rise", "start", "end", "high_momentum", "low_momentum")}
OF_TEACHERS = ("imitation", "final_imitation", "forced")
UNUSED_BY_DETECTORS = {
    "anchors": ("box_weight", "class_weight", "distribution_weight"),
    "anchor_free": ("anchors",),
    None: (),
}
SIZES_OF_OPTIONAL = {
    "augment.border_width",
    "augment.fewest_levels",
    "augment.lowest_quality",
    "terms.detection.sure_from",
}


@pytest.fixture(scope="module")
def toy(tmp_path_factory) -> list[Path]:
    return write_toy_data(tmp_path_factory.mktemp("toy"))


def train(recipe: str, data: list[Path], run: Path, *more: str) -> list[str]:
    return ["train", recipe, "--toy", "--data", *map(str, data), "--out", str(run), *more]


def test_every_learned_model_that_ships_has_a_recipe() -> None:
    learned = {name for name in read_models() if name != "mst"}
    assert set(NAMES) >= learned == SHIPPED


def test_toy_pairs_are_registered_and_labelled(toy) -> None:
    assert [folder.name for folder in toy] == ["day", "night"]
    for folder in toy:
        pairs = find_pairs(folder)
        assert len(pairs) == 16 and all(pair.labels for pair in pairs)
    before = pairs[0].thermal.stat().st_mtime_ns
    write_toy_data(toy[0].parent)
    assert pairs[0].thermal.stat().st_mtime_ns == before


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_runs_to_its_end_at_toy_size(name, toy, tmp_path) -> None:
    if "yolov5" in name:
        pytest.importorskip("ultralytics")
        pytest.importorskip("openvino")
    run = tmp_path / "run"
    assert main(train(f"recipes/{name}", toy, run)) == 0
    (entry,) = read_models(run).values()
    assert (entry.name, entry.path, entry.intact) == (name, run / f"{name}.onnx", True)
    assert entry.details["licence"] == "AGPL-3.0-or-later" and "8 held out" in entry.details["data"]
    assert entry.details["command"] == f"ivfusion train recipes/{name} --data day night --toy"
    figures = entry.details["figures"]
    if name == "matcher":
        assert figures["pairs"] == 3 and 0 <= figures["beyond_10_px"] <= 1
    else:
        assert figures["rgb"]["person"] >= 0 if "yolov5" in name else 0 < figures["VIF"] < 2
    onnx.checker.check_model(onnx.load(entry.path))
    assert all((run / stage / "stage.json").is_file() for stage in read_yaml(run / "recipe.yaml")["stages"])


@pytest.mark.parametrize("path", RECIPES, ids=NAMES)
def test_what_shaped_weights_stands_in_the_recipe(path: Path) -> None:
    content = read_yaml(path)
    for stage in read_recipe(path, {}).stages:
        if stage.kind not in ("fusion", "detector", "matcher"):
            continue
        stated = dict(flatten(content.get("defaults", {}).get(stage.kind, {})))
        stated |= dict(flatten(content["stages"][stage.name]))
        resolved = dict(flatten(stage.settings()))
        schedule = OF_SCHEDULES.get(resolved.get("schedule.name"), ())
        # A feature that is not used is 0, empty or false, and its sizes mean nothing.
        silent = {
            name
            for name in resolved.keys() - stated.keys()
            if resolved[name]
            and name not in MAY_CHANGE
            and name not in SIZES_OF_OPTIONAL
            and not (name.startswith("schedule.") and name.partition(".")[2] not in schedule)
            and name not in ("optimizer.momentum", "validation.pictures")
            and not name.startswith(UNUSED_BY_DETECTORS[resolved.get("head")])
            and not (name in OF_TEACHERS and not resolved.get("teacher"))
        }
        assert silent == set(), f"{path.name}, stage {stage.name}"


def weights(run: Path, stage: str) -> dict[str, torch.Tensor]:
    return load_checkpoint(run / stage / "last.pt")["weights"]


CHAIN = """
recipe: chain
licence: none
defaults:
  fusion:
    {network: refinefuse_lite, loss: distillation, teacher: teacher, iterations: 4, batch: 2, crop: 64,
    precision: f32, threads: 1, save_every: 1, validate_every: 2, validation_fraction: 0.2,
    validation.pairs: 2}
stages:
  teacher: {kind: teacher_images, model: mst, learner: train}
  train: {kind: fusion, learning_rate: 3.0e-3}
  refine: {kind: fusion, init: train, learning_rate: 5.0e-4}
  export: {kind: export, of: refine}
  evaluation: {kind: evaluation, of: export, learner: refine, metrics: [VIF, SSIM]}
toy: {}
"""


def test_the_mean_of_two_networks(tmp_path) -> None:
    saved = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        saved.append(make_network("refinefuse_lite").state_dict())
        save_checkpoint(tmp_path / f"{seed}.pt", {"network": "refinefuse_lite", "weights": saved[-1]})
    mean = mean_weights("refinefuse_lite", tmp_path / "1.pt", tmp_path / "2.pt", 0.25)
    assert mean.keys() == saved[0].keys()
    for key, weight in mean.items():
        expected = 0.75 * saved[0][key].double() + 0.25 * saved[1][key].double()
        assert torch.allclose(weight.double(), expected, atol=1e-7), key
    assert any(not torch.equal(saved[0][key], mean[key]) for key in mean)


def test_a_recipe_killed_at_every_stage_ends_with_the_same_bits(toy, tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(ALL_NETWORKS, "refinefuse_lite", forked.NARROW)
    recipe = tmp_path / "chain.yaml"
    recipe.write_text(CHAIN)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert main(train(str(recipe), toy, whole)) == 0
    moments = ("teacher/*/*/*.png", "train/last.pt", "refine/last.pt", "refine/stage.json", "*.onnx")
    words = train(str(recipe), toy, parts)
    for number, moment in enumerate(moments):
        process = forked.start([*words, *(["--resume"] if number else [])], narrow=True)
        while not list(parts.glob(moment)):
            # It may have written, and ended, since.
            assert process.is_alive() or list(parts.glob(moment)), moment
            time.sleep(0.005)
        process.kill()
        process.join()
    assert main(train(str(recipe), toy, parts, "--resume")) == 0
    for stage in ("train", "refine"):
        one, other = weights(whole, stage), weights(parts, stage)
        assert all(torch.equal(one[name], other[name]) for name in one)
        curves = [(run / stage / "curves.csv").read_text() for run in (whole, parts)]
        assert curves[0] == curves[1]
    exported = [
        {item.name: item.raw_data for item in onnx.load(run / "chain.onnx").graph.initializer}
        for run in (whole, parts)
    ]
    assert exported[0] == exported[1]
    rows = [read_yaml(run / "models.yaml")["chain"] for run in (whole, parts)]
    assert rows[0]["figures"] == rows[1]["figures"]


SMALL = """
recipe: small
licence: none
defaults:
  fusion: {network: refinefuse_lite, crop: 64, batch: 2, precision: f32, threads: 1, validation.pairs: 2}
stages:
  first: {kind: fusion, iterations: 2, validation_fraction: 0.4}
  second: {kind: fusion, iterations: 2, validation_fraction: 0.4, init: first}
toy:
  first: {iterations: 1}
"""


@pytest.fixture
def small(tmp_path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(SMALL)
    return path


@pytest.fixture
def pairs(tmp_path) -> Path:
    return pair_folder(tmp_path / "pairs")


def test_defaults_toy_and_options_in_their_order(small) -> None:
    first, second = read_recipe(small, {}).stages
    assert (first.config.crop, first.config.iterations, second.config.init) == ((64,), 2, "first")
    assert read_recipe(small, {}, toy=True).stages[0].config.iterations == 1
    recipe = read_recipe(small, {"first.iterations": 5, "fusion.seed": 3}, toy=True)
    assert recipe.stages[0].config.iterations == 5
    assert [stage.config.seed for stage in recipe.stages] == [3, 3]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("recipe:", "receipt:", "unknown key receipt"),
        ("kind: fusion, iterations: 2, validation_fraction: 0.4, init", "kind: fussion, init", "'fussion'"),
        ("network: refinefuse_lite", "netwrok: x", r"stage first: unknown parameter netwrok; did you mean"),
        ("init: first", "init: second", "takes init from second, which comes no sooner"),
        ("first: {iterations: 1}", "third: {iterations: 1}", "third.iterations names no stage"),
        ("second: {kind: fusion,", "a/b: {kind: fusion,", "letters, digits and _"),
        ("defaults:\n  fusion: {", "defaults: [1]\nextra: {", "unknown key extra|expected `name"),
        ("network: refinefuse_lite", "loss: mda, multiscale.levels: 3", "does nothing with loss mda"),
    ],
)
def test_a_recipe_that_is_wrong_says_where(small, old, new, message) -> None:
    assert old in SMALL
    small.write_text(SMALL.replace(old, new))
    with pytest.raises(ConfigError, match=message):
        read_recipe(small, {}, toy=True)


def run_small(small: Path, pairs: Path, run: Path, *more: str) -> int:
    return main(["train", str(small), "--data", str(pairs), "--out", str(run), *more])


def test_stages_build_on_each_other_and_a_run_is_never_overwritten(small, pairs, tmp_path) -> None:
    run = tmp_path / "run"
    assert run_small(small, pairs, run) == 0
    start = load_checkpoint(run / "second" / "last.pt")["provenance"]["init"]
    assert start["file"] in ("best.pt", "last.pt") and len(start["sha256"]) == 64
    # No stage made a model, so there is no row of one.
    assert not (run / "models.yaml").exists()
    assert run_small(small, pairs, run) == ConfigError.exit_code
    before = (run / "second" / "last.pt").read_bytes()
    assert run_small(small, pairs, run, "--resume") == 0
    assert (run / "second" / "last.pt").read_bytes() == before


def test_a_run_goes_on_with_its_recipe_and_data_only(small, pairs, tmp_path, capsys) -> None:
    run = tmp_path / "run"
    assert run_small(small, pairs, run) == 0
    assert run_small(small, pairs, run, "--resume", "--set", "first.seed=9") == ConfigError.exit_code
    assert "stages.first.seed: was 0, is 9" in capsys.readouterr().err
    other = pair_folder(tmp_path / "other", (1, 2, 3, 4, 5, 6))
    assert run_small(small, other, run, "--resume") == ConfigError.exit_code
    assert "data." in capsys.readouterr().err
    # How fast is another matter.
    assert run_small(small, pairs, run, "--resume", "--set", "fusion.workers=0") == 0


def test_a_stop_before_the_first_step_says_how_to_go_on(
    small, pairs, tmp_path, monkeypatch, capsys
) -> None:
    def stop(*_, **__):
        raise KeyboardInterrupt

    run = tmp_path / "run"
    with monkeypatch.context() as patched:
        patched.setattr("ivfusion_ros.training.fusion.trainer.Trainer.fit", stop)
        assert run_small(small, pairs, run) == INTERRUPTED
    assert f"interrupted; --resume goes on in {run}" in capsys.readouterr().err
    assert run_small(small, pairs, run, "--resume") == 0
    plain = tmp_path / "plain"
    words = ["train", "refinefuse_cpu", "--data", str(pairs), "--out", str(plain), "--iterations", "1"]
    with monkeypatch.context() as patched:
        patched.setattr("ivfusion_ros.training.fusion.trainer.Trainer.fit", stop)
        assert main(words) == INTERRUPTED
    assert "nothing was kept yet; begin again, without --resume" in capsys.readouterr().err
    assert not plain.exists()


def test_a_toy_run_goes_on_as_one_and_no_other_does(small, pairs, tmp_path, capsys) -> None:
    run, real = tmp_path / "toy", tmp_path / "real"
    assert run_small(small, pairs, run, "--toy") == run_small(small, pairs, real) == 0
    assert main(["train", str(small), "--out", str(run), "--resume"]) == ConfigError.exit_code
    assert f"{run} was begun with --toy: give that again" in capsys.readouterr().err
    assert main(["train", str(small), "--out", str(real), "--resume"]) == ConfigError.exit_code
    assert f"give the folders with --data with which {real} was begun" in capsys.readouterr().err
    assert run_small(small, pairs, run, "--resume") == ConfigError.exit_code
    assert f"{run} was begun with --toy; go on with it, or" in capsys.readouterr().err
    assert run_small(small, pairs, real, "--toy", "--resume") == ConfigError.exit_code
    assert f"{real} was begun without --toy; go on without it, or" in capsys.readouterr().err
    assert run_small(small, pairs, run, "--toy", "--resume") == 0


def test_toy_pairs_are_written_where_no_data_are_given(small, pairs, tmp_path, monkeypatch) -> None:
    written, trained_on = [], []
    monkeypatch.setattr(train_command, "write_toy_data", lambda folder: written.append(folder) or [folder])
    monkeypatch.setattr(train_command, "run_recipe", lambda *given: trained_on.append(given[2].data))
    words = ["train", str(small), "--toy", "--out", str(tmp_path / "run")]
    assert main([*words, "--data", str(pairs)]) == 0
    assert written == [] and trained_on == [(pairs,)]
    assert main(words) == 0
    assert written == [tmp_path / "toy_data"] and trained_on == [(pairs,), (tmp_path / "toy_data",)]


def test_options_of_one_training_are_refused_for_a_recipe_and_the_other_way_round(
    small, pairs, tmp_path, capsys
) -> None:
    assert run_small(small, pairs, tmp_path / "run", "--iterations", "3") == ConfigError.exit_code
    assert "--set STAGE.iterations=VALUE" in capsys.readouterr().err
    words = ["train", "refinefuse_cpu", "--data", str(pairs), "--out", str(tmp_path / "run"), "--toy"]
    assert main(words) == ConfigError.exit_code
    assert main(["train", str(small), "--out", str(tmp_path / "run")]) == ConfigError.exit_code
    assert "give folders with --data" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_stage_that_takes_what_is_not_there(small, pairs, tmp_path, capsys) -> None:
    more = ("--set", "first.init=nothing.pt")
    assert run_small(small, pairs, tmp_path / "run", *more) == ModelError.exit_code
    assert "stage first, init: nothing.pt is no stage before it and no file" in capsys.readouterr().err


def test_figures_are_of_the_test_folders_where_there_are_any(toy, pairs, tmp_path) -> None:
    recipe = tmp_path / "mine.yaml"
    content = yaml.safe_load(SMALL)
    content["stages"] = {
        "train": {"kind": "fusion", "iterations": 1, "validation_fraction": 0.4},
        "export": {"kind": "export", "of": "train"},
        "evaluation": {"kind": "evaluation", "metrics": ["EN", "VIF"]},
    }
    recipe.write_text(yaml.safe_dump(content | {"toy": {}}, sort_keys=False))
    run = tmp_path / "run"
    assert main(["train", str(recipe), "--data", str(pairs), "--test", str(toy[0]), "--out", str(run)]) == 0
    row = read_yaml(run / "models.yaml")["small"]
    assert row["figures_of"] == "day" and row["figures"].keys() == {"EN", "VIF"}
    assert row["command"] == f"ivfusion train recipes/small --data {pairs.name} --test day"
    assert "held_out" in (run / "evaluation" / "results.md").read_text()
