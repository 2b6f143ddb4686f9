"""Many recordings: each fused once, as a replay would, whatever is lost on the way."""

import json
import os
import shutil
from contextlib import nullcontext

import numpy as np
import pytest

pytest.importorskip("fsspec", reason="needs fsspec")
pytest.importorskip("pyarrow", reason="needs pyarrow")

from sample_frames import make_frames

from ivfusion_ros.bags import BagWriter
from ivfusion_ros.cli import main
from ivfusion_ros.errors import DataError
from ivfusion_ros.fleet import Fleet, Job, Replicas, Store, Worker, find_recordings, read_rows
from ivfusion_ros.fleet.store import open_file_system


@pytest.fixture
def drives(small_bag, tmp_path):
    """Three recordings: a file, the same in a folder of rosbag2 below, and a damaged one."""
    folder = tmp_path / "drives"
    (folder / "monday").mkdir(parents=True)
    shutil.copy(small_bag, folder / "a.mcap")
    main(["record", str(small_bag), str(folder / "monday" / "b")])
    (folder / "damaged.mcap").write_bytes(small_bag.read_bytes()[:100])
    (folder / "notes.txt").write_text("no bag")
    return folder


def results(store, fleet):
    return sorted(store.names(fleet.folder))


def test_recordings_are_found_once_by_every_way(drives, tmp_path) -> None:
    expected = ["b", "a", "damaged"]
    assert [item.name for item in find_recordings([str(drives)])] == expected
    assert [item.name for item in find_recordings([f"{drives}/*.mcap", str(drives)])] == [
        "a",
        "damaged",
        "b",
    ]
    (tmp_path / "list.txt").write_text(f"# Monday\n{drives}/monday\n\n{drives}/a.mcap\n")
    assert [item.name for item in find_recordings([str(tmp_path / "list.txt")])] == ["b", "a"]
    (tmp_path / "list.csv").write_text(f"when,recording\n1,{drives}/a.mcap\n")
    assert [item.name for item in find_recordings([str(tmp_path / "list.csv")])] == ["a"]
    assert [item.name for item in find_recordings([str(drives)], str(drives / "monday"))] == expected[1:]
    (folder_of_rosbag2,) = find_recordings([str(drives / "monday")])
    assert {name for name, _, _ in folder_of_rosbag2.files} == {"b.mcap", "metadata.yaml"}
    shutil.copy(drives / "damaged.mcap", tmp_path / "packed.mcap.zstd")
    assert len(find_recordings([str(tmp_path / "packed.mcap.zstd")])) == 1
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"empty has no recordings, expected bags"):
        find_recordings([str(tmp_path / "empty")])


def test_names_of_a_list_that_are_of_nothing_are_told(drives, tmp_path, caplog) -> None:
    (tmp_path / "list.txt").write_text(f"{drives}/a.mcap\n{drives}/lost.mcap\n")
    assert [item.name for item in find_recordings([str(tmp_path / "list.txt")])] == ["a"]
    assert "1 of 2 names in" in caplog.text and f"left out, {drives}/lost.mcap first" in caplog.text


def test_a_changed_file_is_another_recording(drives) -> None:
    (before,) = find_recordings([str(drives / "a.mcap")])
    os.utime(drives / "a.mcap", (1, 1))
    (after,) = find_recordings([str(drives / "a.mcap")])
    assert (before.name, before.size) == (after.name, after.size) and before.key != after.key


