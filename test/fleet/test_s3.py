"""Recordings and results in an S3 that fails now and then: the same bytes, or a reason."""

import json
import os
import subprocess
import sys
import tempfile

import numpy as np
import pytest

pytest.importorskip("pyarrow", reason="needs pyarrow")
pytest.importorskip("fsspec", reason="needs fsspec")

from loopback_s3 import loopback_s3
from places import ROOT

from ivfusion_ros.bags import BagWriter
from ivfusion_ros.cli import main
from ivfusion_ros.errors import DataError
from ivfusion_ros.fleet import Fleet, Store, find_recordings, open_results
from ivfusion_ros.fleet.store import open_file_system
from ivfusion_ros.types import Frame

COUNT = 4


@pytest.fixture
def s3():
    with loopback_s3() as served:
        yield served


@pytest.fixture
def drives(tmp_path, s3):
    """Recordings that all differ, one of them a folder, here and in s3://team/drives."""
    folder = tmp_path / "drives"
    folder.mkdir()
    rng = np.random.default_rng(1)
    for index in range(COUNT):
        with BagWriter(folder / f"{index}.mcap") as writer:
            for pair in range(5):
                stamp_ns = 10**18 + pair * 10**8
                thermal = rng.integers(29000, 30000, (64, 96), np.uint16)
                writer.write_frame("thermal", Frame(thermal, stamp_ns))
                writer.write_frame("rgb", Frame(rng.integers(0, 200, (64, 96, 3), np.uint8), stamp_ns))
    assert main(["record", str(folder / "0.mcap"), str(folder / "parted")]) == 0
    (folder / "0.mcap").unlink()
    files, _ = open_file_system("s3://team")
    files.put(str(folder), "team/drives", recursive=True)
    s3.requests.clear()
    return folder


def replayed(drives, tmp_path, blend_model):
    """By name: what a replay of each recording writes."""
    made = {}
    for path in sorted(drives.iterdir()):
        words = [path, tmp_path / "one.mcap", "--force", "--model", blend_model, "--detector", ""]
        assert main(["replay", *map(str, words), "--backend", "onnxruntime"]) == 0
        made[path.stem] = (tmp_path / "one.mcap").read_bytes()
    return made


def fused(store, folder):
    """Likewise what a fleet wrote."""
    names = [name for name in store.names(folder) if name.endswith("fused.mcap")]
    return {name.rpartition("-")[0]: store.read(f"{folder}/{name}") for name in names}


def test_errors_on_the_way_change_no_byte(s3, drives, job, here, tmp_path, blend_model) -> None:
    s3.every = 2
    store = Store("s3://team/fused")
    fleet = Fleet(job, find_recordings(["s3://team/drives"], store.root), store)
    assert [row["error"] for row in fleet.fuse(here(job, store))] == [""] * COUNT
    assert min(s3.done[name] for name in ("busy", "reset", "cut")) > 0
    assert fused(store, fleet.folder) == replayed(drives, tmp_path, blend_model)
    assert not Fleet(job, find_recordings(["s3://team/drives"], store.root), store).left
    assert len(open_results("s3://team/fused").fused) == COUNT


@pytest.mark.parametrize(
    ("method", "key", "fault", "said"),
    [
        ("GET", "1.mcap", "busy", "cannot read s3://team/drives/1.mcap: Please reduce your request rate"),
        ("GET", "1.mcap", "reset", "s3://team/drives/1.mcap cannot be read (ConnectionClosedError"),
        ("GET", "1.mcap", "cut", "s3://team/drives/1.mcap"),
        ("PUT", "/1-.*figures.json", "busy", "figures.json: Please reduce your request rate"),
    ],
)
def test_errors_that_last_cost_what_they_befall(s3, drives, job, here, method, key, fault, said) -> None:
    s3.broken = {method: {key: fault}}
    store = Store("s3://team/fused")
    fleet = Fleet(job, find_recordings(["s3://team/drives"], store.root), store)
    errors = {row["recording"].rpartition("/")[2]: row["error"] for row in fleet.fuse(here(job, store))}
    assert len(errors) == COUNT and said in errors.pop("1.mcap")
    assert not any(errors.values())
    s3.broken = {}
    left = Fleet(job, find_recordings(["s3://team/drives"], store.root), store)
    assert [item.name for item in left.left] == ["1"]
    assert [row["error"] for row in left.fuse(here(job, store))] == [""]


def test_what_a_recording_asks_of_the_store(s3, drives, job, here) -> None:
    """Its bytes, its bag, its figures; beside that, some requests of the whole fleet."""
    store = Store("s3://team/fused")
    fleet = Fleet(job, find_recordings(["s3://team/drives"], store.root), store)
    list(fleet.fuse(here(job, store)))
    files = sum(len(item.files) for item in fleet.left)
    assert s3.requests["GET object"] == files == COUNT + 1
    assert s3.requests["PUT object"] == 2 * COUNT + 2
    assert s3.requests.total() - files - 2 * COUNT < 15, s3.requests
    s3.requests.clear()
    assert not Fleet(job, find_recordings(["s3://team/drives"], store.root), store).left
    assert s3.requests.total() < 10, s3.requests


def test_a_bucket_that_is_not_there(s3) -> None:
    with pytest.raises(DataError, match="cannot read s3://other/drives: "):
        find_recordings(["s3://other/drives"])


def test_replicas_copy_ahead_under_a_limit(s3, drives, job, tmp_path, blend_model) -> None:
    """The command on Ray, with errors on the way and room for two copies; the third is larger than that."""
    pytest.importorskip("ray", reason="needs ray")
    with BagWriter(tmp_path / "large.mcap") as writer:
        for pair in range(40):
            for camera, shape in (("thermal", (64, 96)), ("rgb", (64, 96, 3))):
                pixels = np.zeros(shape, np.uint16 if camera == "thermal" else np.uint8)
                writer.write_frame(camera, Frame(pixels, 10**18 + pair * 10**8))
    files, _ = open_file_system("s3://team")
    files.put_file(str(tmp_path / "large.mcap"), "team/drives/large.mcap")
    size = files.size("team/drives/1.mcap")
    s3.every = 3
    words = [
        "fleet", "s3://team/drives", "--out", "s3://team/fused", "--replicas", 1, "--model", blend_model,
        "--backend", "onnxruntime", "--detector", "", "--disk-limit", 2.5 * size / 1e9,
        "--json", tmp_path / "figures.json",
    ]  # fmt: skip
    (tmp_path / "scratch").mkdir()
    environment = os.environ | {"TMPDIR": str(tmp_path / "scratch"), "RAY_TMPDIR": tempfile.gettempdir()}
    command = [sys.executable, "-m", "ivfusion_ros.cli", *map(str, words)]
    ended = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == DataError.exit_code, ended.stderr
    failed = json.loads((tmp_path / "figures.json").read_text())["failed"]
    assert failed.keys() == {"s3://team/drives/large.mcap"}
    assert "no room on disk" in failed["s3://team/drives/large.mcap"]
    store = Store("s3://team/fused")
    assert fused(store, open_results("s3://team/fused").job) == replayed(drives, tmp_path, blend_model)
    assert not [*(tmp_path / "scratch").rglob("*.mcap")]
