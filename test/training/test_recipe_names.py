"""A recipe with a wrong name is refused at once, and a run in which nothing was made leaves nothing."""

from pathlib import Path

import pytest
import yaml

pytest.importorskip("torch", reason="training dependencies are not installed")
pytest.importorskip("onnx", reason="training dependencies are not installed")

from training_samples import pair_folder

from ivfusion_ros.cli import main
from ivfusion_ros.errors import BackendError, ConfigError, DataError, ModelError
from ivfusion_ros.training.fusion.trainer import Trainer

FUSION = {
    "kind": "fusion",
    "network": "refinefuse_lite",
    "crop": 64,
    "batch": 2,
    "iterations": 1,
    "precision": "f32",
    "threads": 1,
    "validation_fraction": 0.4,
    "validation": {"pairs": 2, "metrics": ["VIF"]},
}
EXPORT = {"kind": "export", "of": "train"}
EVALUATION = {"kind": "evaluation", "of": "export", "learner": "train"}


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    return pair_folder(tmp_path / "pairs")


def words(tmp_path: Path, data: Path, stages: dict[str, object], *more: str) -> list[str]:
    recipe = tmp_path / "mine.yaml"
    content = {"recipe": "mine", "licence": "none", "stages": stages}
    recipe.write_text(yaml.safe_dump(content, sort_keys=False))
    return ["train", str(recipe), "--data", str(data), "--out", str(tmp_path / "run"), *more]


@pytest.mark.parametrize(
    ("stage", "error", "message"),
    [
        ({**EXPORT, "of": "trian"}, ModelError, "late, of: trian is no stage before it and no file"),
        ({**EXPORT, "of": "export"}, ConfigError, "late, of: stage export makes model, expected weights"),
        ({**EVALUATION, "of": "refinefuse_lit"}, ModelError, "'refinefuse_lit', did you mean refinefuse_l"),
        ({**EVALUATION, "of": "yolov5n"}, ModelError, "late, of: yolov5n is a model for detection"),
        ({**EVALUATION, "of": "train"}, ConfigError, "late, of: stage train makes weights, expected model"),
        (
            {**EVALUATION, "learner": "export"},
            ConfigError,
            "'export', expected a stage of kind fusion or i",
        ),
        (
            {**EVALUATION, "metrics": ["VIFF"]},
            ConfigError,
            "late, metrics: unknown 'VIFF', did you mean VIF",
        ),
        ({**EVALUATION, "backend": "openvin"}, BackendError, "late, backend: unknown backend 'openvin'"),
        (
            {**FUSION, "network": "refinefus"},
            ConfigError,
            "late, network: unknown 'refinefus', did you mean",
        ),
        (
            {**FUSION, "loss": "multiscal"},
            ConfigError,
            "late, loss: unknown 'multiscal', did you mean multis",
        ),
        ({**FUSION, "teacher": "mts"}, ModelError, "late, teacher: unknown model 'mts', did you mean mst"),
        (
            {**FUSION, "validation": {"metrics": ["VIF", "people"]}},
            ConfigError,
            "late, validation: unknown 'people', expected one of",
        ),
        (
            {**FUSION, "terms": {"detection": {"weight": 1.0, "detector": "gone.safetensors"}}},
            ConfigError,
            "late, terms: detection.detector is 'gone.safetensors': there is no model file at",
        ),
        (
            {**FUSION, "terms": {"detection": {"weight": 1.0, "detector": "gone.safetensors"}}},
            ConfigError,
            "with --set STAGE.terms.detection.detector=FILE (without STAGE. for one training alone) give a",
        ),
        (
            {**FUSION, "terms": {"detection": {"weight": 1.0, "detector": "yolov5n_int8"}}},
            ModelError,
            "yolov5n_int8.onnx holds no YOLOv5 with anchors",
        ),
        (
            {"kind": "teacher_images", "learner": "export"},
            ConfigError,
            "'export', expected a stage of kind",
        ),
        (
            {"kind": "dataset", "images": ["rgb", "mts:0.5"]},
            ModelError,
            "late, images: unknown model 'mts'",
        ),
        ({"kind": "dataset", "images": ["rgb:2"]}, ConfigError, "late, images: 'rgb:2' asks for a share"),
        (
            {"kind": "dataset", "teacher": "gone.onnx"},
            ModelError,
            "late, teacher: there is no model file at",
        ),
        ({"kind": "dataset", "class_map": "gone.yaml"}, ConfigError, "late, class_map: "),
        (
            {"kind": "detection_evaluation", "of": "yolov5n", "data": ".", "models": ["mst", "yolov5n"]},
            ModelError,
            "late, models: yolov5n is a model for detection",
        ),
        ({"kind": "int8", "of": "yolov5n", "images": "gone"}, ModelError, "late, images: gone is no stage"),
        (
            {"kind": "int8", "of": "yolov5s", "images": "."},
            ModelError,
            "late, of: the detector is in half precision; give the one in f32, which `ivfusion export",
        ),
        (
            {"kind": "int8", "of": "yolov5n_int8", "images": "."},
            ModelError,
            "late, of: the detector is in int",
        ),
        ({"kind": "matcher_evaluation", "of": "matcher"}, ConfigError, "expected a stage of kind matcher"),
    ],
)
def test_a_wrong_name_is_told_before_the_first_stage(
    pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    stage: dict[str, object], error: type[Exception], message: str,
) -> None:  # fmt: skip
    monkeypatch.setattr(Trainer, "__init__", lambda *_, **__: pytest.fail("the first stage began"))
    stages = {"train": FUSION, "export": EXPORT, "late": stage}
    for more in ((), ("--dry-run",)):
        assert main(words(tmp_path, pairs, stages, *more)) == error.exit_code
        assert message in " ".join(capsys.readouterr().err.split())
        assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"detector": "yolov5q"}, ConfigError, "late, detector: ultralytics has no network 'yolov5q', exp"),
        (
            {"paste": {"objects": "gone"}},
            DataError,
            "late, paste: gone has no cut-outs; expected CLASS.zip",
        ),
    ],
)
def test_a_wrong_setting_of_a_detector_is_told_before_the_first_stage(
    pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    settings: dict[str, object], error: type[Exception], message: str,
) -> None:  # fmt: skip
    pytest.importorskip("ultralytics")
    monkeypatch.setattr(Trainer, "__init__", lambda *_, **__: pytest.fail("the first stage began"))
    stages = {"train": FUSION, "late": {"kind": "detector", "data": ".", **settings}}
    for more in ((), ("--dry-run",)):
        assert main(words(tmp_path, pairs, stages, *more)) == error.exit_code
        assert message in " ".join(capsys.readouterr().err.split())
        assert not (tmp_path / "run").exists()