def test_results_are_a_replays_to_the_byte(drives, job, blend_model, tmp_path, here) -> None:
    store = Store(str(tmp_path / "out"))
    fleet = Fleet(job, find_recordings([str(drives)]), store)
    rows = list(fleet.fuse(here(job, store)))
    assert [bool(row["error"]) for row in rows] == [False, False, True]
    assert "damaged.mcap" in rows[2]["error"]
    for row, source in zip(rows[:2], (drives / "monday" / "b", drives / "a.mcap"), strict=True):
        replayed = tmp_path / "fused.mcap"
        words = [source, replayed, "--force", "--model", blend_model, "--detector", ""]
        assert main(["replay", *map(str, words), "--backend", "onnxruntime"]) == 0
        folder = next((tmp_path / "out" / fleet.folder).glob(f"{source.stem}-*"))
        assert (folder / "fused.mcap").read_bytes() == replayed.read_bytes()
        figures = json.loads((folder / "figures.json").read_text())
        assert figures["pairs"] == row["pairs"] == 10
    assert not list((tmp_path / "out").rglob("*.partial")) and not list(
        (tmp_path / "out").rglob("damaged*")
    )


def test_it_goes_on_where_it_ended(drives, job, tmp_path, here) -> None:
    store = Store(str(tmp_path / "out"))
    recordings = find_recordings([str(drives)])
    first = Fleet(job, recordings, store)
    rows = first.fuse(here(job, store))
    next(rows)
    rows.close()
    table = read_rows(store.read(f"{first.folder}/recordings.parquet"))
    assert [row["recording"] for row in table] == [recordings[0].url]

    second, workers = Fleet(job, recordings, store), here(job, store)
    assert [item.name for item in second.done] == ["b"]
    list(second.fuse(workers))
    assert workers.fused == ["a", "damaged"]
    table = read_rows(store.read(f"{first.folder}/recordings.parquet"))
    assert [(row["pairs"], bool(row["error"])) for row in table] == [(10, False), (10, False), (None, True)]
    assert json.loads(table[0]["drops"]) == {}

    # Without its table, and with another configuration, which leaves the first's results alone.
    (tmp_path / "out" / first.folder / "recordings.parquet").unlink()
    third = Fleet(job, recordings, store)
    third.write_table()
    assert len(read_rows(store.read(f"{first.folder}/recordings.parquet"))) == 2
    other = Job(job.config, compressed=True)
    assert other.identity != job.identity and not Fleet(other, recordings, store).done


def test_a_table_has_what_earlier_fleets_of_the_job_fused(drives, job, tmp_path, here) -> None:
    store = Store(str(tmp_path / "out"))

    def fuse(source):
        fleet = Fleet(job, find_recordings([str(source)]), store)
        list(fleet.fuse(here(job, store)))
        rows = read_rows(store.read(f"{fleet.folder}/recordings.parquet"))
        return [(row["recording"].rpartition("/")[2], bool(row["error"])) for row in rows]

    assert fuse(drives / "damaged.mcap") == [("damaged.mcap", True)]
    assert fuse(drives / "monday") == [("damaged.mcap", True), ("b", False)]
    # The same file, mended, has one row.
    shutil.copy(drives / "a.mcap", drives / "damaged.mcap")
    assert fuse(drives / "damaged.mcap") == [("b", False), ("damaged.mcap", False)]


def test_a_table_that_a_killed_head_did_not_write(drives, tmp_path, here, blend_model, monkeypatch) -> None:
    def workers(job, root, *_):
        made = here(job, Store(root))
        made.count = 1
        return nullcontext(made)

    monkeypatch.setattr("ivfusion_ros.commands.fleet.Replicas", workers)
    words = ["fleet", str(drives / "a.mcap"), "--out", str(tmp_path / "out"), "--model", str(blend_model)]
    words += ["--detector", "", "--backend", "onnxruntime"]
    for _ in range(2):
        assert main(words) == 0
        (table,) = (tmp_path / "out").glob("*/recordings.parquet")
        assert [row["pairs"] for row in read_rows(table.read_bytes())] == [10]
        table.unlink()


def test_a_place_that_cannot_be_written_is_told_before_anything_is_fused(
    drives, job, tmp_path, here
) -> None:
    (tmp_path / "out").write_text("a file")
    store = Store(str(tmp_path / "out" / "below"))
    workers = here(job, store)
    with pytest.raises(DataError, match=r"^cannot write .*below/.*job\.json: Not a directory$"):
        list(Fleet(job, find_recordings([str(drives)]), store).fuse(workers))
    assert not workers.fused


