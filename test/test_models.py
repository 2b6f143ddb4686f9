"""models.yaml: what ships is there, intact, and obeys the fusion-graph contract."""

import numpy as np
import pytest

from ivfusion_ros import cli
from ivfusion_ros.backends import load_backend
from ivfusion_ros.config.parameters import make_config
from ivfusion_ros.config.pipeline import PipelineConfig
from ivfusion_ros.errors import ConfigError, ModelError
from ivfusion_ros.fleet.job import Job
from ivfusion_ros.images.files import write_image
from ivfusion_ros.models import file_sha256, read_models, resolve_model
from ivfusion_ros.pipeline.build import build_pipeline
from ivfusion_ros.pipeline.fuser import Fuser

SHIPPED = read_models()
LIMIT_BYTES = 20_000_000


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_model(name: str) -> None:
    entry = SHIPPED[name]
    assert entry.intact, f"{entry.path} does not have the checksum that models.yaml states"
    assert entry.path.stat().st_size < LIMIT_BYTES
    assert {"network", "licence", "data", "command"} <= entry.details.keys()
    backend = load_backend(entry.path, "onnxruntime")
    if entry.task == "fusion":
        Fuser(backend)
    backend.close()


def test_names_and_paths_resolve(blend_model) -> None:
    assert resolve_model("refinefuse") == SHIPPED["refinefuse"].path
    assert resolve_model(str(blend_model)) == blend_model
    with pytest.raises(ModelError, match=r"'refinefus', did you mean refinefuse\? expected a path or one"):
        resolve_model("refinefus")
    with pytest.raises(ModelError, match="no model file at absent"):
        resolve_model("absent.onnx")


def test_what_ships_is_known_by_its_file_too(tmp_path, blend_model, monkeypatch) -> None:
    monkeypatch.chdir(SHIPPED["mst"].path.parent)
    assert resolve_model("mst.onnx", "fusion") == SHIPPED["mst"].path
    with pytest.raises(
        ModelError, match=r"^yolov5n\.onnx is a model for detection .*expected one for fusion:"
    ):
        resolve_model("yolov5n.onnx", "fusion")
    # Of other files it is not known before they are loaded.
    assert resolve_model(str(blend_model), "detection") == blend_model
    with pytest.raises(ModelError, match=r"expected a path or one of yolov5n, yolov5s, yolov5n_int8$"):
        resolve_model("refinefus", "detection")


def test_the_node_and_python_load_nothing_where_a_model_is_for_something_else(monkeypatch) -> None:
    monkeypatch.setattr("ivfusion_ros.pipeline.build.load_backend", lambda *_, **__: pytest.fail("loaded"))
    config = make_config(PipelineConfig, {"fusion.model": "mst", "detection.model": "matcher"})
    with pytest.raises(ModelError, match="matcher is a model for matching"):
        build_pipeline(config)


@pytest.mark.parametrize(
    ("name", "words", "told"),
    [
        ("mst", ["detect", "rgb", "out", "--detector"], "it looks like a model for fusion (--model,"),
        (
            "matcher",
            ["detect", "rgb", "out", "--detector"],
            "it looks like a model for matching (calibrate",
        ),
        ("matcher", ["fuse", "thermal", "rgb", "out", "--model"], "it looks like a model for matching"),
        ("yolov5n", ["fuse", "thermal", "rgb", "out", "--model"], "like a model for detection (--detector"),
        ("mst", ["calibrate", "thermal", "rgb", "--matcher"], "it looks like a model for fusion (--model"),
    ],
)
def test_a_file_of_one_s_own_that_is_for_something_else(
    name: str, words: list[str], told: str, tmp_path, monkeypatch, capsys
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.onnx").write_bytes(SHIPPED[name].path.read_bytes())
    for camera, shape in (("thermal", (64, 64)), ("rgb", (64, 64, 3))):
        (tmp_path / camera).mkdir()
        write_image(tmp_path / camera / "1.png", np.full(shape, 90, np.uint8))
    assert cli.main([*words, "own.onnx"]) == ModelError.exit_code
    assert told in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_damage_is_seen(tmp_path) -> None:
    (tmp_path / "a.onnx").write_bytes(b"abc")
    digest = file_sha256(tmp_path / "a.onnx")
    assert digest == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    (tmp_path / "models.yaml").write_text(f"a: {{file: a.onnx, task: fusion, sha256: {digest}}}\n")
    assert read_models(tmp_path)["a"].intact
    (tmp_path / "a.onnx").write_bytes(b"abd")
    assert not read_models(tmp_path)["a"].intact
    (tmp_path / "a.onnx").unlink()
    assert not read_models(tmp_path)["a"].present
    (tmp_path / "models.yaml").write_text("a: {file: a.onnx}\n")
    with pytest.raises(ConfigError, match="a needs file, task and sha256"):
        read_models(tmp_path)


def test_a_job_of_a_fleet_holds_the_hashes_of_all_its_models() -> None:
    values = {"fusion.model": "mst", "detection.model": ""}
    values |= {"registration.refine.model": "shift", "registration.refine.matcher": "matcher"}
    models = Job(make_config(PipelineConfig, values)).models
    assert models == {name: SHIPPED[name].sha256 for name in ("mst", "matcher")}
