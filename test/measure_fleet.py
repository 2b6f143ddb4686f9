"""Figures of a fleet on this machine, as ratios in one run; docs/fleet.md has them.

    python test/measure_fleet.py [--recordings 6] [--small 1000]

Two workers against plain replays one after the other, in turns; what a small recording costs beside its
fusing; how long a finished fleet takes to see that it is.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from sample_frames import make_frames

from ivfusion_ros.bags import BagWriter
from ivfusion_ros.fleet import open_results
from ivfusion_ros.simulate import SceneConfig, Simulator

ROUNDS = 3


def ivfusion(*words: object) -> float:
    """Seconds that a command takes."""
    start = time.perf_counter()
    command = [sys.executable, "-m", "ivfusion_ros.cli", *map(str, words)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - start


def efficiency(folder: Path, count: int) -> dict[str, list[float]]:
    (folder / "drives").mkdir()
    with BagWriter(folder / "drives" / "0.mcap", compressed=True) as writer:
        for camera, frame in Simulator(SceneConfig(duration_s=10.0)).frames():
            writer.write_frame(camera, frame)
    drives = [folder / "drives" / f"{index}.mcap" for index in range(count)]
    for drive in drives[1:]:
        os.link(drives[0], drive)
    turns: dict[str, list[float]] = {"plain_s": [], "fleet_s": [], "working_s": []}
    for turn in range(ROUNDS):
        seconds = [ivfusion("replay", drive, folder / "one.mcap", "--force") for drive in drives]
        turns["plain_s"].append(sum(seconds))
        out = folder / f"fleet{turn}"
        turns["fleet_s"].append(ivfusion("fleet", folder / "drives", "--out", out, "--replicas", 2))
        # Without Ray's start, which is once.
        rows = open_results(str(out)).rows
        turns["working_s"].append(sum(row["wall_s"] for row in rows) / 2)
        print(json.dumps(turns), flush=True)
    for name in ("fleet_s", "working_s"):
        ratios = [one / many for one, many in zip(turns["plain_s"], turns[name], strict=True)]
        turns[f"times_faster_by_{name}"] = ratios
    return turns


def small_recordings(folder: Path, count: int) -> Path:
    (folder / "small").mkdir()
    first = folder / "small" / "0.mcap"
    with BagWriter(first) as writer:
        for camera, frame in make_frames():
            writer.write_frame(camera, frame)
    for index in range(1, count):
        os.link(first, folder / "small" / f"{index}.mcap")
    return folder / "small"


def overhead(folder: Path, count: int) -> dict[str, float]:
    """Of `count` recordings and of 2, so that what is once is not of each."""
    words = ["--detector", "", "--model", "mst", "--replicas", 2]
    start = ivfusion("fleet", small_recordings(folder, 2), "--out", folder / "start", *words)
    (folder / "small").rename(folder / "two")
    many = small_recordings(folder, count)
    seconds = ivfusion("fleet", many, "--out", folder / "out", *words)
    rows = open_results(str(folder / "out")).rows
    fusing = sum(row["seconds"] for row in rows) / len(rows)
    each = 2 * (seconds - start) / (count - 2)
    again = ivfusion("fleet", many, "--out", folder / "out", *words)
    return {
        "start_s": start,
        "recording_s": each,
        "fusing_s": fusing,
        "overhead_s": each - fusing,
        "restart_s": again,
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--recordings", type=int, default=6)
    parser.add_argument("--small", type=int, default=1000)
    options = parser.parse_args()
    if options.small:
        with tempfile.TemporaryDirectory() as name:
            print(json.dumps(overhead(Path(name), options.small)), flush=True)
    with tempfile.TemporaryDirectory() as name:
        print(json.dumps(efficiency(Path(name), options.recordings)), flush=True)


if __name__ == "__main__":
    main()