def test_a_network_that_ultralytics_lacks_is_told_of_one_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It said that 'yolov5q.yaml' does not exist."""
    pytest.importorskip("ultralytics")
    options = ["--data", str(tmp_path), "--set", "detector=yolov5q"]
    assert main(["train", "yolov5n", *options]) == ConfigError.exit_code
    assert "ultralytics has no network 'yolov5q', expected a name such as" in capsys.readouterr().err


def test_folders_to_judge_by_are_looked_at_before_the_first_stage(
    pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An empty one was told hours later, and where no stage judges by it nothing was said."""
    monkeypatch.setattr(Trainer, "__init__", lambda *_, **__: pytest.fail("the first stage began"))
    empty = tmp_path / "empty"
    empty.mkdir()
    judged = {"train": FUSION, "export": EXPORT, "evaluation": EVALUATION}
    for stages, folder, error, message in (
        (judged, empty, DataError, f"{empty} has 0 images in thermal/ and 0 in rgb/"),
        (judged, pairs, ConfigError, f"--test {pairs} has 12 pairs, of which --data has 12 to"),
        (
            {"train": FUSION, "export": EXPORT},
            pairs,
            ConfigError,
            "--test is for stages of kind evaluation",
        ),
    ):
        for more in ((), ("--dry-run",)):
            assert main([*words(tmp_path, pairs, stages, *more), "--test", str(folder)]) == error.exit_code
            assert message in " ".join(capsys.readouterr().err.split())
            assert not (tmp_path / "run").exists()


def test_names_of_stages_that_are_done_may_be_gone(pairs: Path, tmp_path: Path) -> None:
    assert main(words(tmp_path, pairs, {"train": FUSION})) == 0
    start = tmp_path / "start.pt"
    (tmp_path / "run" / "train" / "last.pt").rename(start)
    stages = {"train": {**FUSION, "init": str(start)}}
    other = ["--out", str(tmp_path / "other")]
    assert main([*words(tmp_path, pairs, stages), *other]) == 0
    start.unlink()
    assert main([*words(tmp_path, pairs, stages), *other, "--resume"]) == 0


@pytest.mark.parametrize(
    "stages",
    [
        {"train": FUSION, "export": EXPORT},
        {"teacher": {"kind": "teacher_images", "model": "mst"}, "train": {**FUSION, "teacher": "teacher"}},
        {"dataset": {"kind": "dataset"}},
        {"train": {"kind": "matcher"}},
    ],
    ids=["fusion", "teacher", "dataset", "matcher"],
)
def test_a_run_without_data_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stages: dict[str, object]
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.chdir(tmp_path)
    assert main(words(tmp_path, empty, stages)[:-2]) == DataError.exit_code
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "mine.yaml"]
    assert main(words(tmp_path, empty, stages)) == DataError.exit_code
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "mine.yaml"]


def test_what_a_stage_made_stays_where_the_next_one_fails(pairs: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.onnx"
    other.write_bytes(b"none")
    mean = {"kind": "mean", "of": "train", "other": str(other)}
    assert main(words(tmp_path, pairs, {"train": FUSION, "mean": mean})) == ModelError.exit_code
    assert (tmp_path / "run" / "recipe.yaml").is_file()
    assert (tmp_path / "run" / "train" / "stage.json").is_file()
