"""How recordings are handed out: each once, one copied ahead, disks never fuller than they may be."""

import json
import os
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("fsspec", reason="needs fsspec")
pytest.importorskip("pyarrow", reason="needs pyarrow")

from places import ROOT

from ivfusion_ros.errors import BackendError, DataError
from ivfusion_ros.fleet import Recording, Store, Worker, find_recordings
from ivfusion_ros.fleet import copies as copies_module
from ivfusion_ros.fleet.copies import SCRATCH, Copies
from ivfusion_ros.fleet.disks import Disks, Machine
from ivfusion_ros.fleet.queue import ATTEMPTS, MAX_LOST, Queue
from ivfusion_ros.fleet.recordings import bring
from ivfusion_ros.fleet.store import open_file_system
from ivfusion_ros.fleet.work import Whole

MACHINES = [Machine("large", 2000), Machine("small", 1000)]
"""Bytes that are free."""


class LostError(Exception):
    """As Ray's RayActorError."""


class FakeRay:
    """Actors that work when they are waited for, the first first, each on the machine after the last one's.

    lost: pairs (recording, how often its actor ends). copied: bytes on each machine; most: their highest.
    """

    exceptions = SimpleNamespace(
        RayActorError=LostError, OutOfMemoryError=MemoryError, RayTaskError=ZeroDivisionError
    )

    def __init__(self, lost=()) -> None:
        self.lost, self.actors = Counter(dict(lost)), 0
        self.copied, self.most, self.ahead = Counter(), Counter(), 0

    def start(self):
        self.actors += 1
        return FakeActor(self, MACHINES[self.actors % 2])

    def wait(self, references, num_returns):
        return references[:1], references[1:]

    def get(self, reference):
        return reference()


class FakeActor:
    def __init__(self, ray, machine) -> None:
        self.ray, self.own, self.copies = ray, machine, {}
        self.machine = SimpleNamespace(remote=lambda: lambda: machine)
        self.do = SimpleNamespace(remote=self._begin)

    def _begin(self, task, following):
        for recording in filter(None, (task.recording, following)):
            self.copies[recording.key] = recording.bytes_to_copy
        self.ray.ahead += following is not None
        here = self.ray.copied
        here[id(self)] = sum(self.copies.values())
        on_machine = sum(here[key] for key in here if self.ray_machine(key) == self.own.name)
        self.ray.most[self.own.name] = max(self.ray.most[self.own.name], on_machine)
        return lambda: self._end(task.recording)

    def ray_machine(self, key):
        return self.ray.__dict__.setdefault("names", {}).setdefault(key, self.own.name)

    def _end(self, recording):
        if self.ray.lost[recording.name] > 0:
            self.ray.lost[recording.name] -= 1
            self.ray.copied[id(self)] = 0
            raise LostError
        del self.copies[recording.key]
        self.ray.copied[id(self)] = sum(self.copies.values())
        return {"recording": recording.url, "error": ""}


def tasks_of(sizes, place="s3://drives"):
    recordings = [Recording(f"{place}/{index}.mcap", (("", size, ""),)) for index, size in enumerate(sizes)]
    return [Whole(item, item.name) for item in recordings]


def run(ray, tasks, count, limit=None):
    """Errors by name."""
    rows = list(Queue(ray, ray.start, tasks, count, Disks(limit)).rows())
    assert [task for task, _ in sorted(rows, key=lambda row: int(row[0].folder))] == tasks
    return {task.folder: row["error"] for task, row in rows}


