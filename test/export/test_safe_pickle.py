"""No checkpoint that comes in runs a program, whatever its format."""

import pickle
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from ivfusion_ros.cli import main
from ivfusion_ros.errors import ModelError
from ivfusion_ros.export.safe_pickle import check_is_data
from ivfusion_ros.networks.checkpoint import load_checkpoint


class Payload:
    """Touches a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


class Evaluated:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return eval, (f"open({str(self.path)!r}, 'w')",)


def save_zip(content, path: Path) -> None:
    torch.save(content, path)


def save_legacy(content, path: Path) -> None:
    torch.save(content, path, _use_new_zipfile_serialization=False)


def save_plain(content, path: Path) -> None:
    path.write_bytes(pickle.dumps(content))


@pytest.mark.parametrize("payload", [Payload, Evaluated])
@pytest.mark.parametrize("save", [save_zip, save_legacy, save_plain])
def test_a_payload_never_runs(tmp_path, monkeypatch, save, payload, capsys) -> None:
    monkeypatch.setenv("YOLO_OFFLINE", "true")
    monkeypatch.chdir(tmp_path)
    run, path = tmp_path / "run", tmp_path / "x.pt"
    # The name makes it look like a detector of ultralytics.
    content = {"model": payload(run), "network": "mst", "weights": "ultralytics.nn.tasks DetectionModel"}
    save(content, path)
    assert main(["export", str(path), "x.onnx", "--detector"]) in (5, 6)
    assert main(["export", str(path), "x.onnx"]) == 5
    with pytest.raises(ModelError):
        check_is_data(path, path)
    with pytest.raises(ModelError):
        load_checkpoint(path)
    assert not run.exists() and not (tmp_path / "x.onnx").exists()
    assert "Traceback" not in capsys.readouterr().err


def test_layers_are_data(tmp_path) -> None:
    path = tmp_path / "a.pt"
    torch.save({"model": torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.SiLU())}, path)
    # torch's own reader of data refuses them.
    with pytest.raises(pickle.UnpicklingError):
        torch.load(path, weights_only=True)
    check_is_data(path, path)


@pytest.mark.parametrize(
    "content",
    [
        [], {}, {"network": "mst"}, {"network": "mst", "weights": [1, 2]}, {"network": 3, "weights": {}},
        {"network": "mst", "weights": {"a": "b"}}, {"network": "mst", "weights": {}, "ema": [1]},
    ],
    ids=range(7),
)  # fmt: skip
def test_odd_checkpoints_are_refused(tmp_path, content) -> None:
    torch.save(content, tmp_path / "a.pt")
    with pytest.raises(ModelError, match="is not a checkpoint"):
        load_checkpoint(tmp_path / "a.pt")
