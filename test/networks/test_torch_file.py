"""Files of torch that only look like some are refused by their form."""

import zipfile

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from ivfusion_ros.errors import ModelError
from ivfusion_ros.networks.checkpoint import load_checkpoint
from ivfusion_ros.networks.torch_file import load_data


def test_both_formats_of_torch_are_read(tmp_path) -> None:
    for name, new in (("new.pt", True), ("old.pt", False)):
        torch.save({"a": torch.arange(3)}, tmp_path / name, _use_new_zipfile_serialization=new)
        assert load_data(tmp_path / name)["a"].tolist() == [0, 1, 2]


def test_a_flood_of_marks_is_not_unpickled(tmp_path, monkeypatch) -> None:
    (tmp_path / "flood.pt").write_bytes(b"(" * 2**20)
    with zipfile.ZipFile(tmp_path / "zip.pt", "w") as archive:
        archive.writestr("archive/data.pkl", b"(" * 2**20)
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("it takes ten seconds"))
    for name in ("flood.pt", "zip.pt"):
        with pytest.raises(ModelError, match="damaged"):
            load_checkpoint(tmp_path / name)
