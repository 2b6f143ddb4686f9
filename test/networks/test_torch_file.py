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


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        # A key that is hashed by recursion, which ends the process; and what asks for 17 GB.
        (b"\x80\x02})" + b"\x85" * 200_000 + b"K\x01s.", "deep in each other"),
        (b"\x80\x02cbuiltins\nbytearray\n\x8a\x05\0\0\0\0\x04\x85R.", "bytearray"),
        (b"\x80\x02]a.", "damaged"),
    ],
)
def test_what_torch_would_break_on_is_refused_first(tmp_path, monkeypatch, old, content, reason) -> None:
    if old:
        with (tmp_path / "a.pt").open("wb") as file:
            torch.save({}, file, _use_new_zipfile_serialization=False)
        # The number, the version and the system; then this content.
        begin, _, _ = (tmp_path / "a.pt").read_bytes().rpartition(b"\x80\x02}q\x00.")
        (tmp_path / "a.pt").write_bytes(begin + content)
    else:
        with zipfile.ZipFile(tmp_path / "a.pt", "w") as archive:
            archive.writestr("archive/data.pkl", content)
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("torch reads it"))
    with pytest.raises(ModelError, match=reason):
        load_checkpoint(tmp_path / "a.pt")


def test_nobody_is_told_how_to_run_a_file(tmp_path) -> None:
    with zipfile.ZipFile(tmp_path / "a.pt", "w") as archive:
        archive.writestr("archive/version", "3")
        archive.writestr("archive/byteorder", "little")
        archive.writestr("archive/data.pkl", b"\x80\x02cos\nsystem\nX\x04\x00\x00\x00true\x85R.")
    with pytest.raises(ModelError, match=r"os.system") as refused:
        load_checkpoint(tmp_path / "a.pt")
    assert not {"weights_only", "Re-running", "arbitrary"} & set(
        str(refused.value).replace("`", " ").split()
    )


def test_a_network_is_read(tmp_path) -> None:
    network = torch.nn.Sequential(*(torch.nn.BatchNorm2d(4) for _ in range(600)))
    torch.save({"weights": network.state_dict()}, tmp_path / "a.pt")
    assert len(load_data(tmp_path / "a.pt")["weights"]) == 3000