def test_recordings_and_results_behind_a_url(drives, job, tmp_path, here) -> None:
    memory, _ = open_file_system("memory://fleet")
    memory.put(str(drives), "/fleet/drives", recursive=True)
    store = Store("memory://fleet/out")
    recordings = find_recordings(["memory://fleet/drives"], store.root)
    assert sorted(item.name for item in recordings) == ["a", "b", "damaged"]
    fleet = Fleet(job, recordings, store)
    list(fleet.fuse(here(job, store)))
    assert sum(name.endswith("fused.mcap") for name in results(store, fleet)) == 2
    assert len(Fleet(job, find_recordings(["memory://fleet/drives"], store.root), store).left) == 1
    memory.rm("/fleet", recursive=True)


def test_what_is_missing_is_told(drives, monkeypatch, capsys, blend_model, tmp_path) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    words = ["fleet", str(drives), "--out", str(tmp_path / "out"), "--model", str(blend_model)]
    assert main([*words, "--detector", ""]) != 0
    assert "a fleet needs ray, run: pip install 'ivfusion_ros[fleet]'" in capsys.readouterr().err
    assert main([*words, "--detector", "", "--dry-run"]) == 0
    assert len(capsys.readouterr().out.split()) == 3


def test_on_ray_a_poisoned_recording_costs_itself(cluster, drives, job, tmp_path, monkeypatch) -> None:
    """It ends its worker three times; the others are fused."""

    class Poisoned(Worker):
        def fuse(self, recording, scratch):
            if recording.name == "poison":
                os._exit(1)
            return super().fuse(recording, scratch)

    monkeypatch.setattr("ivfusion_ros.fleet.cluster.Worker", Poisoned)
    shutil.copy(drives / "a.mcap", drives / "poison.mcap")
    store = Store(str(tmp_path / "out"))
    fleet = Fleet(job, find_recordings([str(drives)]), store)
    with Replicas(job, store.root, count=2) as replicas:
        rows = {row["recording"].rpartition("/")[2]: row for row in fleet.fuse(replicas)}
    assert rows["poison.mcap"]["error"].startswith("a worker was lost")
    assert rows["poison.mcap"]["attempts"] == rows["damaged.mcap"]["attempts"] == 3
    assert (rows["a.mcap"]["error"], rows["b"]["error"]) == ("", "")
    assert sum(name.endswith("figures.json") for name in results(store, fleet)) == 2


def test_an_actor_without_room_keeps_no_recording_waiting(cluster, drives, job, tmp_path) -> None:
    """As where a node is gone, and its workers are to start elsewhere."""
    store = Store(str(tmp_path / "out"))
    fleet = Fleet(job, find_recordings([f"{drives}/a.mcap", str(drives / "monday")]), store)
    with Replicas(job, store.root, count=1) as replicas:
        replicas.count = 9
        fleet.left *= 4
        assert [row["error"] for row in fleet.fuse(replicas)] == [""] * 8


def test_a_node_that_ends_loses_only_its_piece(cluster, job, small_bag, tmp_path) -> None:
    (tmp_path / "drives").mkdir()
    for index in range(8):
        with BagWriter(tmp_path / "drives" / f"{index}.mcap") as writer:
            for camera, frame in make_frames():
                writer.write_frame(camera, frame)
    node = cluster.add_node(num_cpus=1)
    store = Store(str(tmp_path / "out"))
    fleet = Fleet(job, find_recordings([str(tmp_path / "drives")]), store)
    with Replicas(job, store.root) as replicas:
        rows = fleet.fuse(replicas)
        got = [next(rows)]
        cluster.remove_node(node, allow_graceful=False)
        got += rows
    assert sorted(row["recording"][-6:] for row in got) == [f"{index}.mcap" for index in range(8)]
    assert np.all([row["error"] == "" for row in got])
    assert not Fleet(job, find_recordings([str(tmp_path / "drives")]), store).left
