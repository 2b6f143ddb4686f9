"""Two hundred recordings of all kinds on Ray, ten of them damaged: each is what a replay makes of it."""

import json

import numpy as np
import pytest

pytest.importorskip("pyarrow", reason="needs pyarrow")
pytest.importorskip("fsspec", reason="needs fsspec")

from bag_samples import pixels_of, two_cameras, write_mcap, write_rosbag2
from ros1_samples import write_ros1
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin

from ivfusion_ros.bags import BagWriter
from ivfusion_ros.cli import main
from ivfusion_ros.fleet import Fleet, Replicas, Store, find_recordings, open_results
from ivfusion_ros.types import Frame

COUNT, DAMAGED, SIDE = 200, 10, 8
ZSTD = CompressionFormat.ZSTD


def cameras(start):
    return two_cameras(start=start, height=SIDE)


def own(path, start):
    """As this package writes, images as PNG and JPEG."""
    with BagWriter(path, compressed=True) as writer:
        for index in range(start, start + 5):
            thermal, rgb = pixels_of(index, SIDE)
            writer.write_frame("thermal", Frame(thermal, 10**18 + index * 10**7))
            writer.write_frame("rgb", Frame(rgb, 10**18 + index * 10**7))


KINDS = (
    ("zstd.mcap", lambda path, start: write_mcap(path, cameras(start))),
    ("plain.mcap", lambda path, start: write_mcap(path, cameras(start), use_chunking=False)),
    ("own.mcap", own),
    ("_0.bag", lambda path, start: write_ros1(path.with_name(path.name[:-6]), start=start, height=SIDE)),
    ("folder", lambda path, start: write_rosbag2(path, cameras(start))),
    ("sqlite", lambda path, start: write_rosbag2(path, cameras(start), StoragePlugin.SQLITE3)),
    (
        "packed",
        lambda path, start: write_rosbag2(
            path,
            cameras(start),
            StoragePlugin.SQLITE3,
            fmt=ZSTD,
            mode=CompressionMode.MESSAGE,
        ),
    ),
    (
        "zstd_file",
        lambda path, start: write_rosbag2(path, cameras(start), fmt=ZSTD, mode=CompressionMode.FILE),
    ),
)
DAMAGES = (
    lambda content: content[: len(content) // 2],
    lambda content: content[:60],
    lambda content: b"",
    lambda content: content[: len(content) // 3] + bytes(200) + content[len(content) // 3 + 200 :],
    lambda content: np.random.default_rng(2).bytes(len(content)),
)


@pytest.fixture
def drives(tmp_path):
    """COUNT recordings that all differ, in turns of every kind; the first DAMAGED files with damage."""
    folder = tmp_path / "drives"
    folder.mkdir()
    for number in range(COUNT):
        name, write = KINDS[number % len(KINDS)]
        path = folder / f"{number:03}{name}"
        write(path, number)
        if number < DAMAGED:
            file = (
                path if path.is_file() else next(item for item in path.iterdir() if item.suffix != ".yaml")
            )
            file.write_bytes(DAMAGES[number % len(DAMAGES)](file.read_bytes()))
    return folder


def test_a_fleet_is_a_replay_of_each(cluster, drives, job, blend_model, tmp_path) -> None:
    store = Store(str(tmp_path / "out"))
    recordings = find_recordings([str(drives)])
    assert len(recordings) == COUNT
    fleet = Fleet(job, recordings, store)
    with Replicas(job, store.root, count=2) as replicas:
        assert len(list(fleet.fuse(replicas))) == COUNT
    rows = {row["recording"]: row for row in open_results(store.root).rows}
    replayed = tmp_path / "one.mcap"
    failed = []
    for item in recordings:
        words = [item.url, replayed, "--force", "--model", blend_model, "--detector", ""]
        status = main(["replay", *map(str, words), "--backend", "onnxruntime"])
        row = rows[item.url]
        if status:
            failed.append(item.url)
            continue
        assert row["error"] == "", item.url
        result = tmp_path / "out" / row["folder"]
        assert (result / "fused.mcap").read_bytes() == replayed.read_bytes(), item.url
        assert json.loads((result / "figures.json").read_text())["pairs"] == row["pairs"]
    errors = sorted(url for url, row in rows.items() if row["error"])
    assert errors == sorted(failed) and 0 < len(errors) < DAMAGED
    assert all(int(url.rpartition("/")[2][:3]) < DAMAGED for url in errors)
