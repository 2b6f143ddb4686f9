"""models.yaml: what ships is there, intact, and obeys the fusion-graph contract."""

import pytest

from ivfusion_ros.backends import load_backend
from ivfusion_ros.errors import ConfigError, ModelError
from ivfusion_ros.models import file_sha256, read_models, resolve_model
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