@given(
    st.lists(st.integers(0, 700), max_size=30),
    st.integers(1, 5),
    st.none() | st.integers(300, 1500),
    st.dictionaries(st.integers(0, 29).map(str), st.integers(1, 5), max_size=2),
)
def test_every_recording_has_a_row_and_no_disk_is_too_full(sizes, count, limit, lost) -> None:
    ray = FakeRay(lost)
    errors = run(ray, tasks_of(sizes), count, limit)
    for machine in MACHINES:
        assert ray.most[machine.name] <= (machine.free // 2 if limit is None else limit)
    for index, size in enumerate(sizes):
        error = errors[str(index)]
        if lost.get(str(index), 0) >= ATTEMPTS:
            assert error.startswith(("a worker was lost", "no room on disk"))
        elif size <= (limit or 500):
            assert error == ""
        elif size > (limit or 1000):
            assert error.startswith("no room on disk")


def test_the_next_one_is_copied_while_one_is_fused_but_not_the_last_ones() -> None:
    ray = FakeRay()
    assert set(run(ray, tasks_of([10] * 10), 1).values()) == {""} and ray.ahead == 9
    # Else one of two would be idle at the end.
    for count, ahead in ((2, 0), (3, 1)):
        ray = FakeRay()
        run(ray, tasks_of([10] * count), 2)
        assert ray.ahead == ahead
    # What is on this machine is not copied.
    ray = FakeRay()
    run(ray, tasks_of([10] * 10, "/drives"), 1)
    assert ray.ahead == 0 and not +ray.most


def test_what_is_copied_ahead_is_given_to_another_where_a_worker_is_lost() -> None:
    ray = FakeRay({"0": 1})
    rows = list(Queue(ray, ray.start, tasks_of([10] * 4), 1, Disks()).rows())
    assert [(task.folder, row["attempts"]) for task, row in rows] == [
        ("1", 1),
        ("2", 1),
        ("3", 1),
        ("0", 2),
    ]


def test_one_that_no_disk_has_room_for_costs_itself() -> None:
    errors = run(FakeRay(), tasks_of([10, 2_000_000, 10]), 2, 1_000_000)
    assert [errors[name] for name in "02"] == ["", ""]
    assert errors["1"] == (
        "no room on disk: its copy has 0.002 GB, those on a machine may have 0.001 GB in all; "
        "raise --disk-limit"
    )


def test_many_lost_in_a_row_end_it() -> None:
    ray = FakeRay({str(index): ATTEMPTS for index in range(MAX_LOST)})
    with pytest.raises(BackendError, match="workers in a row were lost"):
        run(ray, tasks_of([10] * MAX_LOST), 2)


@pytest.fixture
def behind_a_url(small_bag):
    """Two recordings in fsspec's memory."""
    files, _ = open_file_system("memory://ahead")
    for name in "ab":
        files.put_file(str(small_bag), f"/ahead/{name}.mcap")
    yield find_recordings(["memory://ahead"])
    files.rm("/ahead", recursive=True)


def test_a_worker_fuses_one_while_the_next_one_comes(behind_a_url, job, tmp_path, monkeypatch) -> None:
    first, second = behind_a_url
    came, fusing = threading.Event(), threading.Event()

    def slowly(recording, scratch):
        if recording is second:
            assert fusing.wait(30)
        path = bring(recording, scratch)
        if recording is second:
            came.set()
        return path

    class Waiting(Worker):
        def fuse(self, recording, scratch):
            fusing.set()
            assert came.wait(30)
            return super().fuse(recording, scratch)

    monkeypatch.setattr(copies_module, "bring", slowly)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    store = Store(str(tmp_path / "out"))
    worker = Waiting(job, store.root)
    rows = [
        worker.do(Whole(first, "job/a"), second),
        worker.do(Whole(second, "job/b")),
    ]
    assert [row["error"] for row in rows] == ["", ""]
    assert not list(tmp_path.glob(f".{SCRATCH}*"))
    same = [json.loads((tmp_path / "out" / "job" / name / "figures.json").read_text()) for name in "ab"]
    assert same[0]["pairs"] == same[1]["pairs"] == 10


def test_a_worker_removes_what_one_that_was_killed_left(job, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    killed = (
        f"import os; from ivfusion_ros.files import scratch_folder; held = scratch_folder({SCRATCH!r}); "
        "(held.__enter__() / 'copy.mcap').touch(); os._exit(1)"
    )
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    subprocess.run([sys.executable, "-c", killed], env=environment, cwd=ROOT, check=False)
    assert len(list(tmp_path.glob(f".{SCRATCH}*/copy.mcap"))) == 1
    Worker(job, str(tmp_path / "out"))
    assert not list(tmp_path.glob(f".{SCRATCH}*"))


def test_a_copy_that_is_cut_off_is_no_copy(behind_a_url, tmp_path, monkeypatch) -> None:
    whole = behind_a_url[0]
    other = Recording(whole.url, (("", whole.size + 1, ""),))
    copies = Copies()
    copies.ask_for(other)
    with pytest.raises(DataError, match=rf"{whole.size} of its {whole.size + 1} bytes came"):
        copies.path(other)
    copies.remove(other)
    copies.ask_for(whole)
    path = copies.path(whole)
    assert path.stat().st_size == whole.size
    copies.remove(whole)
    assert not Path(path).exists()
