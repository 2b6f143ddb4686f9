"""What limits a large fleet, measured on this machine; docs/scale.md has the figures.

    python test/measure_fleet_scale.py memory [--count 1000]
    python test/measure_fleet_scale.py requests [--count 100]
    python test/measure_fleet_scale.py head [--count 100000]
    python test/measure_fleet_scale.py pair [--count 20]

memory: of each worker, after each tenth of so many small recordings. requests: to the object store, by an
S3 on loopback with recordings and results. head: recordings that are nothing, so that what is left is the
machine that hands them out: recordings in a second, and in a second of its process's own time, which counts
where other work slows this machine; its memory, its table, a finished fleet started again. pair: a core's
time of a pair of 640x480 in a plain replay, from simulated recordings of so many and of 2 seconds.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from pathlib import Path

import psutil
from loopback_s3 import loopback_s3
from measure_fleet import ivfusion, small_recordings

from ivfusion_ros.bags import BagWriter
from ivfusion_ros.config.pipeline import PipelineConfig
from ivfusion_ros.fleet import Fleet, Job, Recording, Replicas, Store
from ivfusion_ros.fleet import cluster as cluster_module
from ivfusion_ros.fleet.disks import this_machine
from ivfusion_ros.fleet.store import open_file_system
from ivfusion_ros.simulate import SceneConfig, Simulator

LIGHT = ("--model", "mst", "--detector", "", "--detections", "--replicas", "2")
MIB = 2**20


class Memory:
    """Resident MiB of a process's workers and of itself, every second."""

    def __init__(self, root: int) -> None:
        self.seen: dict[str, list[float]] = defaultdict(list)
        self._root, self._end = psutil.Process(root), threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def _watch(self) -> None:
        while not self._end.wait(1):
            try:
                for process in [self._root, *self._root.children(recursive=True)]:
                    head = process == self._root
                    if head or process.cmdline()[:1] in (["ray::Worker"], ["ray::Worker.do"]):
                        name = f"{'head' if head else 'worker'} {process.pid}"
                        self.seen[name].append(process.memory_info().rss / MIB)
            except psutil.NoSuchProcess:
                continue

    def tenths(self) -> dict[str, list[float]]:
        """By process: the mean of each tenth of its time."""
        self._end.set()
        self._thread.join()
        return {
            name: [
                round(sum(part) / len(part), 1)
                for turn in range(10)
                if (part := values[len(values) * turn // 10 : len(values) * (turn + 1) // 10])
            ]
            for name, values in self.seen.items()
            if len(values) >= 10
        }


def fleet(source: object, out: object) -> tuple[float, dict[str, list[float]]]:
    """Seconds, and memory by tenths."""
    start = time.perf_counter()
    words = ["fleet", str(source), "--out", str(out), *LIGHT]
    command = [sys.executable, "-m", "ivfusion_ros.cli", *words]
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    memory = Memory(running.pid)
    status = running.wait()
    tenths = memory.tenths()
    assert status == 0, status
    return time.perf_counter() - start, tenths


def memory(folder: Path, count: int) -> dict[str, object]:
    seconds, tenths = fleet(small_recordings(folder, count), folder / "out")
    return {"recordings": count, "seconds": round(seconds, 1), "mib_by_tenths": tenths}


def requests(folder: Path, count: int) -> dict[str, object]:
    with loopback_s3() as served:
        files, _ = open_file_system("s3://team")
        files.put(str(small_recordings(folder, count)), "team/drives", recursive=True)
        found = {}
        for name in ("first", "again"):
            served.requests.clear()
            seconds, tenths = fleet("s3://team/drives", "s3://team/out")
            found[name] = {
                "seconds": round(seconds, 1),
                "requests": dict(served.requests),
                "a_recording": round(served.requests.total() / count, 2),
                "mib_by_tenths": tenths,
            }
        return {"recordings": count, **found}


class Nothing:
    """A worker whose recordings are none."""

    def __init__(self, job: Job, destination: str) -> None:
        pass

    def machine(self):
        return this_machine()

    def do(self, task, following=None):
        recording = task.recording
        return {"recording": recording.url, "key": recording.key, "error": "", "pairs": 0, "host": "here"}


def head(folder: Path, count: int) -> dict[str, object]:
    import ray

    cluster_module.Worker = Nothing
    job = Job(PipelineConfig())
    store = Store(str(folder / "out"))
    recordings = [
        Recording(f"s3://team/{index // 1000}/{index}.mcap", (("", 10**6, f"tag{index}"),))
        for index in range(count)
    ]
    own = psutil.Process(os.getpid())
    found: dict[str, object] = {"recordings": count}
    for actors in (1, 4):
        ray.init("local", num_cpus=actors, include_dashboard=False, log_to_driver=False)
        new = Fleet(job, recordings, store)
        with Replicas(job, store.root, count=actors) as replicas:
            for number, row in enumerate(new._fuse(replicas)):
                new._rows[row["key"]] = row | {"folder": new._folders[row["key"]]}
                if number < actors:
                    # Without the actors' start.
                    start, worked = time.perf_counter(), sum(own.cpu_times()[:2])
            seconds, worked = time.perf_counter() - start, sum(own.cpu_times()[:2]) - worked
        ray.shutdown()
        found[f"with_{actors}_actors"] = {
            "a_second": round((count - actors) / seconds),
            "a_second_of_the_head": round((count - actors) / worked),
        }
        print(json.dumps(found), flush=True)
    found["head_mib"] = round(own.memory_info().rss / MIB)
    start = time.perf_counter()
    new.write_table()
    found["table_s"] = round(time.perf_counter() - start, 2)
    found["table_mb"] = round((folder / "out" / new.folder / "recordings.parquet").stat().st_size / 1e6, 1)
    for item in recordings:
        place = folder / "out" / new._folders[item.key]
        place.mkdir(parents=True)
        for name in job.outputs:
            (place / name).touch()
    start = time.perf_counter()
    again = Fleet(job, recordings, store)
    found["seen_to_be_done_s"] = round(time.perf_counter() - start, 2)
    assert len(again.done) == count
    return found


def pair(folder: Path, seconds: int) -> dict[str, object]:
    spent, pairs, size = [], [], 0
    for duration_s in (2, seconds):
        drive, figures = folder / f"{duration_s}.mcap", folder / "figures.json"
        with BagWriter(drive, compressed=True) as writer:
            for camera, frame in Simulator(SceneConfig(duration_s=duration_s)).frames():
                writer.write_frame(camera, frame)
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        one = ("--set", "fusion.threads=1", "--set", "detection.threads=1", "--json", figures, "--force")
        ivfusion("replay", drive, folder / "fused.mcap", *one)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        pairs.append(json.loads(figures.read_text())["pairs"])
        size = drive.stat().st_size
    return {
        "pairs": pairs,
        "core_s": spent,
        "core_s_a_pair": (spent[1] - spent[0]) / (pairs[1] - pairs[0]),
        "bytes_a_pair": size / pairs[1],
        "result_bytes_a_pair": (folder / "fused.mcap").stat().st_size / pairs[1],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=MEASURES)
    parser.add_argument("--count", type=int)
    options = parser.parse_args()
    measure, count = MEASURES[options.what]
    with tempfile.TemporaryDirectory() as name:
        print(json.dumps(measure(Path(name), options.count or count)), flush=True)


MEASURES = {
    "memory": (memory, 1000),
    "requests": (requests, 100),
    "head": (head, 100_000),
    "pair": (pair, 20),
}

if __name__ == "__main__":
    main()
